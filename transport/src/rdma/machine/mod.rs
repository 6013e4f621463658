//! Decides what moves by which queue pair, without clock, socket or card.
//!
//! ```text
//!  transfer  Queued --asked for--> Asked --granted--> Moving --all moved, or it can't be--> Releasing --> ended
//!  link      (none) --dial--> Dialling --> Up --lost--> Down, for a while --> (none)
//!  lane      Joining --> Up --> (parted: error, eviction, idle)           Up --others wait--> Draining --> (parted)
//!  pair      usable --a lane fails--> paused, longer each time --> usable
//! ```
//!
//! A *pair* is a rail of ours and one of the peer, a *lane* a queue pair on it. What was under way on a lane that is
//! parted is moved again by another lane; where no lane can be had, by another transport.
//!
//! Invariants: RAIL-1: what is in flight on a lane, and in a transfer, is the work that is outstanding there. RAIL-2:
//! there are at most `lanes_max` lanes. RAIL-3: a transfer ends when none of its work is outstanding. RAIL-4: a
//! completion that nobody waits for changes nothing.

mod lanes;
mod links;
mod pause;
mod pieces;
#[cfg(test)]
mod tests;
mod transfers;

pub use self::pieces::{Cut, Piece};

use self::lanes::Lane;
use self::links::Peer;
use self::transfers::Transfer;
use crate::face::PeerId;
use crate::region::Denied;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// A read or a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub u64);

/// A queue pair of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u64);

/// A request to a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

/// All bounds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Queue pairs of ours at a time; peers wait for their turn beyond it.
    pub lanes_max: usize,
    /// Requests under way on one queue pair.
    pub work_per_lane_max: usize,
    /// What one peer is asked for at a time; the rest waits.
    pub leases_per_peer_max: usize,
    /// A lane may be drained for another peer after this.
    pub lane_quantum: Duration,
    /// A lane without work is parted after this.
    pub lane_idle: Duration,
    /// A lane whose work doesn't complete for so long is lost.
    pub stall_timeout: Duration,
    /// What waits for a lane of a peer that has none for so long goes by another transport.
    pub lane_timeout: Duration,
    /// Whether it also waits so long for the pause of a peer's pairs to end: where there is no other transport.
    pub is_patient: bool,
    /// A peer that doesn't answer for so long is lost.
    pub answer_timeout: Duration,
    /// The first pause of what failed; it doubles with each failure in a row.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The bytes were moved.
    Done,
    /// The peer's card refuses the key or the range.
    Refused,
    /// The peer doesn't answer, the lane has died before, or a card of ours fails.
    Failed,
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All bytes were moved, and were valid to the end.
    Whole,
    /// The peer doesn't give, or take, the bytes.
    Denied(Denied),
    /// What isn't of these chunks must go another way.
    Elsewhere {
        /// Chunks that were moved, and valid to the end.
        arrived: Vec<usize>,
    },
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody wants `len` bytes to be moved.
    Start { transfer: TransferId, peer: PeerId, len: u64 },
    /// The peer's rails are known: which of ours can be used with which of its.
    Linked { peer: PeerId, pairs: Vec<(usize, usize)> },
    /// The peer can't be talked to.
    Unlinked { peer: PeerId },
    /// Both ends of a lane are connected.
    Joined { lane: LaneId },
    /// They aren't.
    NotJoined { lane: LaneId },
    /// The peer has pinned the bytes.
    Granted { transfer: TransferId, cut: Cut },
    /// It doesn't give them, or they were revoked meanwhile.
    Denied { transfer: TransferId, denied: Denied },
    /// It can't give them by its cards, or not all have come to it.
    Declined { transfer: TransferId },
    /// A request is over.
    Completed { work: WorkId, outcome: Outcome },
    /// The peer no longer pins the bytes, which were valid to the end.
    Released { transfer: TransferId },
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Find the peer's rails.
    Dial { peer: PeerId },
    /// End what connects us with the peer.
    HangUp { peer: PeerId },
    /// Connect a queue pair between two rails.
    Join { lane: LaneId, peer: PeerId, rail: usize, remote: usize },
    /// End a queue pair, before anything else is done: what was under way on it then touches no memory.
    Part { lane: LaneId, peer: PeerId },
    /// Have the peer pin the bytes.
    Ask { transfer: TransferId },
    /// Move a piece.
    Post { work: WorkId, lane: LaneId, transfer: TransferId, piece: Piece },
    /// Have the peer release the bytes, and say whether they were valid.
    Release { transfer: TransferId, is_whole: bool },
    /// Tell who wanted it.
    End { transfer: TransferId, ended: Ended },
}

