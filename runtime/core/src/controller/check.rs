//! The invariants of the controller.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::actor::Actor;
use super::group::{Group, Stage};
use super::life::Life;
use super::{Controller, Strategy, Wake};
use crate::ids::{ActorId, GroupId, Incarnation, NodeId};
use crate::resources::Ledger;

impl Controller {
    /// Asserts the invariants that [`Controller`] lists. Linear in the controller's state, but for a logarithm.
    ///
    /// # Panics
    /// Where one doesn't hold, with its id.
    pub fn check(&self) {
        assert!(!self.room, "CTL-9: room was not filled");
        self.actors.iter().for_each(|(id, actor)| self.check_actor(*id, actor));
        self.groups.iter().for_each(|(id, group)| self.check_group(*id, group));
        self.check_tables();
        self.check_ledgers();
        self.check_timers();
        self.check_bounds();
    }

    fn check_actor(&self, id: ActorId, actor: &Actor) {
        if let Some(seat) = actor.seat() {
            assert!(self.nodes.contains_key(&seat.node), "CTL-3: actor {id} sits on a dead node");
            assert_eq!(seat.grant.is_some(), actor.spec.bundle.is_none(), "CTL-3: actor {id} and its bundle");
        }
        if let Some(lease) = actor.lease() {
            assert_eq!(self.leases.get(&lease), Some(&id), "CTL-1: lease {lease} of actor {id}");
            assert!(actor.incarnation > Incarnation(0), "CTL-1: actor {id} runs before its first life");
        }
        match &actor.life {
            Life::Requested { request, .. } => {
                assert_eq!(self.requests.get(request), Some(&id), "CTL-1: request {request} of actor {id}");
            }
            Life::Resting { token } => {
                assert_eq!(self.timers.get(token), Some(&Wake::Actor(id)), "CTL-6: actor {id} rests for ever");
            }
            _ => {}
        }
        let is_unplaced = matches!(actor.life, Life::Unplaced);
        assert_eq!(self.unplaced.contains(&id), is_unplaced, "CTL-9: actor {id}");
        if let (Some(name), false) = (&actor.spec.name, actor.is_doomed()) {
            assert_eq!(self.names.get(name), Some(&id), "CTL-2: actor {id} has lost its name");
        }
        if let (Some(group), false) = (actor.group(), actor.is_doomed()) {
            assert!(self.groups.contains_key(&group), "CTL-8: actor {id} survives its group");
        }
        let is_orphan = self.dead_owners.contains(&id.owner) && !actor.spec.detached;
        assert!(!is_orphan || actor.is_doomed(), "CTL-8: actor {id} survives its owner");
        assert!(actor.restarts_left <= actor.spec.restarts, "CTL-1: actor {id} has gained restarts");
    }

    fn check_group(&self, id: GroupId, group: &Group) {
        assert_eq!(group.spots.len(), group.bundles.len(), "CTL-5: group {id}");
        for spot in group.spots.iter().flatten() {
            assert!(self.nodes.contains_key(&spot.node), "CTL-5: group {id} has a bundle on a dead node");
            assert!(spot.attempt <= group.attempt, "CTL-5: group {id} has a bundle of an attempt to come");
        }
        let waits = self.waiting_groups.iter().filter(|waiting| **waiting == id).count();
        let should_wait = matches!(group.stage, Stage::Waiting | Stage::Resting { .. });
        assert_eq!(waits, usize::from(should_wait), "CTL-9: group {id} waits {waits} times");
        let is_preparing = matches!(group.stage, Stage::Preparing { .. });
        assert_eq!(is_preparing, self.preparing == Some(id), "CTL-4: group {id}");
        assert!(!self.dead_owners.contains(&id.owner), "CTL-8: group {id} survives its owner");
        let is_whole = group.spots.iter().all(Option::is_some);
        match &group.stage {
            Stage::Waiting => assert!(!is_whole, "CTL-5: group {id} has all and waits"),
            Stage::Resting { token } => {
                assert_eq!(self.timers.get(token), Some(&Wake::Group(id)), "CTL-6: group {id} rests for ever");
            }
            Stage::Preparing { token, asked, missing } => {
                assert!(is_whole && missing.is_subset(asked) && !missing.is_empty(), "CTL-5: group {id} prepares");
                assert_eq!(self.timers.get(token), Some(&Wake::Prepare(id)), "CTL-6: group {id} prepares for ever");
            }
            Stage::Committing { missing } => assert!(is_whole && !missing.is_empty(), "CTL-5: group {id} commits"),
            Stage::Ready => assert!(is_whole, "CTL-5: group {id} is ready and not whole"),
        }
        self.check_strategy(id, group);
    }

