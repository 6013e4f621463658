//! The drivers of a cluster, as the head knows them.

use rayline_core::Time;
use rayline_core::ids::OwnerId;
use rayline_transport::PeerId;
use std::collections::BTreeMap;

/// Live drivers, and the names of those to come.
pub(super) struct Owners {
    /// The last that was given.
    last: u32,
    /// Each with the peer that speaks for it.
    live: BTreeMap<OwnerId, PeerId>,
    /// Those whose connection has ended, and who have not come again.
    missing: BTreeMap<OwnerId, Time>,
}

impl Owners {
    pub(super) fn new(start: u32) -> Owners {
        Owners { last: start, live: BTreeMap::new(), missing: BTreeMap::new() }
    }

    /// The name of the driver for which a peer speaks: the one that it has, the one that it had if that is free, or a new one.
    pub(super) fn enlist(&mut self, by: PeerId, known: Option<OwnerId>) -> OwnerId {
        let has = self.live.iter().find(|(_, peer)| **peer == by).map(|(owner, _)| *owner);
        let owner = has.or(known.filter(|known| !self.live.contains_key(known))).unwrap_or_else(|| self.fresh());
        self.live.insert(owner, by);
        self.missing.remove(&owner);
        owner
    }

    /// Those for whom a peer speaks.
    pub(super) fn of(&self, by: PeerId) -> Vec<OwnerId> {
        self.live.iter().filter(|(_, peer)| **peer == by).map(|(owner, _)| *owner).collect()
    }

    /// Those of whom a peer spoke have to come again.
    pub(super) fn miss(&mut self, by: PeerId, now: Time) -> Vec<OwnerId> {
        let missing = self.of(by);
        self.missing.extend(missing.iter().map(|owner| (*owner, now)));
        missing
    }

    /// Those of whom a peer speaks have come again.
    pub(super) fn find(&mut self, by: PeerId) {
        for owner in self.of(by) {
            self.missing.remove(&owner);
        }
    }

    /// Since when a driver has not come again.
    pub(super) fn missing_since(&self, owner: OwnerId) -> Option<Time> {
        self.missing.get(&owner).copied()
    }

    pub(super) fn is_live(&self, owner: OwnerId) -> bool {
        self.live.contains_key(&owner)
    }

    pub(super) fn remove(&mut self, owner: OwnerId) {
        self.live.remove(&owner);
        self.missing.remove(&owner);
    }

    fn fresh(&mut self) -> OwnerId {
        loop {
            self.last = self.last.wrapping_add(1);
            let owner = OwnerId(self.last);
            // 1 is the owner of every embedded runtime.
            if self.last > 1 && !self.live.contains_key(&owner) {
                return owner;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_keeps_its_name_and_shares_it_with_nobody() {
        let mut owners = Owners::new(u32::MAX - 1);
        let first = owners.enlist(PeerId(1), None);
        assert_eq!(owners.enlist(PeerId(1), None), first);
        let second = owners.enlist(PeerId(2), None);
        assert_eq!(second, OwnerId(2), "neither the controller's name nor that of embedded runtimes");
        assert_eq!(owners.enlist(PeerId(3), Some(OwnerId(77))), OwnerId(77));
        assert_ne!(owners.enlist(PeerId(4), Some(OwnerId(77))), OwnerId(77));
        assert_eq!(owners.of(PeerId(3)), [OwnerId(77)]);
        assert_eq!(owners.miss(PeerId(3), Time::ZERO), [OwnerId(77)]);
        assert_eq!(owners.missing_since(OwnerId(77)), Some(Time::ZERO));
        owners.find(PeerId(3));
        assert_eq!(owners.missing_since(OwnerId(77)), None, "it has come again");
        owners.remove(OwnerId(77));
        assert_eq!(owners.of(PeerId(3)), []);
    }
}
