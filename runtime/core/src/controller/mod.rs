//! The controller: nodes, actors, names, placement groups.

mod actor;
mod check;
mod ended;
mod group;
mod life;
mod plan;
mod protocol;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

use actor::Actor;
pub use actor::ActorState;
use ended::Ended;
use group::{Group, Spot, Stage};
pub use protocol::{Action, ActorEnd, ActorRefusal, ActorSpec, DeathCause, Event, GroupRefusal, Strategy};

use crate::ids::{ActorId, Attempt, BundleId, GroupId, LeaseId, NodeId, OwnerId, RequestId, TimerToken};
use crate::limits::Limits;
use crate::out::Out;
use crate::resources::{Capacity, Demand, Ledger};
use crate::time::Time;

/// What the controller ignored, and why. For metrics and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Registrations, creations and reservations that came twice.
    pub duplicates: u64,
    /// Events about incarnations, attempts, requests, timers or nodes that were over.
    pub stale: u64,
    /// Nodes refused because there are too many.
    pub nodes_refused: u64,
}

/// What a timer wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Actor(ActorId),
    Group(GroupId),
    /// The time to prepare a group is over.
    Prepare(GroupId),
}

/// The machine of a cluster's controller. It places what is permanent (actors and bundles) against its own count of
/// what is free, in which leases of tasks don't appear: they come and go, and a node's queue waits for them.
///
/// Invariants, asserted by [`Controller::check`]:
/// - CTL-1 (A1): a lease is one actor's, and an actor has one lease at most; so have requests.
/// - CTL-2 (A2): a name belongs to one actor that isn't dead, and such an actor has its name.
/// - CTL-3 (R1): of each node, what is free and what actors, bundles and ending bundles take is exactly the capacity.
/// - CTL-4 (G2): at most one group is being prepared.
/// - CTL-5 (G1): a ready group has all its bundles, on live nodes, as its strategy demands; one that waits has those
///   that it keeps.
/// - CTL-6: every timer wakes something, and whoever rests has one.
/// - CTL-7 (B1): tables are within [`Limits`].
/// - CTL-8 (Z1): nothing belongs to a dead owner, but detached actors and what is stopping.
/// - CTL-9: whoever waits for room is known to wait.
///
/// Source: Moritz et al., OSDI'18, §4.1 and §4.2.1; Ray's `gcs_actor_manager` and `gcs_placement_group_manager` for what
/// goes wrong.
#[derive(Debug)]
pub struct Controller {
    limits: Limits,
    /// Live nodes, each with what is free of it besides actors and bundles.
    nodes: BTreeMap<NodeId, Ledger>,
    dead_nodes: BTreeSet<NodeId>,
    dead_owners: BTreeSet<OwnerId>,
    actors: BTreeMap<ActorId, Actor>,
    live_actors: usize,
    /// Dead actors, in the order of their deaths.
    dead_actors: VecDeque<ActorId>,
    names: BTreeMap<String, ActorId>,
    /// Actors that wait for room or for their group.
    unplaced: BTreeSet<ActorId>,
    requests: BTreeMap<RequestId, ActorId>,
    leases: BTreeMap<LeaseId, ActorId>,
    groups: BTreeMap<GroupId, Group>,
    /// Groups that wait or rest, in the order in which they are tried.
    waiting_groups: VecDeque<GroupId>,
    preparing: Option<GroupId>,
    /// Bundles that were told to end and have not.
    ending: BTreeMap<(BundleId, Attempt), Spot>,
    ended: Ended,
    timers: BTreeMap<TimerToken, Wake>,
    next_request: u64,
    next_timer: u64,
    /// Whether something came free in this event, so that those who wait are tried again.
    room: bool,
    counters: Counters,
}

impl Controller {
    /// A controller of an empty cluster.
    pub fn new(limits: Limits) -> Controller {
        Controller {
            limits,
            nodes: BTreeMap::new(),
            dead_nodes: BTreeSet::new(),
            dead_owners: BTreeSet::new(),
            actors: BTreeMap::new(),
            live_actors: 0,
            dead_actors: VecDeque::new(),
            names: BTreeMap::new(),
            unplaced: BTreeSet::new(),
            requests: BTreeMap::new(),
            leases: BTreeMap::new(),
            groups: BTreeMap::new(),
            waiting_groups: VecDeque::new(),
            preparing: None,
            ending: BTreeMap::new(),
            ended: Ended::default(),
            timers: BTreeMap::new(),
            next_request: 1,
            next_timer: 1,
            room: false,
            counters: Counters::default(),
        }
    }

