//! Lanes: a capped pool of queue pairs, for which peers take turns.

use super::{Action, LaneId, Machine, Work, WorkId};
use crate::face::PeerId;
use std::time::Instant;

/// A queue pair of ours.
pub struct Lane {
    pub peer: PeerId,
    /// Which of the peer's pairs it is on.
    pub pair: usize,
    pub state: LaneState,
    pub in_flight: usize,
    /// When it came to be in its state.
    pub since: Instant,
    /// When something last completed on it, or was posted on it idle.
    pub used: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// Its ends are being connected.
    Joining,
    /// It takes work.
    Up,
    /// It takes none: when it has done what it has, its place is another peer's.
    Draining,
}

impl Machine {
    pub(super) fn joined(&mut self, now: Instant, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        (lane.state, lane.since, lane.used) = (LaneState::Up, now, now);
        let peer = lane.peer;
        self.serve(now, peer);
        self.advance(now, peer);
    }

    fn serve(&mut self, now: Instant, peer: PeerId) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.served = now;
        }
    }

    /// A lane for what the peer's lanes can't take, where there is room for one. Where it has none it gets in line,
    /// and the first in line takes the place of a lane that is idle.
    pub(super) fn want_lane(&mut self, now: Instant, peer: PeerId) {
        while let Some(pair) = self.free_pair(now, peer) {
            if self.lanes.len() < self.settings.lanes_max && self.waiting.is_empty() {
                self.join(now, peer, pair);
                continue;
            }
            if !self.has_lane(peer) && !self.waiting.contains(&peer) {
                self.waiting.push_back(peer);
                if let Some(idle) = self.idle_lane() {
                    self.part(idle);
                }
                self.serve_waiting(now);
                self.drain(now);
            }
            return;
        }
    }

    fn join(&mut self, now: Instant, peer: PeerId, pair: usize) {
        let id = LaneId(self.fresh());
        let chosen = self.peers.get_mut(&peer).and_then(|entry| entry.pair_mut(pair)).expect("it was free just now");
        chosen.lane = Some(id);
        self.out.push(Action::Join { lane: id, peer, rail: chosen.rail, remote: chosen.remote });
        self.lanes.insert(id, Lane { peer, pair, state: LaneState::Joining, in_flight: 0, since: now, used: now });
    }

    /// The lane that has been without work for longest.
    fn idle_lane(&self) -> Option<LaneId> {
        let is_idle = |lane: &Lane| lane.state == LaneState::Up && lane.in_flight == 0;
        let idle = self.lanes.iter().filter(|(_, lane)| is_idle(lane));
        idle.min_by_key(|(_, lane)| lane.used).map(|(id, _)| *id)
    }

    /// Makes as many lanes come free as peers wait, the oldest first, none before its time.
    fn drain(&mut self, now: Instant) {
        let draining = self.lanes.values().filter(|lane| lane.state == LaneState::Draining).count();
        let quantum = self.settings.lane_quantum;
        for _ in draining..self.waiting.len() {
            let is_due = |lane: &Lane| lane.state == LaneState::Up && now.duration_since(lane.since) >= quantum;
            let due = self.lanes.values_mut().filter(|lane| is_due(lane));
            let Some(lane) = due.min_by_key(|lane| lane.since) else { return };
            (lane.state, lane.since) = (LaneState::Draining, now);
        }
    }

    /// Ends what drains and has nothing left to do, and gives its place to the next in line.
    pub(super) fn take_turns(&mut self, now: Instant) {
        if self.waiting.is_empty() {
            return;
        }
        self.drain(now);
        let is_done = |lane: &Lane| lane.state == LaneState::Draining && lane.in_flight == 0;
        let done: Vec<LaneId> = self.lanes.iter().filter(|(_, lane)| is_done(lane)).map(|(id, _)| *id).collect();
        for lane in done {
            self.replace_lane(now, lane);
        }
    }

    /// Gives places that are free to those in line.
    pub(super) fn serve_waiting(&mut self, now: Instant) {
        while self.lanes.len() < self.settings.lanes_max {
            let Some(peer) = self.waiting.pop_front() else { return };
            let is_wanting = self.peers.get(&peer).is_some_and(|entry| !entry.moving.is_empty());
            if let Some(pair) = self.free_pair(now, peer).filter(|_| is_wanting) {
                self.join(now, peer, pair);
            }
        }
    }

    /// A lane has died: its pair pauses, and what was under way goes another way.
    pub(super) fn lose_lane(&mut self, now: Instant, id: LaneId) {
        let Some(lane) = self.lanes.get(&id) else { return };
        let (peer, pair) = (lane.peer, lane.pair);
        if let Some(pair) = self.peers.get_mut(&peer).and_then(|entry| entry.pair_mut(pair)) {
            pair.pause.handle_failure(now, &self.settings);
        }
        self.replace_lane(now, id);
    }

    /// A lane has died through no fault of its pair.
    pub(super) fn replace_lane(&mut self, now: Instant, id: LaneId) {
        let Some(peer) = self.part(id) else { return };
        self.serve_waiting(now);
        self.advance(now, peer);
    }

    /// Ends a lane; what was under way on it is queued again.
    pub(super) fn part(&mut self, id: LaneId) -> Option<PeerId> {
        let lane = self.lanes.remove(&id)?;
        let peer = lane.peer;
        self.out.push(Action::Part { lane: id, peer });
        if let Some(pair) = self.peers.get_mut(&peer).and_then(|entry| entry.pair_mut(lane.pair)) {
            pair.lane = None;
        }
        let lost: Vec<(WorkId, Work)> =
            self.works.iter().filter(|(_, work)| work.lane == id).map(|(id, work)| (*id, *work)).collect();
        for (work_id, work) in lost {
            self.works.remove(&work_id);
            if let Some(pieces) = self.transfers.get_mut(&work.transfer).and_then(|transfer| transfer.pieces_mut()) {
                pieces.handle_lost(work.piece);
            }
        }
        Some(peer)
    }

    /// Work of a lane has completed.
    pub(super) fn unload_lane(&mut self, now: Instant, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.in_flight -= 1;
        lane.used = now;
        let peer = lane.peer;
        self.serve(now, peer);
    }

    /// The lane of a peer that has most room.
    pub(super) fn open_lane(&self, peer: PeerId) -> Option<LaneId> {
        let limit = self.settings.work_per_lane_max;
        let is_open = |lane: &Lane| lane.state == LaneState::Up && lane.in_flight < limit;
        let entry = self.peers.get(&peer)?;
        let lanes = entry.pairs().iter().filter_map(|pair| Some((pair.lane?, self.lanes.get(&pair.lane?)?)));
        lanes.filter(|(_, lane)| is_open(lane)).min_by_key(|(_, lane)| lane.in_flight).map(|(id, _)| id)
    }

    pub(super) fn tick_lanes(&mut self, now: Instant) {
        let (stall, idle) = (self.settings.stall_timeout, self.settings.lane_idle);
        let quiet = |lane: &Lane| now.duration_since(lane.used);
        let is_stalled = |lane: &Lane| lane.in_flight > 0 && quiet(lane) >= stall;
        let late = self.settings.lane_timeout;
        let is_stalled = |lane: &Lane| {
            is_stalled(lane) || lane.state == LaneState::Joining && now.duration_since(lane.since) >= late
        };
        let stalled: Vec<LaneId> = self.lanes.iter().filter(|(_, lane)| is_stalled(lane)).map(|(id, _)| *id).collect();
        for lane in stalled {
            self.lose_lane(now, lane);
        }
        let is_idle = |lane: &Lane| lane.state != LaneState::Joining && lane.in_flight == 0 && quiet(lane) >= idle;
        let spare: Vec<LaneId> = self.lanes.iter().filter(|(_, lane)| is_idle(lane)).map(|(id, _)| *id).collect();
        for lane in spare {
            self.part(lane);
        }
        self.serve_waiting(now);
        self.take_turns(now);
    }
}
