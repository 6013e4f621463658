//! A machine, and the driver of its node: leases, runs, actors, values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rayline_core::controller::{self, ActorEnd};
use rayline_core::ids::*;
use rayline_core::members::{self, Member, MemberAction, MemberEvent, Peer};
use rayline_core::node::{self, Node};
use rayline_core::owner::{self, FailureKind};
use rayline_core::resources::Capacity;
use rayline_core::{Out, Time};

use crate::message::{Addr, Message, Run};
use crate::mutation::Mutation;
use crate::network::TimerKind;
use crate::world::{Local, World};

/// A machine.
pub(crate) struct Host {
    pub(crate) capacity: Capacity,
    boot: u64,
    pub(crate) life: Option<NodeLife>,
    pub(crate) stalled_until: Time,
    pub(crate) store_full_until: Time,
    pub(crate) owners_wanted: usize,
}

/// One life of a node's process, and of all that it started.
pub(crate) struct NodeLife {
    pub(crate) peer: Peer,
    pub(crate) member: Member,
    pub(crate) node: Option<Node>,
    /// Values, each with the attempt that made it.
    pub(crate) store: BTreeMap<ObjectId, Attempt>,
    pub(crate) runs: BTreeMap<(TaskId, Attempt), Running>,
    pub(crate) begun: BTreeSet<(TaskId, Attempt)>,
    pub(crate) actors: BTreeMap<ActorId, Incarnation>,
    ended: BTreeSet<(ActorId, Incarnation)>,
    pub(crate) dead_owners: BTreeSet<OwnerId>,
}

/// A run on a lease.
pub(crate) struct Running {
    pub(crate) run: Run,
    /// Arguments on their way, each with the sources not tried yet; the last is being tried.
    pub(crate) missing: BTreeMap<ObjectId, Vec<NodeId>>,
}

impl Host {
    pub(crate) fn new(capacity: Capacity) -> Host {
        Host {
            capacity,
            boot: 0,
            life: None,
            stalled_until: Time::ZERO,
            store_full_until: Time::ZERO,
            owners_wanted: 0,
        }
    }

    /// The node, while it is a member.
    pub(crate) fn node(&self) -> Option<&Node> {
        self.life.as_ref()?.node.as_ref()
    }
}

impl World {
    pub(crate) fn boot(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if host.life.is_some() {
            return;
        }
        host.boot += 1;
        let peer = Peer { machine: index as u64, boot: host.boot };
        host.life = Some(NodeLife {
            peer,
            member: Member::new(peer, host.capacity.clone(), self.plan.limits.clone()),
            node: None,
            store: BTreeMap::new(),
            runs: BTreeMap::new(),
            begun: BTreeSet::new(),
            actors: BTreeMap::new(),
            ended: BTreeSet::new(),
            dead_owners: BTreeSet::new(),
        });
        self.tell_member(peer, MemberEvent::Start);
    }

    /// Ends all that runs on a machine; it starts anew a little later.
    pub(crate) fn end_life(&mut self, index: usize) {
        let Some(life) = self.hosts[index].life.take() else { return };
        self.say(format_args!("{} ends", life.peer));
        let gone: Vec<OwnerId> = self.owners.values().filter(|o| o.peer == life.peer).map(|o| o.machine.id()).collect();
        gone.into_iter().for_each(|owner| self.owner_is_over(owner));
        self.tidy();
        let longest = self.plan.limits.dead_after * 2;
        let wait = Duration::from_millis(1) + self.rng.wait(longest);
        self.later(wait, Local::Boot { host: index });
    }

    pub(crate) fn life(&mut self, peer: Peer) -> Option<&mut NodeLife> {
        let host = self.hosts.get_mut(usize::try_from(peer.machine).ok()?)?;
        host.life.as_mut().filter(|life| life.peer == peer)
    }

    pub(crate) fn may_act(&self, peer: Peer) -> bool {
        let host = &self.hosts[usize::try_from(peer.machine).expect("a host's index")];
        let may = |member: &Member| self.has(Mutation::NoFence) || member.may_act(self.now);
        host.life.as_ref().is_some_and(|life| life.peer == peer && may(&life.member))
    }

    /// The life that is to handle something, if it still may.
    pub(crate) fn acting(&mut self, peer: Peer) -> Option<&mut NodeLife> {
        self.life(peer)?;
        if !self.may_act(peer) && !self.has(Mutation::FenceByTimer) {
            self.end_life(usize::try_from(peer.machine).expect("a host's index"));
            return None;
        }
        self.assert_not_dead(peer);
        self.life(peer)
    }

    pub(crate) fn tell_member(&mut self, peer: Peer, event: MemberEvent) {
        let now = self.now;
        if self.has(Mutation::NoFence) && matches!(event, MemberEvent::Fenced) {
            return;
        }
        let Some(life) = self.life(peer) else { return };
        let mut out = Out::new();
        life.member.handle(now, event, &mut out);
        for action in out.drain() {
            self.member_wants(peer, action);
        }
    }

