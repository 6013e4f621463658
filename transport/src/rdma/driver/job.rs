//! A transfer, as the driver sees it.

use super::super::card::Local;
use super::super::machine::TransferId;
use super::super::machine::{Ended, Piece};
use super::super::memory::CardMemory;
use super::super::shared::Shared;
use super::super::wire::{Direction, Grant, Message};
use crate::error::{Refusal, TransportError};
use crate::face::{Completion, PeerId, Read};
use crate::region::{CHUNK_BYTES, Denied, RemoteSpan, Span};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of ours, and who waits for them to be moved.
pub struct Job {
    // First, so that it goes before the span does that keeps its memory (CARD-1).
    memory: Arc<CardMemory>,
    peer: PeerId,
    moved: Moved,
    grant: Option<Grant>,
    checksums: Vec<u32>,
}

/// Which way they go.
pub enum Moved {
    /// From the peer into chunks that are claimed.
    Here { read: Read, done: Completion },
    /// To the peer, all of a span of ours.
    There { source: Arc<Span>, target: RemoteSpan, done: Completion },
}

impl Moved {
    /// Our span, and the bytes of its region that are moved.
    pub fn place(&self) -> (Arc<Span>, Range<u64>) {
        match self {
            Self::Here { read, .. } => {
                let (span, bytes) = (read.claim().span(), read.claim().bytes());
                let begin = span.remote().offset;
                (span.clone(), begin + bytes.start..begin + bytes.end)
            }
            Self::There { source, .. } => (source.clone(), source.remote().offset..source.end()),
        }
    }

    /// Goes by TCP, if it may.
    pub fn go_elsewhere(self, peer: PeerId, shared: &Shared) {
        match self {
            Self::Here { read, done } => shared.read_elsewhere(peer, read, done),
            Self::There { done, .. } => done.complete(Err(no_cards(peer, shared))),
        }
    }
}

impl Job {
    pub fn new(peer: PeerId, moved: Moved, memory: Arc<CardMemory>) -> Self {
        Self { memory, peer, moved, grant: None, checksums: vec![] }
    }

    pub fn peer(&self) -> PeerId {
        self.peer
    }

    pub fn len(&self) -> u64 {
        self.span().len
    }

    /// The message that asks the peer for its bytes.
    pub fn ask(&self, transfer: TransferId) -> Message {
        let direction = match self.moved {
            Moved::Here { .. } => Direction::Read,
            Moved::There { .. } => Direction::Push,
        };
        Message::Ask { transfer, span: self.span(), direction }
    }

    fn span(&self) -> RemoteSpan {
        match &self.moved {
            Moved::Here { read, .. } => read.wanted(),
            Moved::There { target, .. } => *target,
        }
    }

    /// Whether the peer has granted as many keys as are needed.
    pub fn grant(&mut self, grant: Grant, rails: usize) -> bool {
        let last = self.len().saturating_sub(1);
        let is_enough = self.len() == 0 || grant.keys.len() >= (grant.cut.extent(last) + 1) * rails;
        self.grant = Some(grant);
        is_enough
    }

    pub fn check_by(&mut self, checksums: Vec<u32>) {
        self.checksums = checksums;
    }

    /// What moves a piece: our memory, the peer's address and key, and for a push the word that it is told.
    pub fn request(&self, piece: Piece, rail: usize, remote: (usize, usize)) -> Request {
        let grant = self.grant.as_ref().expect("nothing is moved before it is granted");
        let begin = self.moved.place().1.start + piece.at;
        let local = self.memory.local(begin..begin + u64::from(piece.len), rail);
        let (remote_rail, remote_rails) = remote;
        let key = grant.keys[grant.cut.extent(piece.at) * remote_rails + remote_rail];
        let word = match self.moved {
            Moved::Here { .. } => None,
            Moved::There { .. } => Some(word(grant.slot, piece.at / u64::from(grant.cut.piece_bytes))),
        };
        Request { local, remote: (grant.address + piece.at, key), word }
    }

