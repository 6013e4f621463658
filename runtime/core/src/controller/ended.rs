//! Names that are used up: a creation or reservation that comes twice, or after its end, starts nothing.

use alloc::collections::BTreeMap;

use super::Controller;
use crate::finished::Finished;
use crate::ids::{ActorId, GroupId, OwnerId};

/// What has ended, or was refused, by owner.
#[derive(Debug, Default)]
pub(super) struct Ended {
    groups: BTreeMap<OwnerId, Finished>,
    actors: BTreeMap<OwnerId, Finished>,
}

impl Ended {
    pub(super) fn has_group(&self, id: GroupId) -> bool {
        self.groups.get(&id.owner).is_some_and(|ended| ended.contains(id.seq))
    }

    pub(super) fn has_actor(&self, id: ActorId) -> bool {
        self.actors.get(&id.owner).is_some_and(|ended| ended.contains(id.seq))
    }

    /// A dead owner's creations are refused as such.
    pub(super) fn forget(&mut self, owner: OwnerId) {
        self.groups.remove(&owner);
        self.actors.remove(&owner);
    }

    /// How many names of one owner are remembered one by one, at most.
    pub(super) fn most(&self) -> usize {
        self.groups.values().chain(self.actors.values()).map(Finished::len).max().unwrap_or(0)
    }
}

impl Controller {
    pub(super) fn group_ended(&mut self, id: GroupId) {
        if !self.dead_owners.contains(&id.owner) {
            let tombstones_max = self.limits.controller_tombstones_max;
            self.ended.groups.entry(id.owner).or_default().insert(id.seq, tombstones_max);
        }
    }

    pub(super) fn actor_ended_for_good(&mut self, id: ActorId) {
        if !self.dead_owners.contains(&id.owner) {
            let tombstones_max = self.limits.controller_tombstones_max;
            self.ended.actors.entry(id.owner).or_default().insert(id.seq, tombstones_max);
        }
    }
}