    fn member_wants(&mut self, peer: Peer, action: MemberAction) {
        let from = Addr::Peer(peer);
        let index = usize::try_from(peer.machine).expect("a host's index");
        match action {
            MemberAction::Join { peer, capacity } => {
                self.send(from, Addr::Controller, Message::Members(members::Event::Join { peer, capacity }));
            }
            MemberAction::Heartbeat { node, beat } => {
                self.send(from, Addr::Controller, Message::Members(members::Event::Heartbeat { node, beat }));
            }
            MemberAction::Begin { node } => {
                self.places.insert(node, peer);
                let machine = Node::new(node, self.hosts[index].capacity.clone(), self.plan.limits.clone());
                self.life(peer).expect("it has just joined").node = Some(machine);
                let wanted = std::mem::take(&mut self.hosts[index].owners_wanted);
                (0..wanted).for_each(|_| self.start_owner(index));
            }
            MemberAction::End if self.has(Mutation::NoFence) => {}
            MemberAction::End => self.end_life(index),
            MemberAction::SetTimer { at, token } => self.set_timer(from, at, token, TimerKind::Membership),
        }
    }

    pub(crate) fn deliver_to_node(&mut self, to: Addr, message: Message) {
        let known = match to {
            Addr::Peer(peer) => Some(peer),
            Addr::Node(node) => self.places.get(&node).copied(),
            Addr::Controller | Addr::Owner(_) => None,
        };
        let Some(mut peer) = known else { return };
        if self.has(Mutation::NoIncarnation)
            && let Some(life) = &self.hosts[usize::try_from(peer.machine).expect("a host's index")].life
        {
            peer = life.peer;
        }
        if let Message::Member(event) = message {
            return self.tell_member(peer, event);
        }
        if self.acting(peer).is_none_or(|life| life.node.is_none()) {
            return;
        }
        match message {
            Message::Node(event) => self.tell_node(peer, event),
            Message::NodeDied(node) => self.source_is_dead(peer, node),
            Message::Run(run) => self.begin_run(peer, run),
            Message::CancelRun { task, attempt } => self.end_run(peer, task, attempt, Some(FailureKind::System)),
            Message::StartActor { actor, incarnation, lease } => self.start_actor(peer, (actor, incarnation), lease),
            Message::StopActor { actor, incarnation } => {
                self.stop_actor(peer, (actor, incarnation), ActorEnd::Stopped);
            }
            Message::Release { object, attempt } => self.release(peer, object, attempt),
            Message::Fetch { object, to } => {
                let life = self.life(peer).expect("it acts");
                let attempt = life.store.get(&object).copied();
                let from = life.member.node().expect("it is a member");
                self.send(Addr::Node(from), Addr::Node(to), Message::Fetched { object, from, attempt });
            }
            Message::Fetched { object, from, attempt } => self.fetched(peer, object, from, attempt),
            other => unreachable!("not for a node: {other:?}"),
        }
    }

    pub(crate) fn tell_node(&mut self, peer: Peer, event: node::Event) {
        let now = self.now;
        let dead = match &event {
            node::Event::OwnerDied { owner } => Some(*owner),
            _ => None,
        };
        if dead.is_some() && self.has(Mutation::OwnerDeathForgotten) {
            return;
        }
        match &event {
            node::Event::ReturnLease { lease } => self.assert_idle(peer, *lease),
            node::Event::CancelRequest { request } if self.has(Mutation::LateLeaseLeaked) => {
                let node = self.life(peer).and_then(|life| life.member.node());
                if node.is_some_and(|node| self.oracle.has_granted(node, *request)) {
                    return;
                }
            }
            _ => {}
        }
        let is_checked = self.should_check();
        let event = self.mutate_for_node(peer, event);
        let Some(machine) = self.life(peer).and_then(|life| life.node.as_mut()) else { return };
        let id = machine.id();
        let mut out = Out::new();
        machine.handle(now, event, &mut out);
        if is_checked {
            machine.check();
        }
        for action in out.drain() {
            self.node_wants(peer, id, action);
        }
        if let Some(owner) = dead {
            self.drop_all_of(peer, owner);
        }
    }

    /// Nothing of a dead owner runs or lies here.
    fn drop_all_of(&mut self, peer: Peer, owner: OwnerId) {
        let life = self.life(peer).expect("it acts");
        life.dead_owners.insert(owner);
        life.runs.retain(|(task, _), _| task.owner != owner);
        life.store.retain(|object, _| object.task.owner != owner);
    }