    /// Tells who waits that nothing was even begun.
    pub fn refuse(self, error: TransportError) {
        let Self { memory, moved, .. } = self;
        drop(memory);
        let done = match moved {
            Moved::Here { read, done } => {
                drop(read);
                done
            }
            Moved::There { done, .. } => done,
        };
        done.complete(Err(error));
    }

    /// Tells who waits. Nothing of it is under way any more.
    pub fn end(self, ended: Ended, shared: &Shared) {
        let Self { memory, peer, moved, checksums, .. } = self;
        drop(memory);
        match (moved, ended) {
            (Moved::Here { read, done }, ended) => end_read(peer, read, done, (ended, &checksums), shared),
            (Moved::There { done, .. }, Ended::Whole) => done.complete(Ok(())),
            (Moved::There { target, done, .. }, Ended::Denied(denied)) => {
                done.complete(Err(denied_push(peer, target, denied)));
            }
            (moved @ Moved::There { .. }, Ended::Elsewhere { .. }) => moved.go_elsewhere(peer, shared),
        }
    }
}

/// What a card is asked.
pub struct Request {
    pub local: Local,
    pub remote: (u64, u32),
    pub word: Option<u32>,
}

/// What a WRITE tells: 12 bits of slot, 20 of piece.
fn word(slot: u16, piece: u64) -> u32 {
    u32::from(slot) << 20 | u32::try_from(piece).expect("spans over 2^20 pieces are declined")
}

fn end_read(peer: PeerId, mut read: Read, done: Completion, how: (Ended, &[u32]), shared: &Shared) {
    let outcome = match how {
        (Ended::Whole, checksums) => arrive(peer, &read, checksums),
        (Ended::Denied(denied), _) => Err(read.denied(peer, denied)),
        (Ended::Elsewhere { arrived }, _) => {
            // TCP takes over where the first chunk is missing.
            let first = arrived.iter().enumerate().take_while(|(index, chunk)| index == *chunk).count();
            read.arrive_first(first);
            return shared.read_elsewhere(peer, read, done);
        }
    };
    // Chunks that didn't arrive are free for another reader before anybody hears of it.
    drop(read);
    done.complete(outcome);
}

/// All chunks are there, but those that don't match their checksums.
fn arrive(peer: PeerId, read: &Read, checksums: &[u32]) -> Result<(), TransportError> {
    let bytes = read.claim().bytes();
    let mut corrupt = None;
    for (index, at) in (bytes.start..bytes.end).step_by(usize::try_from(CHUNK_BYTES).expect("1 MiB")).enumerate() {
        let len = usize::try_from((bytes.end - at).min(CHUNK_BYTES)).expect("a chunk");
        let expected = checksums.get(index).filter(|_| read.claim().span().is_on_host());
        if expected.is_none_or(|checksum| *checksum == checksum_of(read, at, len)) {
            read.claim().arrive(at);
        } else {
            corrupt.get_or_insert(at);
        }
    }
    corrupt.map_or(Ok(()), |at| Err(TransportError::Corrupt { peer, span: read.wanted(), at }))
}

fn checksum_of(read: &Read, at: u64, len: usize) -> u32 {
    let landed = read.claim().landing(at, len);
    // SAFETY: `landing` has checked the bounds; the bytes are claimed, and no card writes them any more.
    crc32c::crc32c(unsafe { std::slice::from_raw_parts(landed, len) })
}

fn no_cards(peer: PeerId, shared: &Shared) -> TransportError {
    match shared.unreachable(peer) {
        refused @ TransportError::Refused { .. } => refused,
        _ => TransportError::Refused { peer, refusal: Refusal::NoCards },
    }
}

fn denied_push(peer: PeerId, span: RemoteSpan, denied: Denied) -> TransportError {
    match denied {
        Denied::Revoked => TransportError::Revoked { peer, span },
        Denied::OutOfBounds => TransportError::OutOfBounds { peer, span },
        Denied::NotYet | Denied::OffHost => {
            let RemoteSpan { key, offset, len, .. } = span;
            TransportError::Region { key, offset, len, why: "the peer doesn't take a push there" }
        }
    }
}