    fn check_strategy(&self, id: GroupId, group: &Group) {
        let mut nodes: Vec<NodeId> = group.spots.iter().flatten().map(|spot| spot.node).collect();
        let bundles = nodes.len();
        nodes.sort_unstable();
        nodes.dedup();
        match group.strategy {
            Strategy::StrictPack => assert!(nodes.len() <= 1, "CTL-5: group {id} is not on one node"),
            Strategy::StrictSpread => assert_eq!(nodes.len(), bundles, "CTL-5: group {id} shares a node"),
            Strategy::Pack | Strategy::Spread => {}
        }
    }

    fn check_tables(&self) {
        for (lease, id) in &self.leases {
            let holder = self.actors.get(id).and_then(Actor::lease);
            assert_eq!(holder, Some(*lease), "CTL-1: lease {lease} is nobody's");
        }
        for (request, id) in &self.requests {
            let is_awaited =
                matches!(&self.actors[id].life, Life::Requested { request: known, .. } if known == request);
            assert!(is_awaited, "CTL-1: nobody waits for request {request}");
        }
        for (name, id) in &self.names {
            let actor = &self.actors[id];
            let is_its = actor.spec.name.as_ref() == Some(name) && !actor.is_doomed();
            assert!(is_its, "CTL-2: name {name} belongs to {id}");
        }
        assert!(self.unplaced.iter().all(|id| self.actors.contains_key(id)), "CTL-9: an unknown actor waits");
        assert!(self.waiting_groups.iter().all(|id| self.groups.contains_key(id)), "CTL-9: an unknown group waits");
        assert!(self.preparing.is_none_or(|id| self.groups.contains_key(&id)), "CTL-4: an unknown group prepares");
    }

    /// What is free and what is taken is all there is.
    fn check_ledgers(&self) {
        let mut free: BTreeMap<NodeId, Ledger> = self.nodes.clone();
        for seat in self.actors.values().filter_map(Actor::seat) {
            let ledger = free.get_mut(&seat.node).expect("CTL-3: a seat is on a live node");
            seat.grant.iter().for_each(|grant| ledger.release(grant));
        }
        for spot in self.groups.values().flat_map(|group| group.spots.iter().flatten()).chain(self.ending.values()) {
            free.get_mut(&spot.node).expect("CTL-3: a bundle is on a live node").release(&spot.grant);
        }
        for (node, ledger) in &free {
            assert!(ledger.is_unused(), "CTL-3: resources of {node} are missing: {ledger:?}");
        }
    }

    fn check_timers(&self) {
        for (token, wake) in &self.timers {
            let is_awaited = match wake {
                Wake::Actor(id) => matches!(self.actors[id].life, Life::Resting { token: known } if known == *token),
                Wake::Group(id) => matches!(self.groups[id].stage, Stage::Resting { token: known } if known == *token),
                Wake::Prepare(id) => {
                    matches!(self.groups[id].stage, Stage::Preparing { token: known, .. } if known == *token)
                }
            };
            assert!(is_awaited, "CTL-6: nobody waits for {token}");
        }
    }

    fn check_bounds(&self) {
        let live = self.actors.values().filter(|actor| !actor.is_dead()).count();
        assert_eq!(live, self.live_actors, "CTL-7: live actors");
        assert_eq!(live + self.dead_actors.len(), self.actors.len(), "CTL-7: dead actors");
        let limits = &self.limits;
        assert!(live <= limits.actors_max, "CTL-7: too many actors");
        assert!(self.dead_actors.len() <= limits.dead_actors_max, "CTL-7: too many dead actors");
        assert!(self.groups.len() <= limits.groups_max, "CTL-7: too many groups");
        assert!(self.nodes.len() <= limits.nodes_max, "CTL-7: too many nodes");
        assert!(self.ended.most() <= limits.controller_tombstones_max, "CTL-7: too many ended names remembered");
        assert!(self.dead_nodes.len() <= limits.nodes_max, "CTL-7: too many dead nodes remembered");
        assert!(self.dead_owners.len() <= limits.dead_owners_max, "CTL-7: too many dead owners remembered");
    }
}
