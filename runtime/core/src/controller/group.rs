//! A placement group: planned, prepared on all its nodes, then committed on all (G1), one group at a time (G2).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::plan::{self, Layout};
use super::protocol::{Action, DeathCause, GroupRefusal, Strategy};
use super::{Controller, Wake};
use crate::ids::{Attempt, BundleId, GroupId, NodeId, TimerToken};
use crate::out::Out;
use crate::resources::{Demand, Grant};
use crate::time::Time;

/// The record of a group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) bundles: Vec<Demand>,
    pub(super) strategy: Strategy,
    /// The last attempt; 0 before the first.
    pub(super) attempt: Attempt,
    /// By bundle: where it is, or is being prepared.
    pub(super) spots: Vec<Option<Spot>>,
    pub(super) stage: Stage,
    /// How many that came later were served before it.
    pub(super) overtaken: u32,
    pub(super) failures: u32,
}

/// A bundle's place, and what it takes there as the controller counts it.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) node: NodeId,
    pub(super) attempt: Attempt,
    pub(super) grant: Grant,
}

/// How far a group is.
///
/// ```text
///   ReserveGroup --> Waiting -- planned --> Preparing -- all Prepared --> Committing -- all Committed --> Ready
///                     ^  ^ ^                    |                             |                             |
///                     |  | '-- refusal, death, timeout: all returned --------'| a death: all returned       |
///               timer |  |                                                                                  |
///                   Resting (after a refusal or a timeout)       a death: what is left is kept, the rest waits
/// ```
#[derive(Debug)]
pub(super) enum Stage {
    /// For its turn, or for room.
    Waiting,
    /// Before it tries again.
    Resting { token: TimerToken },
    /// `asked` are the bundles of this attempt, `missing` those whose node has not answered.
    Preparing { token: TimerToken, asked: BTreeSet<u32>, missing: BTreeSet<u32> },
    /// `missing` are those whose node has not answered.
    Committing { missing: BTreeSet<u32> },
    /// All bundles grant leases.
    Ready,
}

impl Group {
    fn places(&self) -> Vec<Option<NodeId>> {
        self.spots.iter().map(|spot| spot.as_ref().map(|spot| spot.node)).collect()
    }

    /// The nodes of its bundles, where it is ready.
    pub(super) fn nodes(&self) -> Option<Vec<NodeId>> {
        match self.stage {
            Stage::Ready => self.places().into_iter().collect(),
            _ => None,
        }
    }
}

impl Controller {
    pub(super) fn reserve_group(
        &mut self,
        id: GroupId,
        bundles: Vec<Demand>,
        strategy: Strategy,
        out: &mut Out<Action>,
    ) {
        if let Some(known) = self.groups.get(&id) {
            self.counters.duplicates += 1;
            let nodes = known.nodes();
            return nodes.into_iter().for_each(|nodes| out.push(Action::GroupReady { group: id, nodes }));
        }
        if self.ended.has_group(id) {
            self.counters.stale += 1;
            return out.push(Action::GroupRemoved { group: id });
        }
        if let Some(refusal) = self.group_refusal(id, &bundles, strategy) {
            self.group_ended(id);
            return out.push(Action::GroupRefused { group: id, refusal });
        }
        let spots = bundles.iter().map(|_| None).collect();
        let attempt = Attempt(0);
        let group = Group { bundles, strategy, attempt, spots, stage: Stage::Waiting, overtaken: 0, failures: 0 };
        self.groups.insert(id, group);
        self.waiting_groups.push_back(id);
        self.room = true;
    }

    fn group_refusal(&self, id: GroupId, bundles: &[Demand], strategy: Strategy) -> Option<GroupRefusal> {
        if bundles.is_empty() {
            return Some(GroupRefusal::NoBundles);
        }
        if bundles.len() > self.limits.bundles_max || self.groups.len() >= self.limits.groups_max {
            return Some(GroupRefusal::TooMany);
        }
        if self.dead_owners.contains(&id.owner) {
            return Some(GroupRefusal::OwnerDead);
        }
        plan::refusal(strategy, bundles, &self.nodes)
    }

