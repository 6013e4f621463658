//! An actor's lives.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::life::{Life, Seat, Then};
use super::plan;
use super::protocol::{Action, ActorEnd, ActorRefusal, ActorSpec, DeathCause};
use super::{Controller, Wake};
use crate::ids::{ActorId, GroupId, Incarnation, LeaseId, NodeId, OwnerId, RequestId};
use crate::node::Refusal;
use crate::out::Out;
use crate::resources::{Demand, Grant};
use crate::time::Time;

/// The record of an actor.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) spec: ActorSpec,
    /// Starts again that are left; [`u32::MAX`] are never used up.
    pub(super) restarts_left: u32,
    /// Failures and refusals, for the backoff.
    pub(super) failures: u32,
    /// When its life began that is going on, or was the last.
    pub(super) alive_since: Option<Time>,
    /// The last life that was started; 0 before the first.
    pub(super) incarnation: Incarnation,
    pub(super) life: Life,
}

/// What an actor looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorState {
    /// Not started yet.
    Pending,
    /// Its constructor runs.
    Starting,
    /// It takes calls.
    Alive {
        /// Where.
        node: NodeId,
        /// Which life.
        incarnation: Incarnation,
    },
    /// Its next life will come.
    Restarting,
    /// For good.
    Dead {
        /// Why.
        cause: DeathCause,
    },
}

impl Actor {
    fn new(spec: ActorSpec) -> Actor {
        let restarts_left = spec.restarts;
        Actor { spec, restarts_left, failures: 0, alive_since: None, incarnation: Incarnation(0), life: Life::Unplaced }
    }

    pub(super) fn is_dead(&self) -> bool {
        matches!(self.life, Life::Dead { .. })
    }

    /// Whether it is dead for those who know it.
    pub(super) fn is_doomed(&self) -> bool {
        self.is_dead() || matches!(self.life, Life::Stopping { then: Then::Die { .. }, .. })
    }

    pub(super) fn group(&self) -> Option<GroupId> {
        self.spec.bundle.map(|bundle| bundle.group)
    }

    pub(super) fn seat(&self) -> Option<&Seat> {
        self.life.seat()
    }

    pub(super) fn lease(&self) -> Option<LeaseId> {
        match &self.life {
            Life::Starting { lease, .. } | Life::Alive { lease, .. } | Life::Stopping { lease, .. } => Some(*lease),
            _ => None,
        }
    }

    pub(super) fn state(&self) -> ActorState {
        match &self.life {
            Life::Unplaced | Life::Resting { .. } | Life::Requested { .. } if self.incarnation == Incarnation(0) => {
                ActorState::Pending
            }
            Life::Unplaced | Life::Resting { .. } | Life::Requested { .. } => ActorState::Restarting,
            Life::Starting { .. } => ActorState::Starting,
            Life::Alive { seat, .. } => ActorState::Alive { node: seat.node, incarnation: self.incarnation },
            Life::Stopping { then: Then::Restart, .. } => ActorState::Restarting,
            Life::Stopping { then: Then::Die { cause }, .. } | Life::Dead { cause } => {
                ActorState::Dead { cause: cause.clone() }
            }
        }
    }
}

impl Controller {
    pub(super) fn create_actor(&mut self, id: ActorId, spec: ActorSpec, out: &mut Out<Action>) {
        if self.actors.contains_key(&id) {
            self.counters.duplicates += 1;
            return out.push(Action::ActorCreated { actor: id });
        }
        if self.ended.has_actor(id) {
            self.counters.stale += 1;
            return;
        }
        let named = spec.name.as_ref().and_then(|name| self.names.get(name)).copied();
        if let (Some(actor), true) = (named, spec.get_or_create) {
            self.actor_ended_for_good(id);
            return out.push(Action::ActorExists { asked: id, actor });
        }
        if let Some(refusal) = self.actor_refusal(id, &spec, named) {
            self.actor_ended_for_good(id);
            return out.push(Action::ActorRefused { actor: id, refusal });
        }
        if let Some(name) = &spec.name {
            self.names.insert(name.clone(), id);
        }
        self.actors.insert(id, Actor::new(spec));
        self.live_actors += 1;
        out.push(Action::ActorCreated { actor: id });
        self.place(id, out);
    }

