//! The driver of an owner.

use std::time::Duration;

use rayline_core::ids::*;
use rayline_core::members::{self, Peer};
use rayline_core::owner::{self, Owner};
use rayline_core::{Out, node};

use crate::message::{Addr, Message, Run};
use crate::mutation::Mutation;
use crate::network::TimerKind;
use crate::workload::Program;
use crate::world::{Local, World};

/// One owner's process.
pub(crate) struct OwnerLife {
    pub(crate) peer: Peer,
    pub(crate) machine: Owner,
    pub(crate) program: Program,
}

impl World {
    /// Starts an owner's process on a machine; it begins when it is a member.
    pub(crate) fn start_owner(&mut self, host: usize) {
        let Some((peer, node)) = self.hosts[host].life.as_ref().and_then(|life| Some((life.peer, life.member.node()?)))
        else {
            self.hosts[host].owners_wanted += 1;
            return;
        };
        let owner = OwnerId(self.next_owner);
        self.next_owner += 1;
        let machine = Owner::new(owner, node, self.plan.limits.clone());
        let program = Program::new(node, self.plan.load.actions);
        self.owner_places.insert(owner, host);
        self.owners.insert(owner, OwnerLife { peer, machine, program });
        self.send(Addr::Peer(peer), Addr::Controller, Message::Members(members::Event::OwnerJoin { owner, node }));
    }

    /// An owner's process has ended: by itself, by a crash, or with its machine. Perhaps another starts elsewhere.
    pub(crate) fn owner_is_over(&mut self, owner: OwnerId) {
        self.owners.remove(&owner);
        if !self.is_settling && self.rng.chance(700) {
            let host = usize::try_from(self.rng.below(self.hosts.len() as u64)).expect("a host's index");
            self.start_owner(host);
        }
    }

    /// An owner's process crashes; its node notices.
    pub(crate) fn kill_owner(&mut self, owner: OwnerId) {
        let Some(life) = self.owners.get(&owner) else { return };
        let peer = life.peer;
        self.say(format_args!("{owner} crashes"));
        self.owner_is_over(owner);
        self.send(Addr::Peer(peer), Addr::Controller, Message::Members(members::Event::OwnerClosed { owner }));
    }

    pub(crate) fn deliver_to_owner(&mut self, owner: OwnerId, message: Message) {
        if !self.owners.contains_key(&owner) {
            return;
        }
        match message {
            Message::OwnerWelcome { nodes, dead } => self.owner_begins(owner, &nodes, &dead),
            Message::Owner(event) => self.tell_owner(owner, event),
            Message::Lend { object } => self.borrowed(owner, object),
            Message::Ask { object, borrower } => self.asked(owner, object, borrower),
            Message::Answer { object } => self.answered(owner, object),
            other => unreachable!("not for an owner: {other:?}"),
        }
    }

    fn owner_begins(&mut self, owner: OwnerId, nodes: &[NodeId], dead: &[OwnerId]) {
        for died in dead {
            self.tell_owner(owner, owner::Event::OwnerDied { owner: *died });
        }
        for node in nodes {
            self.tell_owner(owner, owner::Event::NodeUp { node: *node });
        }
        let life = self.owners.get_mut(&owner).expect("it is being told");
        if life.program.has_begun() {
            return;
        }
        self.begin(owner);
        self.later(Duration::ZERO, Local::Act { owner });
    }

    pub(crate) fn tell_owner(&mut self, owner: OwnerId, event: owner::Event) {
        let now = self.now;
        let is_checked = self.should_check();
        let Some(event) = self.mutate_for_owner(owner, event) else { return };
        self.say(format_args!("{owner} <- {event:?}"));
        let is_grant = matches!(event, owner::Event::LeaseGranted { .. });
        let Some(life) = self.owners.get_mut(&owner) else { return };
        let died = match &event {
            owner::Event::OwnerDied { owner } => Some(*owner),
            _ => None,
        };
        let gone = match &event {
            owner::Event::GroupGone { group } => Some(*group),
            _ => None,
        };
        let mut out = Out::new();
        life.machine.handle(now, event, &mut out);
        if is_checked {
            life.machine.check();
        }
        for action in out.drain() {
            let is_leaked = is_grant && self.has(Mutation::LateLeaseLeaked);
            if !(is_leaked && matches!(action, owner::Action::ReturnLease { .. })) {
                self.owner_wants(owner, action);
            }
        }
        if let Some(died) = died {
            self.lender_died(owner, died);
        }
        if let Some(group) = gone {
            self.owners.get_mut(&owner).expect("it is told").program.groups.retain(|known| *known != group);
        }
    }