    /// Makes a repeated request look new, where nodes are not to notice.
    fn mutate_for_node(&mut self, peer: Peer, event: node::Event) -> node::Event {
        use node::Event;
        if !self.has(Mutation::NoLeaseDedup) {
            return event;
        }
        let Some(id) = self.life(peer).and_then(|life| life.member.node()) else { return event };
        match event {
            Event::RequestLease { mut request, demand, bundle, revocable } => {
                let copies = self.copies.entry((id, request)).or_insert(0);
                request.seq = request.seq * 64 + (*copies).min(63);
                *copies += 1;
                Event::RequestLease { request, demand, bundle, revocable }
            }
            Event::CancelRequest { mut request } => {
                request.seq *= 64;
                Event::CancelRequest { request }
            }
            other => other,
        }
    }

    fn node_wants(&mut self, peer: Peer, id: NodeId, mut action: node::Action) {
        use node::Action;
        self.say(format_args!("{id}: {action:?}"));
        if let Action::Granted { request, .. } | Action::Refused { request, .. } | Action::Reclaim { request, .. } =
            &mut action
            && self.has(Mutation::NoLeaseDedup)
        {
            request.seq /= 64;
        }
        let from = Addr::Node(id);
        let control = |event| (Addr::Controller, Message::Controller(event));
        let (to, message) = match action {
            Action::Granted { request, lease, grant } => {
                self.oracle.granted(request, lease);
                if request.owner == OwnerId::CONTROLLER {
                    control(controller::Event::LeaseGranted { request, lease, grant })
                } else {
                    let event = owner::Event::LeaseGranted { request, lease, grant };
                    (Addr::Owner(request.owner), Message::Owner(event))
                }
            }
            Action::Refused { request, refusal } if request.owner == OwnerId::CONTROLLER => {
                control(controller::Event::LeaseRefused { request, refusal })
            }
            Action::Refused { request, refusal } => {
                (Addr::Owner(request.owner), Message::Owner(owner::Event::LeaseRefused { request, refusal }))
            }
            // The controller ends what lives in a bundle before it ends the bundle.
            Action::Reclaim { request, .. } if request.owner == OwnerId::CONTROLLER => return,
            Action::Reclaim { request, lease } => {
                (Addr::Owner(request.owner), Message::Owner(owner::Event::LeaseReclaim { request, lease }))
            }
            Action::CpusBack { lease, .. } => return self.cpus_back(peer, lease),
            Action::Prepared { bundle, attempt } => control(controller::Event::Prepared { bundle, attempt }),
            Action::PrepareRefused { bundle, attempt, refusal } => {
                control(controller::Event::PrepareRefused { bundle, attempt, refusal })
            }
            Action::Committed { bundle, attempt } => control(controller::Event::Committed { bundle, attempt }),
            Action::BundleReturned { bundle, attempt } => {
                control(controller::Event::BundleReturned { node: id, bundle, attempt })
            }
        };
        self.send(from, to, message);
    }

    fn start_actor(&mut self, peer: Peer, (actor, incarnation): (ActorId, Incarnation), lease: LeaseId) {
        let life = self.life(peer).expect("it acts");
        if life.ended.contains(&(actor, incarnation)) || life.actors.get(&actor) == Some(&incarnation) {
            return;
        }
        let node = life.node.as_ref().expect("it is a member");
        assert_eq!(
            node.holder(lease),
            Some(OwnerId::CONTROLLER),
            "F1: {actor} starts on {lease}, which is not granted"
        );
        self.assert_lives_nowhere(actor);
        let life = self.life(peer).expect("it acts");
        life.actors.insert(actor, incarnation);
        let here = life.member.node().expect("it is a member");
        let started = controller::Event::ActorStarted { actor, incarnation };
        self.send(Addr::Node(here), Addr::Controller, Message::Controller(started));
        if !self.is_settling && self.rng.chance(300) {
            let took = self.rng.wait(Duration::from_secs(2));
            self.later(took, Local::ActorCrash { peer, actor, incarnation });
        }
    }

    fn assert_lives_nowhere(&self, actor: ActorId) {
        for host in &self.hosts {
            let Some(life) = &host.life else { continue };
            let lives = life.actors.contains_key(&actor);
            let is_acting = host.stalled_until <= self.now && self.may_act(life.peer);
            assert!(!(lives && is_acting), "A1: {actor} lives twice");
        }
    }

    pub(crate) fn actor_crash(&mut self, peer: Peer, actor: ActorId, incarnation: Incarnation) {
        if self.acting(peer).is_some_and(|life| life.actors.get(&actor) == Some(&incarnation)) {
            self.stop_actor(peer, (actor, incarnation), ActorEnd::Crashed);
        }
    }

    /// A stop, or a crash. A stop may overtake the start, and is always answered.
    fn stop_actor(&mut self, peer: Peer, (actor, incarnation): (ActorId, Incarnation), end: ActorEnd) {
        let life = self.life(peer).expect("it acts");
        life.ended.insert((actor, incarnation));
        if life.actors.get(&actor) == Some(&incarnation) {
            life.actors.remove(&actor);
        }
        let here = life.member.node().expect("it is a member");
        let event = controller::Event::ActorEnded { actor, incarnation, end };
        self.send(Addr::Node(here), Addr::Controller, Message::Controller(event));
    }
}
