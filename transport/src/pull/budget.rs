//! Bytes in flight, per peer and per node.

use crate::face::PeerId;
use crate::limits::Limits;
use std::collections::HashMap;

/// How urgent a pull is: all of a class go before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody waits for the value.
    Get,
    /// Somebody waits until it is there.
    Wait,
    /// It will be needed.
    Prefetch,
}

/// Invariant BUD-1: what is in flight on the node is the sum over its peers.
#[derive(Debug, Default)]
pub struct Budget {
    node: u64,
    peers: HashMap<PeerId, u64>,
}

impl Budget {
    /// Whether so many bytes more may be in flight from a peer. One read always may.
    pub fn has_room(&self, peer: PeerId, bytes: u64, limits: &Limits) -> bool {
        let fits = |used: u64, max: u64| used == 0 || used.saturating_add(bytes) <= max;
        fits(self.node, limits.node_bytes_in_flight_max) && fits(self.used(peer), limits.peer_bytes_in_flight_max)
    }

    /// Bytes in flight from a peer.
    pub fn used(&self, peer: PeerId) -> u64 {
        self.peers.get(&peer).copied().unwrap_or(0)
    }

    /// They are in flight.
    pub fn take(&mut self, peer: PeerId, bytes: u64) {
        self.node += bytes;
        *self.peers.entry(peer).or_default() += bytes;
    }

    /// They aren't any more.
    pub fn give_back(&mut self, peer: PeerId, bytes: u64) {
        self.node -= bytes;
        let used = self.peers.get_mut(&peer).expect("bytes that were taken");
        *used -= bytes;
        if *used == 0 {
            self.peers.remove(&peer);
        }
    }
}