    fn actor_refusal(&self, id: ActorId, spec: &ActorSpec, named: Option<ActorId>) -> Option<ActorRefusal> {
        if let Some(actor) = named {
            return Some(ActorRefusal::NameTaken { actor });
        }
        if self.dead_owners.contains(&id.owner) {
            return Some(ActorRefusal::OwnerDead);
        }
        if spec.name.as_ref().is_some_and(|name| name.len() > self.limits.name_bytes_max) {
            return Some(ActorRefusal::NameTooLong);
        }
        if self.live_actors >= self.limits.actors_max {
            return Some(ActorRefusal::TooMany);
        }
        match spec.bundle {
            Some(bundle) => {
                let group = self.groups.get(&bundle.group);
                let exists = group.is_some_and(|group| (bundle.index as usize) < group.bundles.len());
                (!exists).then_some(ActorRefusal::NoSuchBundle(bundle))
            }
            None => plan::feasible_somewhere(&spec.demand, &self.nodes).err().map(ActorRefusal::Infeasible),
        }
    }

    pub(super) fn lookup_actor(&self, request: RequestId, name: &String, out: &mut Out<Action>) {
        out.push(Action::ActorFound { request, actor: self.names.get(name).copied() });
    }

    /// How many actors have a place on each node.
    fn residents(&self) -> BTreeMap<NodeId, usize> {
        let mut residents = BTreeMap::new();
        self.actors.values().filter_map(Actor::seat).for_each(|seat| *residents.entry(seat.node).or_default() += 1);
        residents
    }

    /// The node for an actor outside of groups, if one has room. Who else is there matters to one without CPUs of its own
    /// alone, and only among several nodes.
    fn free_node(&self, demand: &Demand) -> Option<NodeId> {
        let matter = demand.cpu().is_zero() && self.nodes.len() > 1;
        let residents = if matter { self.residents() } else { BTreeMap::new() };
        plan::single(demand, &self.nodes, |node| residents.get(&node).copied().unwrap_or(0))
    }

    /// Asks a node for an actor's lease, or leaves it unplaced where none has room. Returns whether one was asked.
    pub(super) fn place(&mut self, id: ActorId, out: &mut Out<Action>) -> bool {
        let spec = &self.actors[&id].spec;
        let (demand, bundle) = (spec.demand.clone(), spec.bundle);
        let node = match bundle {
            Some(bundle) => self.bundle_node(bundle),
            None => self.free_node(&demand),
        };
        let actor = self.actors.get_mut(&id).expect("it is being placed");
        let Some(node) = node else {
            actor.life = Life::Unplaced;
            self.unplaced.insert(id);
            return false;
        };
        let grant = match bundle {
            Some(_) => None,
            None => self.nodes.get_mut(&node).and_then(|ledger| ledger.take(&demand)),
        };
        let request = RequestId { owner: OwnerId::CONTROLLER, seq: self.next_request };
        self.next_request += 1;
        actor.life = Life::Requested { request, seat: Seat { node, grant } };
        self.unplaced.remove(&id);
        self.requests.insert(request, id);
        out.push(Action::RequestLease { node, request, demand, bundle });
        true
    }

    pub(super) fn lease_granted(&mut self, request: RequestId, lease: LeaseId, grant: Grant, out: &mut Out<Action>) {
        let Some(id) = self.requests.remove(&request) else {
            self.counters.stale += 1;
            if !self.leases.contains_key(&lease) {
                out.push(Action::ReturnLease { lease });
            }
            return;
        };
        let actor = self.actors.get_mut(&id).expect("CTL-1: a request is a live actor's");
        let Life::Requested { seat, .. } = core::mem::replace(&mut actor.life, Life::Unplaced) else {
            unreachable!("CTL-1: a request's actor waits for it")
        };
        let (node, incarnation) = (seat.node, actor.incarnation.next());
        actor.incarnation = incarnation;
        actor.life = Life::Starting { lease, seat };
        self.leases.insert(lease, id);
        out.push(Action::StartActor { node, actor: id, incarnation, lease, grant });
    }

    pub(super) fn lease_refused(&mut self, now: Time, request: RequestId, refusal: Refusal, out: &mut Out<Action>) {
        let Some(id) = self.requests.remove(&request) else {
            self.counters.stale += 1;
            return;
        };
        self.vacate(id, out);
        match refusal {
            Refusal::Infeasible(infeasible) => self.die(id, DeathCause::Infeasible(infeasible), out),
            _ => self.rest(now, id, false, out),
        }
    }

    pub(super) fn actor_started(&mut self, now: Time, id: ActorId, incarnation: Incarnation, out: &mut Out<Action>) {
        let Some(actor) = self.actors.get_mut(&id).filter(|actor| actor.incarnation == incarnation) else {
            self.counters.stale += 1;
            return;
        };
        match core::mem::replace(&mut actor.life, Life::Unplaced) {
            Life::Starting { lease, seat } => {
                let node = seat.node;
                actor.life = Life::Alive { lease, seat };
                actor.alive_since = Some(now);
                out.push(Action::ActorAlive { actor: id, incarnation, node });
            }
            other => {
                actor.life = other;
                self.counters.stale += 1;
            }
        }
    }

