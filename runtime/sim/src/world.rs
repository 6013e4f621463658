//! The world: all processes, and what happens to them, one thing after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;
use std::time::Duration;

use rayline_core::controller::{self, Controller};
use rayline_core::ids::*;
use rayline_core::members::{self, MemberEvent, Members, Peer};
use rayline_core::{Out, Time, node, owner};

use crate::host::Host;
use crate::message::{Addr, Message};
use crate::mutation::Mutation;
use crate::network::{Happening, Network, Place, TimerKind};
use crate::oracle::Oracle;
use crate::owners::OwnerLife;
use crate::plan::Plan;
use crate::rng::Rng;

/// Something that happens inside one process, without a message.
#[derive(Clone, Debug)]
pub(crate) enum Local {
    /// A machine starts its node's process.
    Boot {
        host: usize,
    },
    /// A run's time is over.
    RunEnds {
        peer: Peer,
        task: TaskId,
        attempt: Attempt,
    },
    /// A run that blocks wakes and wants its CPUs back.
    Retake {
        peer: Peer,
        lease: LeaseId,
    },
    /// Nobody has answered a fetch.
    FetchLate {
        peer: Peer,
        object: ObjectId,
        from: NodeId,
    },
    ActorCrash {
        peer: Peer,
        actor: ActorId,
        incarnation: Incarnation,
    },
    /// An owner does the next thing.
    Act {
        owner: OwnerId,
    },
    ExecutorClosed {
        owner: OwnerId,
        lease: LeaseId,
    },
    Fault,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) rng: Rng,
    pub(crate) now: Time,
    pub(crate) net: Network,
    pub(crate) hosts: Vec<Host>,
    pub(crate) owners: BTreeMap<OwnerId, OwnerLife>,
    pub(crate) members: Members,
    pub(crate) controller: Controller,
    /// Where each member is, also after its death.
    pub(crate) places: BTreeMap<NodeId, Peer>,
    pub(crate) owner_places: BTreeMap<OwnerId, usize>,
    pub(crate) controller_stalled: Time,
    pub(crate) wall_offset: Duration,
    pub(crate) oracle: Oracle,
    pub(crate) next_owner: u32,
    pub(crate) events: u64,
    pub(crate) hash: u64,
    pub(crate) trace: Option<fn(Arguments<'_>)>,
    members_out: Out<members::Action>,
    controller_out: Out<controller::Action>,
    /// How often a node was asked with one request, where it does not notice.
    pub(crate) copies: BTreeMap<(NodeId, RequestId), u64>,
    pub(crate) is_settling: bool,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, mutation: Option<Mutation>, trace: Option<fn(Arguments<'_>)>) -> World {
        let limits = plan.limits.clone();
        let hosts = plan.hosts.iter().map(|capacity| Host::new(capacity.clone())).collect();
        let mut world = World {
            mutation,
            rng: Rng::new(!seed),
            now: Time::from_millis(1),
            net: Network::new(plan.net.clone()),
            hosts,
            owners: BTreeMap::new(),
            members: Members::new(limits.clone()),
            controller: Controller::new(limits),
            places: BTreeMap::new(),
            owner_places: BTreeMap::new(),
            controller_stalled: Time::ZERO,
            wall_offset: Duration::from_secs(1_000_000),
            oracle: Oracle::default(),
            next_owner: 1,
            events: 0,
            hash: seed,
            trace,
            members_out: Out::new(),
            controller_out: Out::new(),
            copies: BTreeMap::new(),
            is_settling: false,
            plan,
        };
        for host in 0..world.hosts.len() {
            let at = world.now + world.rng.wait(Duration::from_millis(100));
            world.net.at(at, Happening::Local(Local::Boot { host }));
        }
        let at = world.now + Duration::from_millis(200);
        world.net.at(at, Happening::Local(Local::Fault));
        world
    }

    pub(crate) fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    pub(crate) fn say(&self, what: Arguments<'_>) {
        if let Some(trace) = self.trace {
            trace(format_args!("{:>12} {what}", format!("{}", self.now)));
        }
    }

    /// Lets everything happen that happens before `end`.
    pub(crate) fn run_until(&mut self, end: Time) {
        while self.now < end {
            let Some((at, what)) = self.net.next() else { break };
            self.now = self.now.max(at);
            self.happen(what);
        }
        self.now = self.now.max(end);
    }

    fn happen(&mut self, what: Happening) {
        if let Some(wake) = self.asleep(&what) {
            return self.net.at(wake, what);
        }
        self.events += 1;
        self.hash =
            (self.hash.rotate_left(7) ^ self.now.nanos() ^ self.rng.state()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        match what {
            Happening::Deliver { from, to, message } => {
                let places = (self.place(from), self.place(to));
                if let Some(message) = self.net.pass(self.now, (from, to), places, message) {
                    self.deliver(from, to, message);
                }
            }
            Happening::Retry { from, to } => {
                let places = (self.place(from), self.place(to));
                for message in self.net.retry(self.now, (from, to), places) {
                    self.deliver(from, to, message);
                }
            }
            Happening::Timer { at, token, kind } => self.timer(at, token, kind),
            Happening::Local(local) => self.local(local),
        }
    }

    /// When whoever this happens to wakes, if it is asleep.
    fn asleep(&self, what: &Happening) -> Option<Time> {
        let addr = match what {
            Happening::Deliver { to, .. } => *to,
            Happening::Timer { at, .. } => *at,
            Happening::Local(local) => match local {
                Local::RunEnds { peer, .. }
                | Local::Retake { peer, .. }
                | Local::FetchLate { peer, .. }
                | Local::ActorCrash { peer, .. } => Addr::Peer(*peer),
                Local::Act { owner } | Local::ExecutorClosed { owner, .. } => Addr::Owner(*owner),
                Local::Boot { .. } | Local::Fault => return None,
            },
            Happening::Retry { .. } => return None,
        };
        let wake = match self.place(addr) {
            Place::Controller => self.controller_stalled,
            Place::Host(host) => self.hosts[host].stalled_until,
        };
        (wake > self.now).then_some(wake)
    }

    /// Where an address is. What is nowhere any more is where it was.
    pub(crate) fn place(&self, addr: Addr) -> Place {
        match addr {
            Addr::Controller => Place::Controller,
            Addr::Peer(peer) => Place::Host(usize::try_from(peer.machine).expect("a host's index")),
            Addr::Node(node) => match self.places.get(&node) {
                Some(peer) => self.place(Addr::Peer(*peer)),
                None => Place::Controller,
            },
            Addr::Owner(owner) => Place::Host(self.owner_places[&owner]),
        }
    }

    pub(crate) fn send(&mut self, from: Addr, to: Addr, message: Message) {
        self.net.send(self.now, &mut self.rng, (from, to), message);
    }

    pub(crate) fn set_timer(&mut self, addr: Addr, at: Time, token: TimerToken, kind: TimerKind) {
        // Timers may come late.
        let late = if self.rng.chance(50) { self.rng.wait(Duration::from_millis(5)) } else { Duration::ZERO };
        self.net.at(at.max(self.now) + late, Happening::Timer { at: addr, token, kind });
    }

    pub(crate) fn later(&mut self, wait: Duration, local: Local) {
        self.net.at(self.now + wait, Happening::Local(local));
    }

    fn deliver(&mut self, from: Addr, to: Addr, message: Message) {
        self.say(format_args!("{from:?} -> {to:?} {message:?}"));
        match to {
            Addr::Controller => self.deliver_to_controller(message),
            Addr::Peer(_) | Addr::Node(_) => self.deliver_to_node(to, message),
            Addr::Owner(owner) => self.deliver_to_owner(owner, message),
        }
    }

    fn deliver_to_controller(&mut self, message: Message) {
        match message {
            Message::Members(event) => self.tell_members(event),
            Message::Controller(event) => self.tell_controller(event),
            other => unreachable!("not for a controller: {other:?}"),
        }
    }

    fn timer(&mut self, addr: Addr, token: TimerToken, kind: TimerKind) {
        match (addr, kind) {
            (Addr::Controller, TimerKind::Machine) => self.tell_controller(controller::Event::Timer { token }),
            (Addr::Controller, TimerKind::Membership) => self.tell_members(members::Event::Timer { token }),
            (Addr::Peer(peer), _) => self.tell_member(peer, MemberEvent::Timer { token }),
            (Addr::Owner(owner), _) => self.tell_owner(owner, owner::Event::Timer { token }),
            (Addr::Node(_), _) => unreachable!("a node sets no timers"),
        }
    }

    fn local(&mut self, local: Local) {
        match local {
            Local::Boot { host } => self.boot(host),
            Local::RunEnds { peer, task, attempt } => self.run_ends(peer, task, attempt),
            Local::Retake { peer, lease } => self.retake(peer, lease),
            Local::FetchLate { peer, object, from } => self.fetch_late(peer, object, from),
            Local::ActorCrash { peer, actor, incarnation } => self.actor_crash(peer, actor, incarnation),
            Local::Act { owner } => self.act(owner),
            Local::ExecutorClosed { owner, lease } => {
                self.tell_owner(owner, owner::Event::ExecutorClosed { lease });
            }
            Local::Fault => self.fault(),
        }
    }

    pub(crate) fn tell_members(&mut self, event: members::Event) {
        let now = if self.has(Mutation::WallClock) { self.now + self.wall_offset } else { self.now };
        let mut out = std::mem::take(&mut self.members_out);
        self.members.handle(now, event, &mut out);
        if self.should_check() {
            self.members.check();
        }
        for action in out.drain() {
            self.members_want(action);
        }
        self.members_out = out;
    }

    fn members_want(&mut self, action: members::Action) {
        self.say(format_args!("members: {action:?}"));
        match action {
            members::Action::Welcome { peer, node } => {
                self.places.insert(node, peer);
                self.send(Addr::Controller, Addr::Peer(peer), Message::Member(MemberEvent::Welcome { node }));
            }
            members::Action::Refuse { peer, why } => {
                self.send(Addr::Controller, Addr::Peer(peer), Message::Member(MemberEvent::Refused { why }));
            }
            members::Action::Ack { node, beat } => {
                self.send(Addr::Controller, Addr::Node(node), Message::Member(MemberEvent::Ack { beat }));
            }
            members::Action::Fence { node } => {
                self.send(Addr::Controller, Addr::Node(node), Message::Member(MemberEvent::Fenced));
            }
            members::Action::OwnerWelcome { owner } => {
                let nodes = self.members.nodes().map(|(node, _)| node).collect();
                let dead = self.members.dead_owners().collect();
                self.send(Addr::Controller, Addr::Owner(owner), Message::OwnerWelcome { nodes, dead });
            }
            members::Action::NodeUp { node, capacity } => {
                self.tell_controller(controller::Event::NodeUp { node, capacity });
                self.tell_owners(&owner::Event::NodeUp { node });
            }
            members::Action::NodeDied { node } => {
                self.node_is_dead(node);
                self.tell_controller(controller::Event::NodeDied { node });
                self.tell_owners(&owner::Event::NodeDied { node });
                self.tell_nodes(&Message::NodeDied(node));
            }
            members::Action::OwnerDied { owner } => {
                self.tell_controller(controller::Event::OwnerDied { owner });
                self.tell_owners(&owner::Event::OwnerDied { owner });
                self.tell_nodes(&Message::Node(node::Event::OwnerDied { owner }));
            }
            members::Action::SetTimer { at, token } => {
                let wall = if self.has(Mutation::WallClock) { self.wall_offset } else { Duration::ZERO };
                let at = Time::from_nanos(at.since(Time::ZERO + wall).as_nanos().try_into().unwrap_or(u64::MAX));
                self.set_timer(Addr::Controller, at, token, TimerKind::Membership);
            }
        }
    }

    fn tell_owners(&mut self, event: &owner::Event) {
        for owner in self.members.owners().collect::<Vec<_>>() {
            self.send(Addr::Controller, Addr::Owner(owner), Message::Owner(event.clone()));
        }
    }

    fn tell_nodes(&mut self, message: &Message) {
        for node in self.members.welcomed().collect::<Vec<_>>() {
            self.send(Addr::Controller, Addr::Node(node), message.clone());
        }
    }

    pub(crate) fn tell_controller(&mut self, event: controller::Event) {
        let event = self.mutate_for_controller(event);
        let mut out = std::mem::take(&mut self.controller_out);
        self.controller.handle(self.now, event, &mut out);
        if self.should_check() {
            self.controller.check();
        }
        for action in out.drain() {
            self.controller_wants(action);
        }
        self.controller_out = out;
    }

    fn mutate_for_controller(&self, event: controller::Event) -> controller::Event {
        use controller::{ActorState, Event};
        let Event::ActorEnded { actor, end, incarnation } = event else { return event };
        match self.controller.actor(actor) {
            Some(ActorState::Alive { incarnation, .. }) if self.has(Mutation::StaleIncarnations) => {
                Event::ActorEnded { actor, incarnation, end }
            }
            _ => Event::ActorEnded { actor, incarnation, end },
        }
    }

    fn controller_wants(&mut self, action: controller::Action) {
        use controller::Action;
        use node::Event;
        self.say(format_args!("controller: {action:?}"));
        match action {
            Action::RequestLease { node, request, demand, bundle } => {
                self.send_to_node(
                    node,
                    Message::Node(Event::RequestLease { request, demand, bundle, revocable: false }),
                );
            }
            Action::CancelRequest { node, request } => {
                self.send_to_node(node, Message::Node(Event::CancelRequest { request }));
            }
            Action::ReturnLease { lease } => self.send_to_node(lease.node, Message::Node(Event::ReturnLease { lease })),
            Action::StartActor { node, actor, incarnation, lease, .. } => {
                self.send_to_node(node, Message::StartActor { actor, incarnation, lease });
            }
            Action::StopActor { node, actor, incarnation } => {
                self.send_to_node(node, Message::StopActor { actor, incarnation });
            }
            Action::PrepareBundle { node, bundle, attempt, demand } => {
                self.send_to_node(node, Message::Node(Event::PrepareBundle { bundle, attempt, demand }));
            }
            Action::CommitBundle { bundle, attempt, .. } if self.has(Mutation::HalfCommitted) && bundle.index == 1 => {
                let forged = controller::Event::Committed { bundle, attempt };
                self.send(Addr::Controller, Addr::Controller, Message::Controller(forged));
            }
            Action::CommitBundle { node, bundle, attempt } => {
                self.send_to_node(node, Message::Node(Event::CommitBundle { bundle, attempt }));
            }
            Action::ReturnBundle { node, bundle, attempt } => {
                self.send_to_node(node, Message::Node(Event::ReturnBundle { bundle, attempt }));
            }
            Action::GroupReady { group, nodes } => {
                self.send_to_owner(group.owner, owner::Event::GroupReady { group, nodes });
            }
            Action::GroupBroken { group } => self.send_to_owner(group.owner, owner::Event::GroupBroken { group }),
            Action::GroupRefused { group, .. } | Action::GroupRemoved { group } => {
                self.send_to_owner(group.owner, owner::Event::GroupGone { group });
            }
            Action::SetTimer { at, token } => self.set_timer(Addr::Controller, at, token, TimerKind::Machine),
            Action::ActorRefused { actor, .. } | Action::ActorDead { actor, .. } => self.oracle.actor_over(actor),
            Action::ActorAlive { actor, incarnation, .. } => self.oracle.actor_alive(actor, incarnation),
            Action::ActorExists { asked, .. } => self.oracle.actor_over(asked),
            Action::ActorCreated { .. } | Action::ActorFound { .. } | Action::ActorRestarting { .. } => {}
        }
    }

    fn send_to_node(&mut self, node: NodeId, message: Message) {
        self.send(Addr::Controller, Addr::Node(node), message);
    }

    fn send_to_owner(&mut self, owner: OwnerId, event: owner::Event) {
        self.send(Addr::Controller, Addr::Owner(owner), Message::Owner(event));
    }

    pub(crate) fn should_check(&mut self) -> bool {
        self.rng.below(self.plan.check_every) == 0
    }

    /// Whatever a dead node still has in the network is its own affair; but nothing may go on there.
    fn node_is_dead(&mut self, node: NodeId) {
        let peer = self.places[&node];
        let host = &self.hosts[usize::try_from(peer.machine).expect("a host's index")];
        let is_there = host.life.as_ref().is_some_and(|life| life.peer == peer && life.node.is_some());
        let is_acting = is_there && host.stalled_until <= self.now && self.may_act(peer);
        assert!(!is_acting, "F2: {node} is declared dead and goes on");
        assert!(!is_there || self.oracle.was_harmed(peer, self.now), "D2: {node} is declared dead without a fault");
    }

    /// Forgets what belongs to lives that are over.
    pub(crate) fn tidy(&mut self) {
        let peers: BTreeSet<Peer> = self.hosts.iter().filter_map(|host| Some(host.life.as_ref()?.peer)).collect();
        let places = &self.places;
        let owners = &self.owners;
        self.net.forget(|addr| match addr {
            Addr::Controller => false,
            Addr::Peer(peer) => !peers.contains(&peer),
            Addr::Node(node) => places.get(&node).is_none_or(|peer| !peers.contains(peer)),
            Addr::Owner(owner) => !owners.contains_key(&owner),
        });
    }
}