/// Work that a card has.
#[derive(Clone, Copy, Debug)]
struct Work {
    lane: LaneId,
    transfer: TransferId,
    piece: Piece,
}

/// The transfers of one endpoint, and the lanes that they go by.
pub struct Machine {
    settings: Settings,
    peers: BTreeMap<PeerId, Peer>,
    transfers: BTreeMap<TransferId, Transfer>,
    lanes: BTreeMap<LaneId, Lane>,
    works: BTreeMap<WorkId, Work>,
    /// Peers that wait for a lane, in the order of their turns.
    waiting: VecDeque<PeerId>,
    next: u64,
    out: Vec<Action>,
}

impl Machine {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            peers: BTreeMap::new(),
            transfers: BTreeMap::new(),
            lanes: BTreeMap::new(),
            works: BTreeMap::new(),
            waiting: VecDeque::new(),
            next: 0,
            out: vec![],
        }
    }

    /// Takes an event; what is to be done then comes out of [`Self::take_actions`].
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Start { transfer, peer, len } => self.start(now, transfer, peer, len),
            Event::Linked { peer, pairs } => self.linked(now, peer, &pairs),
            Event::Unlinked { peer } => self.unlinked(now, peer),
            Event::Joined { lane } => self.joined(now, lane),
            Event::NotJoined { lane } => self.lose_lane(now, lane),
            Event::Granted { transfer, cut } => self.granted(now, transfer, cut),
            Event::Denied { transfer, denied } => self.answered(now, transfer, Ended::Denied(denied)),
            Event::Declined { transfer } => self.answered(now, transfer, Ended::Elsewhere { arrived: vec![] }),
            Event::Completed { work, outcome } => self.completed(now, work, outcome),
            Event::Released { transfer } => self.released(now, transfer),
        }
    }

    /// Looks at all that waits.
    pub fn tick(&mut self, now: Instant) {
        self.tick_transfers(now);
        self.tick_lanes(now);
        self.tick_peers(now);
    }

    /// How long nothing need be looked at; none where nothing waits.
    pub fn rest(&self) -> Option<Duration> {
        if !self.transfers.is_empty() {
            return Some(Duration::from_millis(20));
        }
        let is_idle = self.lanes.is_empty() && self.peers.is_empty();
        (!is_idle).then(|| Duration::from_millis(500))
    }

    /// What is to be done, in order.
    pub fn take_actions(&mut self, to: &mut Vec<Action>) {
        to.append(&mut self.out);
    }

    /// Whether a card may still be moving something.
    pub fn is_outstanding(&self, work: WorkId) -> bool {
        self.works.contains_key(&work)
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Asserts the invariants (see the module's head).
    #[cfg(test)]
    pub fn check(&self) {
        assert!(self.lanes.len() <= self.settings.lanes_max, "RAIL-2");
        for (id, lane) in &self.lanes {
            let outstanding = self.works.values().filter(|work| work.lane == *id).count();
            assert_eq!(lane.in_flight, outstanding, "RAIL-1 on {id:?}");
        }
        for work in self.works.values() {
            assert!(self.lanes.contains_key(&work.lane), "RAIL-1: work without a lane");
        }
        for (id, transfer) in &self.transfers {
            let outstanding = self.works.values().filter(|work| work.transfer == *id).count();
            assert_eq!(transfer.in_flight(), outstanding, "RAIL-1 in {id:?}");
        }
        assert!(self.works.values().all(|work| self.transfers.contains_key(&work.transfer)), "RAIL-3");
    }
}