    /// Takes one event and appends what is to be done.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Out<Action>) {
        match event {
            Event::NodeUp { node, capacity } => self.node_up(node, capacity),
            Event::NodeDied { node } => self.node_died(now, node, out),
            Event::OwnerDied { owner } => self.owner_died(owner, out),
            Event::CreateActor { actor, spec } => self.create_actor(actor, spec, out),
            Event::LookupActor { request, name } => self.lookup_actor(request, &name, out),
            Event::KillActor { actor, restart } => self.kill_actor(actor, restart, out),
            Event::ActorStarted { actor, incarnation } => self.actor_started(now, actor, incarnation, out),
            Event::ActorEnded { actor, incarnation, end } => self.actor_ended(now, (actor, incarnation), end, out),
            Event::LeaseGranted { request, lease, grant } => self.lease_granted(request, lease, grant, out),
            Event::LeaseRefused { request, refusal } => self.lease_refused(now, request, refusal, out),
            Event::ReserveGroup { group, bundles, strategy } => self.reserve_group(group, bundles, strategy, out),
            Event::RemoveGroup { group } => self.remove_group(group, out),
            Event::Prepared { bundle, attempt } => self.bundle_prepared(bundle, attempt, out),
            Event::PrepareRefused { bundle, attempt, refusal: _ } => self.prepare_refused(now, bundle, attempt, out),
            Event::Committed { bundle, attempt } => self.bundle_committed(bundle, attempt, out),
            Event::BundleReturned { node, bundle, attempt } => self.bundle_returned(node, bundle, attempt),
            Event::Timer { token } => self.timer(now, token, out),
        }
        if core::mem::take(&mut self.room) {
            self.fill(now, out);
        }
    }

    /// Live nodes, each with what is free of it besides actors and bundles.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Ledger)> {
        self.nodes.iter().map(|(node, ledger)| (*node, ledger))
    }

    /// What an actor looks like from outside; `None` where it was never created, or died long ago.
    pub fn actor(&self, id: ActorId) -> Option<ActorState> {
        self.actors.get(&id).map(Actor::state)
    }

    /// The nodes of a group's bundles, where it is ready.
    pub fn group(&self, id: GroupId) -> Option<Vec<NodeId>> {
        self.groups.get(&id).and_then(Group::nodes)
    }

    /// Actors after `after`, with what they are to be; those too that died not long ago.
    pub fn actors(&self, after: Option<ActorId>) -> impl Iterator<Item = (ActorId, &ActorSpec, ActorState)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.actors.range((from, Bound::Unbounded)).map(|(id, actor)| (*id, &actor.spec, actor.state()))
    }

    /// Groups after `after`, with what each bundle asks for; `None` for the nodes of those that aren't ready.
    pub fn groups(
        &self,
        after: Option<GroupId>,
    ) -> impl Iterator<Item = (GroupId, Strategy, &[Demand], Option<Vec<NodeId>>)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let groups = self.groups.range((from, Bound::Unbounded));
        groups.map(|(id, group)| (*id, group.strategy, &group.bundles[..], group.nodes()))
    }

    /// What was ignored so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn node_up(&mut self, node: NodeId, capacity: Capacity) {
        if self.dead_nodes.contains(&node) {
            self.counters.stale += 1;
        } else if self.nodes.contains_key(&node) {
            self.counters.duplicates += 1;
        } else if self.nodes.len() >= self.limits.nodes_max {
            self.counters.nodes_refused += 1;
        } else {
            self.nodes.insert(node, Ledger::new(capacity));
            self.room = true;
        }
    }

    fn node_died(&mut self, now: Time, node: NodeId, out: &mut Out<Action>) {
        self.dead_nodes.insert(node);
        while self.dead_nodes.len() > self.limits.nodes_max {
            self.dead_nodes.pop_first();
        }
        if self.nodes.remove(&node).is_none() {
            self.counters.stale += 1;
            return;
        }
        self.lose_bundles_on(node, out);
        self.end_lives_on(now, node, out);
        self.room = true;
    }

    fn owner_died(&mut self, owner: OwnerId, out: &mut Out<Action>) {
        self.dead_owners.insert(owner);
        while self.dead_owners.len() > self.limits.dead_owners_max {
            self.dead_owners.pop_first();
        }
        self.end_all(|id, actor| id.owner == owner && !actor.spec.detached, &DeathCause::OwnerDied, out);
        let groups: Vec<GroupId> = self.groups.keys().copied().filter(|group| group.owner == owner).collect();
        groups.into_iter().for_each(|group| self.remove_group(group, out));
        self.ended.forget(owner);
    }

    fn timer(&mut self, now: Time, token: TimerToken, out: &mut Out<Action>) {
        match self.timers.remove(&token) {
            Some(Wake::Actor(actor)) => drop(self.place(actor, out)),
            Some(Wake::Prepare(group)) => self.prepare_timed_out(now, group, out),
            Some(Wake::Group(group)) => {
                self.groups.get_mut(&group).expect("CTL-6: a timer's group is here").stage = Stage::Waiting;
                self.room = true;
            }
            None => self.counters.stale += 1,
        }
    }

    fn set_timer(&mut self, at: Time, wake: Wake, out: &mut Out<Action>) -> TimerToken {
        let token = TimerToken(self.next_timer);
        self.next_timer += 1;
        self.timers.insert(token, wake);
        out.push(Action::SetTimer { at, token });
        token
    }

    /// Tries again whoever waits for room: groups first, since they need most at a time. Of actors that want the same
    /// only the first is tried when there is no room for it.
    fn fill(&mut self, now: Time, out: &mut Out<Action>) {
        self.prepare_next(now, out);
        let mut hopeless: BTreeSet<(Option<BundleId>, Demand)> = BTreeSet::new();
        for id in self.unplaced.iter().copied().collect::<Vec<_>>() {
            let spec = &self.actors[&id].spec;
            let want = (spec.bundle, spec.demand.clone());
            if !hopeless.contains(&want) && !self.place(id, out) {
                hopeless.insert(want);
            }
        }
    }
}
