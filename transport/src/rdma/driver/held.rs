//! What peers have with us: the other ends of their queue pairs, and what they push.

use super::super::card::{QueuePair, Registered};
use super::super::machine::LaneId;
use super::super::shared::Shared;
use super::super::verbs::abi::{IBV_WC_RECV_RDMA_WITH_IMM, IBV_WC_SUCCESS, ibv_wc};
use super::ConduitId;
use crate::region::{CHUNK_BYTES, Claim};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tracing::debug;

/// Receives bear their queue pair's number, and this bit.
pub const RECEIVE: u64 = 1 << 63;
/// How long the last words of a push may be under way when the peer's card has their acknowledgements already.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// An end of a queue pair whose other end is a peer's.
struct Held {
    conduit: ConduitId,
    lane: LaneId,
    pair: QueuePair,
    _place: tokio::sync::OwnedSemaphorePermit,
}

/// A span of ours that a peer writes.
pub struct Landing {
    pub slot: u16,
    pub conduit: ConduitId,
    // Its end revokes the peer's keys; then the chunks that aren't there are free.
    pub _registered: Vec<Registered>,
    pub claim: Claim,
    pub piece_bytes: u32,
    /// Which pieces have come: a word may be told twice.
    pub come: Vec<bool>,
}

/// The peer has nothing more to push.
pub struct Landed {
    pub slot: u16,
    pub conduit: ConduitId,
    pub is_whole: bool,
    /// Whether all of it has come.
    pub done: oneshot::Sender<bool>,
}

/// All of them.
#[derive(Default)]
pub struct Holds {
    ends: HashMap<u64, Held>,
    next: u64,
    landings: HashMap<u16, Landing>,
    landed: Vec<(Landed, Instant)>,
}

impl Holds {
    /// Takes a queue pair, with receives for the words of as much work as a lane may have.
    pub fn hold(
        &mut self,
        conduit: ConduitId,
        lane: LaneId,
        pair: QueuePair,
        place: tokio::sync::OwnedSemaphorePermit,
    ) {
        self.next += 1;
        self.ends.insert(self.next, Held { conduit, lane, pair, _place: place });
    }

    pub fn unhold(&mut self, conduit: ConduitId, lane: LaneId) {
        self.ends.retain(|_, held| held.conduit != conduit || held.lane != lane);
    }

    /// Ends all that a peer has, its queue pairs first.
    pub fn forget(&mut self, conduit: ConduitId, shared: &Shared) {
        self.ends.retain(|_, held| held.conduit != conduit);
        self.landed.retain(|(landed, _)| landed.conduit != conduit);
        let slots: Vec<u16> = self.landings.values().filter(|one| one.conduit == conduit).map(|one| one.slot).collect();
        slots.into_iter().for_each(|slot| drop(self.take_landing(slot, shared)));
    }

    pub fn land(&mut self, landing: Landing) {
        self.landings.insert(landing.slot, landing);
    }

    pub fn landed(&mut self, landed: Landed, now: Instant) {
        self.landed.push((landed, now));
    }

    /// Answers pushes of which all has come, or will not.
    pub fn settle(&mut self, now: Instant, shared: &Shared) {
        let is_over = |(landed, since): &mut (Landed, Instant)| {
            let whole = self.landings.get(&landed.slot).is_none_or(Landing::is_complete);
            whole || !landed.is_whole || now.duration_since(*since) >= STRAGGLERS
        };
        let over: Vec<_> = self.landed.extract_if(.., is_over).collect();
        for (landed, _) in over {
            let landing = self.take_landing(landed.slot, shared);
            let is_whole = landing.as_ref().is_some_and(Landing::is_complete);
            drop(landing);
            // A peer that is gone by now needs no answer.
            let _ = landed.done.send(is_whole);
        }
    }

    /// Whether somebody waits for words that are under way.
    pub fn is_settling(&self) -> bool {
        !self.landed.is_empty()
    }

    fn take_landing(&mut self, slot: u16, shared: &Shared) -> Option<Landing> {
        let landing = self.landings.remove(&slot)?;
        shared.slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner).give_back(slot);
        Some(landing)
    }

    /// A receive has completed: a WRITE of a peer has come, and told its word.
    pub fn received(&mut self, completion: &ibv_wc) {
        let Some(held) = self.ends.get(&(completion.wr_id & !RECEIVE)) else { return };
        if completion.status != IBV_WC_SUCCESS || completion.opcode != IBV_WC_RECV_RDMA_WITH_IMM {
            return;
        }
        if let Err(error) = held.pair.receive(completion.wr_id) {
            debug!(%error, "a queue pair takes no more words");
        }
        let word = u32::from_be(completion.imm_data);
        let slot = u16::try_from(word >> 20).expect("twelve bits");
        if let Some(landing) = self.landings.get_mut(&slot).filter(|landing| landing.conduit == held.conduit) {
            landing.handle_piece((word & 0x000f_ffff) as usize);
        }
    }

    /// Makes a place for words on the queue pair that was taken last.
    pub fn prepare(&self, count: u32) {
        let Some(held) = self.ends.get(&self.next) else { return };
        for _ in 0..count {
            if let Err(error) = held.pair.receive(RECEIVE | self.next) {
                debug!(%error, "a queue pair takes no words");
                return;
            }
        }
    }
}

impl Landing {
    fn is_complete(&self) -> bool {
        self.come.iter().all(|has_come| *has_come)
    }

    fn handle_piece(&mut self, piece: usize) {
        let Some(has_come) = self.come.get_mut(piece) else { return };
        if std::mem::replace(has_come, true) {
            return;
        }
        let per_chunk = usize::try_from(CHUNK_BYTES / u64::from(self.piece_bytes)).expect("a power of two").max(1);
        let chunk = piece / per_chunk;
        let pieces = &self.come[chunk * per_chunk..self.come.len().min((chunk + 1) * per_chunk)];
        if pieces.iter().all(|has_come| *has_come) {
            self.claim.arrive(self.claim.bytes().start + chunk as u64 * CHUNK_BYTES);
        }
    }
}