    /// Prepares the first group in the queue that fits, unless one is being prepared. As on a node, those that don't fit
    /// may be overtaken a bounded number of times; then the others wait for them, as long as they can be placed at all.
    pub(super) fn prepare_next(&mut self, now: Time, out: &mut Out<Action>) {
        if self.preparing.is_some() {
            return;
        }
        let mut passed = Vec::new();
        for id in self.waiting_groups.clone() {
            let group = &self.groups[&id];
            if matches!(group.stage, Stage::Resting { .. }) {
                continue;
            }
            let fixed = group.places();
            let layout = Layout { strategy: group.strategy, bundles: &group.bundles, fixed: &fixed };
            if let Some(places) = plan::plan(&layout, &self.nodes) {
                for earlier in passed {
                    self.groups.get_mut(&earlier).expect("it waits").overtaken += 1;
                }
                return self.prepare(now, id, &places, out);
            }
            let must_not_pass = group.overtaken >= self.limits.overtakes_max;
            if must_not_pass && plan::refusal(group.strategy, &group.bundles, &self.nodes).is_none() {
                return;
            }
            passed.push(id);
        }
    }

    fn prepare(&mut self, now: Time, id: GroupId, places: &[NodeId], out: &mut Out<Action>) {
        let token = self.set_timer(now + self.limits.prepare_timeout, Wake::Prepare(id), out);
        let group = self.groups.get_mut(&id).expect("it was planned");
        group.attempt = group.attempt.next();
        let attempt = group.attempt;
        let mut asked = BTreeSet::new();
        for (index, node) in places.iter().copied().enumerate() {
            if group.spots[index].is_some() {
                continue;
            }
            let demand = group.bundles[index].clone();
            let ledger = self.nodes.get_mut(&node).expect("it was planned on live nodes");
            let grant = ledger.take(&demand).expect("it was planned to fit");
            group.spots[index] = Some(Spot { node, attempt, grant });
            asked.insert(index as u32);
            out.push(Action::PrepareBundle { node, bundle: id.bundle(index as u32), attempt, demand });
        }
        group.stage = Stage::Preparing { token, missing: asked.clone(), asked };
        self.waiting_groups.retain(|waiting| *waiting != id);
        self.preparing = Some(id);
    }

    pub(super) fn bundle_prepared(&mut self, bundle: BundleId, attempt: Attempt, out: &mut Out<Action>) {
        let Some(group) = self.groups.get_mut(&bundle.group).filter(|group| group.attempt == attempt) else {
            self.counters.stale += 1;
            return;
        };
        let Stage::Preparing { token, asked, missing } = &mut group.stage else {
            self.counters.stale += 1;
            return;
        };
        if !missing.remove(&bundle.index) {
            self.counters.duplicates += 1;
        }
        if missing.is_empty() {
            self.timers.remove(token);
            let asked = core::mem::take(asked);
            self.commit(bundle.group, asked, out);
        }
    }

    fn commit(&mut self, id: GroupId, asked: BTreeSet<u32>, out: &mut Out<Action>) {
        let group = self.groups.get_mut(&id).expect("it is prepared");
        for index in &asked {
            let spot = group.spots[*index as usize].as_ref().expect("CTL-5: an asked bundle has a spot");
            let (node, attempt) = (spot.node, spot.attempt);
            out.push(Action::CommitBundle { node, bundle: id.bundle(*index), attempt });
        }
        group.stage = Stage::Committing { missing: asked };
        self.preparing = None;
        self.room = true;
    }

    pub(super) fn bundle_committed(&mut self, bundle: BundleId, attempt: Attempt, out: &mut Out<Action>) {
        let Some(group) = self.groups.get_mut(&bundle.group).filter(|group| group.attempt == attempt) else {
            self.counters.stale += 1;
            return;
        };
        let Stage::Committing { missing } = &mut group.stage else {
            self.counters.stale += 1;
            return;
        };
        missing.remove(&bundle.index);
        if missing.is_empty() {
            group.stage = Stage::Ready;
            (group.failures, group.overtaken) = (0, 0);
            let nodes = group.nodes().expect("CTL-5: a ready group is whole");
            out.push(Action::GroupReady { group: bundle.group, nodes });
            self.room = true;
        }
    }

    pub(super) fn prepare_refused(&mut self, now: Time, bundle: BundleId, attempt: Attempt, out: &mut Out<Action>) {
        match self.groups.get(&bundle.group) {
            Some(group) if group.attempt == attempt && self.preparing == Some(bundle.group) => {
                self.roll_back(bundle.group, out);
                self.rest_group(now, bundle.group, out);
            }
            _ => self.counters.stale += 1,
        }
    }

    pub(super) fn prepare_timed_out(&mut self, now: Time, id: GroupId, out: &mut Out<Action>) {
        self.roll_back(id, out);
        self.rest_group(now, id, out);
    }