    fn mutate_for_owner(&mut self, owner: OwnerId, event: owner::Event) -> Option<owner::Event> {
        use owner::Event;
        match event {
            Event::ObjectLost { .. } if self.has(Mutation::LostNotRebuilt) => None,
            Event::TaskDone { task, attempt, lease } if self.has(Mutation::StaleAttempts) => {
                let started = self.owners.get(&owner).and_then(|life| life.program.started.get(&task)).copied();
                let (attempt, lease) = started.unwrap_or((attempt, lease));
                Some(Event::TaskDone { task, attempt, lease })
            }
            Event::TaskFailed { task, attempt, lease, kind } if self.has(Mutation::StaleAttempts) => {
                let started = self.owners.get(&owner).and_then(|life| life.program.started.get(&task)).copied();
                let (attempt, lease) = started.unwrap_or((attempt, lease));
                Some(Event::TaskFailed { task, attempt, lease, kind })
            }
            other => Some(other),
        }
    }

    fn owner_wants(&mut self, id: OwnerId, action: owner::Action) {
        use node::Event;
        use owner::Action;
        self.say(format_args!("{id}: {action:?}"));
        let from = Addr::Owner(id);
        match action {
            Action::RequestLease { node, request, demand, bundle, revocable } => {
                let event = Event::RequestLease { request, demand, bundle, revocable };
                self.send(from, Addr::Node(node), Message::Node(event));
            }
            Action::CancelRequest { node, request } => {
                self.send(from, Addr::Node(node), Message::Node(Event::CancelRequest { request }));
            }
            Action::ReturnLease { lease } => {
                self.send(from, Addr::Node(lease.node), Message::Node(Event::ReturnLease { lease }));
            }
            Action::Start { task, attempt, lease, node } => self.start_run(id, (task, attempt, lease), node),
            Action::CancelRunning { task, attempt, lease } => {
                self.send(from, Addr::Node(lease.node), Message::CancelRun { task, attempt });
            }
            Action::ObjectReady { object, .. } => self.object_is_told(id, object, true),
            Action::ObjectFailed { object, .. } => self.object_is_told(id, object, false),
            Action::Release { object, node, attempt } => {
                self.send(from, Addr::Node(node), Message::Release { object, attempt });
            }
            Action::CloseExecutor { lease } => {
                let wait = self.rng.wait(Duration::from_millis(50));
                self.later(wait, Local::ExecutorClosed { owner: id, lease });
            }
            Action::SetTimer { at, token } => self.set_timer(from, at, token, TimerKind::Machine),
            Action::Forget { task } => {
                if let Some(life) = self.owners.get_mut(&id) {
                    life.program.lineage.remove(&task);
                }
            }
            Action::TaskFailed { .. } | Action::OpenExecutor { .. } => {}
        }
    }

    fn start_run(&mut self, id: OwnerId, (task, attempt, lease): (TaskId, Attempt, LeaseId), node: NodeId) {
        let life = self.owners.get_mut(&id).expect("it has just acted");
        life.program.started.insert(task, (attempt, lease));
        let payload = life.program.lineage.get(&task).unwrap_or_else(|| panic!("O1: {task} runs and was forgotten"));
        assert!(attempt.0 <= payload.retries + 1, "M1: {task} runs in {attempt}, more often than it may");
        let copies = |object: &ObjectId| {
            let copies = life.machine.copies(*object).to_vec();
            assert!(!copies.is_empty(), "O1: {task} starts and its argument {object} is nowhere");
            (*object, life.machine.made_by(*object), copies)
        };
        let mut args: Vec<_> = payload.args.iter().map(copies).collect();
        args.sort_unstable();
        args.dedup();
        let run = Run { task, attempt, lease, returns: payload.returns, args };
        self.send(Addr::Owner(id), Addr::Node(node), Message::Run(run));
    }
}