    pub(super) fn actor_ended(
        &mut self,
        now: Time,
        (id, incarnation): (ActorId, Incarnation),
        end: ActorEnd,
        out: &mut Out<Action>,
    ) {
        let running = self.actors.get(&id).filter(|actor| actor.incarnation == incarnation && actor.lease().is_some());
        let Some(actor) = running else {
            self.counters.stale += 1;
            return;
        };
        if let Life::Stopping { then, .. } = &actor.life {
            let then = then.clone();
            self.vacate(id, out);
            return self.stopped(now, id, then, out);
        }
        self.vacate(id, out);
        match end {
            ActorEnd::ConstructorFailed => self.die(id, DeathCause::ConstructorFailed, out),
            ActorEnd::Stopped => self.die(id, DeathCause::Exited, out),
            ActorEnd::Crashed => self.restart_or_die(now, id, out),
        }
    }

    pub(super) fn kill_actor(&mut self, id: ActorId, restart: bool, out: &mut Out<Action>) {
        let is_over = self.ended.has_actor(id) || self.dead_owners.contains(&id.owner);
        if !self.actors.contains_key(&id) && !restart && !is_over {
            // It was killed before the word of its creation came, which then creates nothing.
            self.actor_ended_for_good(id);
            return out.push(Action::ActorDead { actor: id, cause: DeathCause::Killed });
        }
        let Some(actor) = self.actors.get_mut(&id).filter(|actor| !actor.is_doomed()) else {
            self.counters.stale += 1;
            return;
        };
        if !restart {
            return self.end(id, DeathCause::Killed, out);
        }
        let is_running = matches!(actor.life, Life::Starting { .. } | Life::Alive { .. });
        if is_running && !actor.use_restart() {
            let cause = DeathCause::RestartsUsed { restarts: actor.spec.restarts };
            return self.end(id, cause, out);
        }
        if is_running {
            let ended = actor.incarnation;
            self.stop(id, Then::Restart, out);
            out.push(Action::ActorRestarting { actor: id, ended });
        }
    }

    /// Ends an actor for good, running or not.
    pub(super) fn end(&mut self, id: ActorId, cause: DeathCause, out: &mut Out<Action>) {
        let actor = self.actors.get_mut(&id).expect("it is being ended");
        match &mut actor.life {
            Life::Dead { .. } | Life::Stopping { then: Then::Die { .. }, .. } => {}
            Life::Starting { .. } | Life::Alive { .. } => {
                self.announce_death(id, &cause, out);
                self.stop(id, Then::Die { cause }, out);
            }
            Life::Stopping { then, .. } => {
                *then = Then::Die { cause: cause.clone() };
                self.announce_death(id, &cause, out);
            }
            Life::Unplaced | Life::Resting { .. } | Life::Requested { .. } => {
                self.withdraw(id, out);
                self.die(id, cause, out);
            }
        }
    }

    /// Tells a running actor's node to stop it.
    fn stop(&mut self, id: ActorId, then: Then, out: &mut Out<Action>) {
        let actor = self.actors.get_mut(&id).expect("it runs");
        let incarnation = actor.incarnation;
        let (Life::Starting { lease, seat } | Life::Alive { lease, seat }) =
            core::mem::replace(&mut actor.life, Life::Unplaced)
        else {
            unreachable!("it runs")
        };
        let node = seat.node;
        actor.life = Life::Stopping { lease, seat, then };
        out.push(Action::StopActor { node, actor: id, incarnation });
    }

    fn stopped(&mut self, now: Time, id: ActorId, then: Then, out: &mut Out<Action>) {
        match then {
            Then::Restart => self.rest(now, id, true, out),
            Then::Die { cause } => self.bury(id, cause),
        }
    }

    /// What an actor that doesn't run was waiting for, it waits for no more.
    fn withdraw(&mut self, id: ActorId, out: &mut Out<Action>) {
        let actor = &self.actors[&id];
        match &actor.life {
            Life::Resting { token } => drop(self.timers.remove(token)),
            Life::Requested { request, seat } => {
                out.push(Action::CancelRequest { node: seat.node, request: *request });
                self.requests.remove(request);
            }
            _ => {}
        }
        self.vacate(id, out);
    }

