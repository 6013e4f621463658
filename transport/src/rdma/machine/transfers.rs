//! Transfers, from the wish to the end.

use super::pieces::{Cut, Pieces};
use super::{Action, Ended, Machine, Outcome, TransferId, Work, WorkId};
use crate::face::PeerId;
use std::time::Instant;

/// After so many lanes lost under it, a transfer goes another way.
const LOSSES_MAX: u32 = 4;

/// A read or a push.
pub struct Transfer {
    pub peer: PeerId,
    len: u64,
    phase: Phase,
    /// When it last came forward.
    since: Instant,
    losses: u32,
}

enum Phase {
    /// Waits for the link, or for others to release what they have.
    Queued,
    /// The peer looks for the bytes.
    Asked,
    Moving {
        pieces: Pieces,
        is_ending: bool,
    },
    /// The peer says whether they were valid.
    Releasing {
        pieces: Pieces,
    },
}

impl Machine {
    pub(super) fn start(&mut self, now: Instant, id: TransferId, peer: PeerId, len: u64) {
        if !self.link(now, peer) {
            self.out.push(Action::End { transfer: id, ended: Ended::Elsewhere { arrived: vec![] } });
            return;
        }
        self.transfers.insert(id, Transfer { peer, len, phase: Phase::Queued, since: now, losses: 0 });
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.queued.push_back(id);
        }
        self.feed(now, peer);
    }

    /// Asks for what is queued, as far as the peer may be asked.
    pub(super) fn feed(&mut self, now: Instant, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if entry.pairs().is_empty() {
            return;
        }
        while entry.leases < self.settings.leases_per_peer_max {
            let Some(id) = entry.queued.pop_front() else { return };
            let Some(transfer) = self.transfers.get_mut(&id) else { continue };
            entry.leases += 1;
            (transfer.phase, transfer.since) = (Phase::Asked, now);
            self.out.push(Action::Ask { transfer: id });
        }
    }

    pub(super) fn granted(&mut self, now: Instant, id: TransferId, cut: Cut) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        if !matches!(transfer.phase, Phase::Asked) {
            return;
        }
        let pieces = Pieces::new(transfer.len, cut);
        let (peer, is_empty) = (transfer.peer, pieces.is_complete());
        (transfer.phase, transfer.since) = (Phase::Moving { pieces, is_ending: false }, now);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.moving.push_back(id);
        }
        if is_empty {
            self.release(now, id);
        }
        self.advance(now, peer);
    }

    /// The peer gives nothing, or what it gave has come to nothing.
    pub(super) fn answered(&mut self, now: Instant, id: TransferId, ended: Ended) {
        let is_answer = |phase: &Phase| matches!(phase, Phase::Asked | Phase::Releasing { .. });
        if self.transfers.get(&id).is_some_and(|transfer| is_answer(&transfer.phase)) {
            self.end(now, id, ended);
        }
    }

    /// Gives the peer's lanes what they can take, one piece of each transfer in turn.
    pub(super) fn advance(&mut self, now: Instant, peer: PeerId) {
        while let Some(lane) = self.open_lane(peer) {
            let Some((transfer, piece)) = self.next_piece(now, peer) else { break };
            let work = WorkId(self.fresh());
            self.works.insert(work, Work { lane, transfer, piece });
            let chosen = self.lanes.get_mut(&lane).expect("it is open");
            if chosen.in_flight == 0 {
                chosen.used = now;
            }
            chosen.in_flight += 1;
            self.out.push(Action::Post { work, lane, transfer, piece });
        }
        if self.is_wanting(peer) {
            self.want_lane(now, peer);
            if !self.settings.is_patient && self.is_cut_off(now, peer) {
                self.give_up(now, peer);
            }
        }
    }

    fn next_piece(&mut self, now: Instant, peer: PeerId) -> Option<(TransferId, super::Piece)> {
        let entry = self.peers.get_mut(&peer)?;
        for _ in 0..entry.moving.len() {
            let id = entry.moving.pop_front()?;
            entry.moving.push_back(id);
            let Some(transfer) = self.transfers.get_mut(&id) else { continue };
            if let Phase::Moving { pieces, is_ending: false } = &mut transfer.phase
                && let Some(piece) = pieces.poll_next()
            {
                transfer.since = now;
                return Some((id, piece));
            }
        }
        None
    }

    fn is_wanting(&self, peer: PeerId) -> bool {
        let moving = self.peers.get(&peer).into_iter().flat_map(|entry| &entry.moving);
        moving.filter_map(|id| self.transfers.get(id)).any(Transfer::is_wanting)
    }

    /// The peer has no lane and gets none: what it was to give goes another way.
    fn give_up(&mut self, now: Instant, peer: PeerId) {
        let moving = self.peers.get(&peer).map(|entry| entry.moving.clone()).unwrap_or_default();
        for id in moving {
            self.stop(now, id);
        }
    }

    /// Moves nothing more, and releases when all that is under way has ended.
    fn stop(&mut self, now: Instant, id: TransferId) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        if let Phase::Moving { pieces, is_ending } = &mut transfer.phase {
            *is_ending = true;
            if pieces.in_flight() == 0 {
                self.release(now, id);
            }
        }
    }

    fn release(&mut self, now: Instant, id: TransferId) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let Phase::Moving { pieces, .. } = &transfer.phase else { return };
        let (pieces, peer, is_whole) = (pieces.clone(), transfer.peer, pieces.is_complete());
        (transfer.phase, transfer.since) = (Phase::Releasing { pieces }, now);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.moving.retain(|moving| *moving != id);
        }
        self.out.push(Action::Release { transfer: id, is_whole });
    }

    pub(super) fn released(&mut self, now: Instant, id: TransferId) {
        let Some(transfer) = self.transfers.get(&id) else { return };
        let Phase::Releasing { pieces } = &transfer.phase else { return };
        let ended = if pieces.is_complete() { Ended::Whole } else { Ended::Elsewhere { arrived: pieces.arrived() } };
        self.end(now, id, ended);
    }

    fn end(&mut self, now: Instant, id: TransferId, ended: Ended) {
        let Some(transfer) = self.transfers.remove(&id) else { return };
        self.out.push(Action::End { transfer: id, ended });
        if let Some(entry) = self.peers.get_mut(&transfer.peer) {
            entry.leases -= 1;
        }
        self.feed(now, transfer.peer);
    }

    pub(super) fn completed(&mut self, now: Instant, id: WorkId, outcome: Outcome) {
        // What isn't there belonged to a lane that is no more, or comes twice.
        let Some(work) = self.works.remove(&id) else { return };
        let Some(transfer) = self.transfers.get_mut(&work.transfer) else { return };
        transfer.since = now;
        let Phase::Moving { pieces, is_ending } = &mut transfer.phase else { return };
        match outcome {
            Outcome::Done => pieces.handle_done(work.piece),
            Outcome::Refused => {
                pieces.handle_lost(work.piece);
                *is_ending = true;
            }
            Outcome::Failed => {
                pieces.handle_lost(work.piece);
                transfer.losses += 1;
                *is_ending |= transfer.losses > LOSSES_MAX;
            }
        }
        let is_over = pieces.in_flight() == 0 && (*is_ending || pieces.is_complete());
        if is_over {
            self.release(now, work.transfer);
        }
        let peer = self.lanes.get(&work.lane).map(|lane| lane.peer);
        self.unload_lane(now, work.lane);
        match outcome {
            Outcome::Done => self.praise(work),
            Outcome::Refused => self.replace_lane(now, work.lane),
            Outcome::Failed => self.lose_lane(now, work.lane),
        }
        // The loss of the lane may have ended what else of the transfer was under way.
        self.settle(now, work.transfer);
        if let Some(peer) = peer {
            self.advance(now, peer);
        }
        self.take_turns(now);
    }

    fn praise(&mut self, work: Work) {
        let Some(lane) = self.lanes.get(&work.lane) else { return };
        if let Some(pair) = self.peers.get_mut(&lane.peer).and_then(|entry| entry.pair_mut(lane.pair)) {
            pair.pause.handle_success();
        }
    }

    /// Releases a transfer that was only waiting for what is under way.
    fn settle(&mut self, now: Instant, id: TransferId) {
        let is_settled = self.transfers.get(&id).is_some_and(
            |transfer| matches!(&transfer.phase, Phase::Moving { pieces, is_ending: true } if pieces.in_flight() == 0),
        );
        if is_settled {
            self.release(now, id);
        }
    }

    pub(super) fn tick_transfers(&mut self, now: Instant) {
        let (answer, lane) = (self.settings.answer_timeout, self.settings.lane_timeout);
        let mut silent = vec![];
        let mut stopped = vec![];
        for (id, transfer) in &self.transfers {
            let waited = now.duration_since(transfer.since);
            match &transfer.phase {
                Phase::Asked | Phase::Releasing { .. } if waited >= answer => silent.push(transfer.peer),
                Phase::Moving { pieces, is_ending } if pieces.in_flight() == 0 => {
                    let served = self.peers.get(&transfer.peer).map_or(transfer.since, |peer| peer.served);
                    if *is_ending || now.duration_since(transfer.since.max(served)) >= lane {
                        stopped.push(*id);
                    }
                }
                _ => {}
            }
        }
        silent.dedup();
        silent.into_iter().for_each(|peer| self.hang_up(now, peer));
        stopped.into_iter().for_each(|id| self.stop(now, id));
        // A pair's pause may be over.
        let paused: Vec<PeerId> =
            self.peers.iter().filter(|(_, peer)| !peer.moving.is_empty()).map(|(id, _)| *id).collect();
        paused.into_iter().for_each(|peer| self.advance(now, peer));
    }
}

impl Transfer {
    pub fn pieces_mut(&mut self) -> Option<&mut Pieces> {
        match &mut self.phase {
            Phase::Moving { pieces, .. } => Some(pieces),
            Phase::Queued | Phase::Asked | Phase::Releasing { .. } => None,
        }
    }

    fn is_wanting(&self) -> bool {
        matches!(&self.phase, Phase::Moving { pieces, is_ending: false } if pieces.is_wanting())
    }

    #[cfg(test)]
    pub fn in_flight(&self) -> usize {
        match &self.phase {
            Phase::Moving { pieces, .. } | Phase::Releasing { pieces } => pieces.in_flight(),
            Phase::Queued | Phase::Asked => 0,
        }
    }
}
