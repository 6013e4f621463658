//! Peers, and whether their cards are known.

use super::lanes::LaneState;
use super::pause::Pause;
use super::{Action, Ended, LaneId, Machine, TransferId};
use crate::face::PeerId;
use std::collections::VecDeque;
use std::time::Instant;

/// A peer that is forgotten when its pause has been over for so many times the longest pause, and nothing is wanted of
/// it.
const FORGOTTEN_AFTER: u32 = 2;

/// One peer.
pub struct Peer {
    pub link: Link,
    /// Pauses of the link itself, from one failure to the next.
    pub pause: Pause,
    /// Not asked for yet.
    pub queued: VecDeque<TransferId>,
    /// Granted, in the order of their turns.
    pub moving: VecDeque<TransferId>,
    /// Asked for and not released.
    pub leases: usize,
    /// When a lane of it last came up, or moved something.
    pub served: Instant,
}

pub enum Link {
    Dialling,
    Up { pairs: Vec<Pair> },
    Down,
}

/// A rail of ours and one of the peer.
pub struct Pair {
    pub rail: usize,
    pub remote: usize,
    pub lane: Option<LaneId>,
    pub pause: Pause,
}

impl Machine {
    /// Sees to it that the peer is dialled; false where it was in vain not long ago.
    pub(super) fn link(&mut self, now: Instant, peer: PeerId) -> bool {
        let entry = self.peers.entry(peer).or_insert_with(|| Peer::new(now));
        let is_wanted = matches!(entry.link, Link::Down) && entry.pause.is_over(now);
        if is_wanted {
            entry.link = Link::Dialling;
            self.out.push(Action::Dial { peer });
        }
        !matches!(entry.link, Link::Down)
    }

    pub(super) fn linked(&mut self, now: Instant, peer: PeerId, pairs: &[(usize, usize)]) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if !matches!(entry.link, Link::Dialling) {
            return;
        }
        let pair = |(rail, remote): &(usize, usize)| Pair {
            rail: *rail,
            remote: *remote,
            lane: None,
            pause: Pause::default(),
        };
        entry.link = Link::Up { pairs: pairs.iter().map(pair).collect() };
        entry.pause.handle_success();
        self.feed(now, peer);
    }

    /// The peer's cards can't be talked about any more, so that what it pins is unknown: all that was wanted of it goes
    /// another way, and nothing that came counts.
    pub(super) fn unlinked(&mut self, now: Instant, peer: PeerId) {
        let lanes: Vec<LaneId> = self.lanes.iter().filter(|(_, lane)| lane.peer == peer).map(|(id, _)| *id).collect();
        for lane in lanes {
            self.part(lane);
        }
        // One that is down already has been said to be.
        let is_up = |entry: &&mut Peer| !matches!(entry.link, Link::Down);
        let Some(entry) = self.peers.get_mut(&peer).filter(is_up) else { return };
        entry.link = Link::Down;
        entry.pause.handle_failure(now, &self.settings);
        (entry.leases, entry.queued, entry.moving) = (0, VecDeque::new(), VecDeque::new());
        self.waiting.retain(|waiting| *waiting != peer);
        let ended: Vec<TransferId> =
            self.transfers.iter().filter(|(_, transfer)| transfer.peer == peer).map(|(id, _)| *id).collect();
        for transfer in ended {
            self.transfers.remove(&transfer);
            self.out.push(Action::End { transfer, ended: Ended::Elsewhere { arrived: vec![] } });
        }
        self.serve_waiting(now);
    }

    pub(super) fn hang_up(&mut self, now: Instant, peer: PeerId) {
        self.out.push(Action::HangUp { peer });
        self.unlinked(now, peer);
    }

    pub(super) fn tick_peers(&mut self, now: Instant) {
        let forgotten = self.settings.pause_max * FORGOTTEN_AFTER;
        self.peers.retain(|_, peer| {
            !matches!(peer.link, Link::Down) || peer.pause.since(now).is_none_or(|since| since < forgotten)
        });
    }

    /// The first pair of a peer that could get a lane now.
    pub(super) fn free_pair(&self, now: Instant, peer: PeerId) -> Option<usize> {
        let pairs = self.peers.get(&peer)?.pairs();
        pairs.iter().position(|pair| pair.lane.is_none() && pair.pause.is_over(now))
    }

    /// Whether the peer has no lane and gets none: all its pairs pause. One whose lane drains gets in line after that.
    pub(super) fn is_cut_off(&self, now: Instant, peer: PeerId) -> bool {
        let has_any = self.lanes.values().any(|lane| lane.peer == peer);
        !has_any && !self.waiting.contains(&peer) && self.free_pair(now, peer).is_none()
    }

    /// Whether the peer has a lane, or will have one.
    pub(super) fn has_lane(&self, peer: PeerId) -> bool {
        self.lanes.values().any(|lane| lane.peer == peer && lane.state != LaneState::Draining)
    }
}

impl Peer {
    fn new(now: Instant) -> Self {
        Self {
            link: Link::Down,
            pause: Pause::default(),
            queued: VecDeque::new(),
            moving: VecDeque::new(),
            leases: 0,
            served: now,
        }
    }

    pub fn pairs(&self) -> &[Pair] {
        match &self.link {
            Link::Up { pairs } => pairs,
            Link::Dialling | Link::Down => &[],
        }
    }

    /// The pair of a lane that is there.
    pub fn pair_mut(&mut self, index: usize) -> Option<&mut Pair> {
        match &mut self.link {
            Link::Up { pairs } => pairs.get_mut(index),
            Link::Dialling | Link::Down => None,
        }
    }
}