    /// Gives back what an actor holds; its life is `Unplaced` until the caller says what comes.
    pub(super) fn vacate(&mut self, id: ActorId, out: &mut Out<Action>) {
        let actor = self.actors.get_mut(&id).expect("it holds something");
        let lease = actor.lease();
        if let Some(lease) = lease {
            self.leases.remove(&lease);
        }
        if let Some(seat) = actor.seat()
            && let Some(ledger) = self.nodes.get_mut(&seat.node)
        {
            seat.grant.iter().for_each(|grant| ledger.release(grant));
            lease.into_iter().for_each(|lease| out.push(Action::ReturnLease { lease }));
            self.room = true;
        }
        actor.life = Life::Unplaced;
    }

    fn restart_or_die(&mut self, now: Time, id: ActorId, out: &mut Out<Action>) {
        let actor = self.actors.get_mut(&id).expect("it failed");
        if !actor.use_restart() {
            let cause = DeathCause::RestartsUsed { restarts: actor.spec.restarts };
            return self.die(id, cause, out);
        }
        out.push(Action::ActorRestarting { actor: id, ended: actor.incarnation });
        self.rest(now, id, true, out);
    }

    /// Waits before the next life, or before the next request for it. After a life that went well, hardly.
    fn rest(&mut self, now: Time, id: ActorId, is_restart: bool, out: &mut Out<Action>) {
        let actor = self.actors.get_mut(&id).expect("it rests");
        let lived = actor.alive_since.take().map(|since| now.since(since));
        let went_well = lived.is_some_and(|lived| lived >= self.limits.healthy_after);
        actor.failures = if went_well { 0 } else { actor.failures + 1 };
        let backoff = if is_restart { self.limits.restart_backoff } else { self.limits.request_backoff };
        let wait = backoff.wait(actor.failures.max(1), (u64::from(id.owner.0) << 32) ^ id.seq);
        let wait = if went_well { wait / 10 } else { wait };
        let token = self.set_timer(now + wait, Wake::Actor(id), out);
        self.actors.get_mut(&id).expect("it rests").life = Life::Resting { token };
    }

    fn die(&mut self, id: ActorId, cause: DeathCause, out: &mut Out<Action>) {
        self.announce_death(id, &cause, out);
        self.bury(id, cause);
    }

    fn announce_death(&mut self, id: ActorId, cause: &DeathCause, out: &mut Out<Action>) {
        if let Some(name) = &self.actors[&id].spec.name {
            self.names.remove(name);
        }
        out.push(Action::ActorDead { actor: id, cause: cause.clone() });
    }

    fn bury(&mut self, id: ActorId, cause: DeathCause) {
        self.actors.get_mut(&id).expect("it died").life = Life::Dead { cause };
        self.unplaced.remove(&id);
        self.live_actors -= 1;
        self.dead_actors.push_back(id);
        while self.dead_actors.len() > self.limits.dead_actors_max {
            let oldest = self.dead_actors.pop_front().expect("it is not empty");
            self.actors.remove(&oldest);
            self.actor_ended_for_good(oldest);
        }
    }

    /// The lives of a dead node's actors are over.
    pub(super) fn end_lives_on(&mut self, now: Time, node: NodeId, out: &mut Out<Action>) {
        let on_node = |actor: &Actor| actor.seat().is_some_and(|seat| seat.node == node);
        let ids: Vec<ActorId> = self.actors.iter().filter(|(_, actor)| on_node(actor)).map(|(id, _)| *id).collect();
        for id in ids {
            let life =
                core::mem::replace(&mut self.actors.get_mut(&id).expect("it was just there").life, Life::Unplaced);
            match life {
                Life::Requested { request, .. } => {
                    self.requests.remove(&request);
                    self.place(id, out);
                }
                Life::Starting { lease, .. } | Life::Alive { lease, .. } => {
                    self.leases.remove(&lease);
                    self.restart_or_die(now, id, out);
                }
                Life::Stopping { lease, then, .. } => {
                    self.leases.remove(&lease);
                    self.stopped(now, id, then, out);
                }
                Life::Unplaced | Life::Resting { .. } | Life::Dead { .. } => unreachable!("it has a seat"),
            }
        }
    }

    /// Ends all actors that `which` names.
    pub(super) fn end_all(
        &mut self,
        which: impl Fn(ActorId, &Actor) -> bool,
        cause: &DeathCause,
        out: &mut Out<Action>,
    ) {
        let doomed = self.actors.iter().filter(|(id, actor)| !actor.is_doomed() && which(**id, actor));
        let doomed: Vec<ActorId> = doomed.map(|(id, _)| *id).collect();
        doomed.into_iter().for_each(|id| self.end(id, cause.clone(), out));
    }
}

impl Actor {
    /// Uses one of the restarts, if there is one.
    fn use_restart(&mut self) -> bool {
        if self.restarts_left == 0 {
            return false;
        }
        if self.restarts_left != u32::MAX {
            self.restarts_left -= 1;
        }
        true
    }
}