    /// Returns the bundles of the current attempt, and those alone: a repair leaves the others where they are.
    fn roll_back(&mut self, id: GroupId, out: &mut Out<Action>) {
        let group = self.groups.get_mut(&id).expect("it is prepared or committed");
        if let Stage::Preparing { token, .. } = group.stage {
            self.timers.remove(&token);
            self.preparing = None;
        }
        group.stage = Stage::Waiting;
        let attempt = group.attempt;
        for index in 0..group.spots.len() {
            let is_of_attempt = |spot: &mut Spot| spot.attempt == attempt;
            if let Some(spot) = self.groups.get_mut(&id).expect("it is here").spots[index].take_if(is_of_attempt) {
                self.return_bundle(id.bundle(index as u32), spot, out);
            }
        }
        self.room = true;
    }

    fn rest_group(&mut self, now: Time, id: GroupId, out: &mut Out<Action>) {
        let group = self.groups.get_mut(&id).expect("it was rolled back");
        group.failures += 1;
        let wait = self.limits.request_backoff.wait(group.failures, (u64::from(id.owner.0) << 32) ^ id.seq);
        let token = self.set_timer(now + wait, Wake::Group(id), out);
        self.groups.get_mut(&id).expect("it was rolled back").stage = Stage::Resting { token };
        self.waiting_groups.push_back(id);
    }

    /// What a bundle took counts until its node says that it is free: leases in it may go on for a while.
    fn return_bundle(&mut self, bundle: BundleId, spot: Spot, out: &mut Out<Action>) {
        out.push(Action::ReturnBundle { node: spot.node, bundle, attempt: spot.attempt });
        self.ending.insert((bundle, spot.attempt), spot);
    }

    pub(super) fn bundle_returned(&mut self, node: NodeId, bundle: BundleId, attempt: Attempt) {
        let over = self.ending.range((bundle, Attempt(0))..=(bundle, attempt));
        let over: Vec<_> = over.filter(|(_, spot)| spot.node == node).map(|(key, _)| *key).collect();
        if over.is_empty() {
            self.counters.stale += 1;
        }
        for key in over {
            let spot = self.ending.remove(&key).expect("it was just there");
            self.nodes.get_mut(&node).expect("CTL-3: bundles end on live nodes").release(&spot.grant);
            self.room = true;
        }
    }

    pub(super) fn remove_group(&mut self, id: GroupId, out: &mut Out<Action>) {
        // Also one that is not known yet: its reservation may come later.
        self.group_ended(id);
        let Some(group) = self.groups.remove(&id) else {
            self.counters.stale += 1;
            return;
        };
        match group.stage {
            Stage::Resting { token } => drop(self.timers.remove(&token)),
            Stage::Preparing { token, .. } => {
                self.timers.remove(&token);
                self.preparing = None;
            }
            Stage::Waiting | Stage::Committing { .. } | Stage::Ready => {}
        }
        self.waiting_groups.retain(|waiting| *waiting != id);
        for (index, spot) in group.spots.into_iter().enumerate() {
            spot.into_iter().for_each(|spot| self.return_bundle(id.bundle(index as u32), spot, out));
        }
        out.push(Action::GroupRemoved { group: id });
        self.end_all(|_, actor| actor.group() == Some(id), &DeathCause::GroupGone { group: id }, out);
        self.room = true;
    }

    /// The bundles of a dead node are gone. A group that was ready keeps the rest, and is repaired before others are
    /// placed; one that was not is returned whole and starts anew.
    pub(super) fn lose_bundles_on(&mut self, node: NodeId, out: &mut Out<Action>) {
        self.ending.retain(|_, spot| spot.node != node);
        let on_node = |group: &Group| group.spots.iter().flatten().any(|spot| spot.node == node);
        let ids: Vec<GroupId> = self.groups.iter().filter(|(_, group)| on_node(group)).map(|(id, _)| *id).collect();
        for id in ids {
            let group = self.groups.get_mut(&id).expect("it was just there");
            for spot in &mut group.spots {
                spot.take_if(|spot| spot.node == node);
            }
            match group.stage {
                Stage::Waiting | Stage::Resting { .. } => {}
                Stage::Preparing { .. } | Stage::Committing { .. } => {
                    self.roll_back(id, out);
                    self.waiting_groups.push_front(id);
                }
                Stage::Ready => {
                    group.stage = Stage::Waiting;
                    self.waiting_groups.push_front(id);
                    out.push(Action::GroupBroken { group: id });
                }
            }
        }
    }

    /// The node of a bundle whose group is ready.
    pub(super) fn bundle_node(&self, bundle: BundleId) -> Option<NodeId> {
        let group = self.groups.get(&bundle.group).filter(|group| matches!(group.stage, Stage::Ready))?;
        group.spots.get(bundle.index as usize)?.as_ref().map(|spot| spot.node)
    }
}
