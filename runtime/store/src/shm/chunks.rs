//! Which client has which part of the segment.

use super::ClientId;
use crate::sync::{AtomicU64, Ordering};
use std::ops::Range;

/// What a chunk is: the segment is cut into chunks of equal size, and an *extent* is a run of them.
///
/// ```text
///   Fresh ----+  claim                settle                loosen
///             +---------> Claiming ------------> Held(head) ---------> Loose(head)
///   Free  ----+                        all others stay Claiming              | release
///    ^                                                                       v
///    +------------------------------ the head last, the others before -- Releasing(head)
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Nobody's, and without memory.
    Fresh,
    /// Nobody's, with memory.
    Free,
    /// Of an extent whose head is `len`; or about to be.
    Claiming,
    /// The head of an extent of `len` chunks, in which its owner makes objects.
    Held,
    /// The head of an extent in which nobody makes objects any more: free once none is left in it.
    Loose,
    /// The head of an extent that its owner, which need not have made it, gives back.
    Releasing,
}

/// Which chunks will do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// Such as have memory.
    Free,
    /// Such as have none.
    Fresh,
    /// Both.
    Any,
}

/// A chunk's state. The version is one higher with each claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chunk(u64);

impl Chunk {
    const KINDS: [Kind; 6] = [Kind::Fresh, Kind::Free, Kind::Claiming, Kind::Held, Kind::Loose, Kind::Releasing];

    /// `Claiming` for what no process of ours writes, so that nobody takes it.
    pub(crate) fn kind(self) -> Kind {
        Self::KINDS.get((self.0 & 0xf) as usize).copied().unwrap_or(Kind::Claiming)
    }

    pub(crate) fn owner(self) -> ClientId {
        (self.0 >> 4) as u8
    }

    /// Chunks of the extent, at its head.
    pub(crate) fn len(self) -> usize {
        (self.0 >> 12 & 0xff_ffff) as usize
    }

    pub(crate) fn is_head(self) -> bool {
        matches!(self.kind(), Kind::Held | Kind::Loose | Kind::Releasing)
    }

    fn is_available(self, want: Want) -> bool {
        match self.kind() {
            Kind::Free => want != Want::Fresh,
            Kind::Fresh => want != Want::Free,
            _ => false,
        }
    }

    fn at(self, kind: Kind) -> Self {
        Self(self.0 & !0xf | kind as u64)
    }

    fn with(self, kind: Kind, owner: ClientId, len: usize) -> Self {
        Self(self.0 >> 36 << 36 | (len as u64 & 0xff_ffff) << 12 | u64::from(owner) << 4 | kind as u64)
    }

    fn claimed(self, owner: ClientId, head: usize) -> Self {
        Self(self.0.wrapping_add(1 << 36)).with(Kind::Claiming, owner, head)
    }
}

/// Chunks that a client claimed and that aren't an extent yet.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Claim {
    pub(crate) chunks: Range<usize>,
    /// Whether some of it has no memory yet.
    pub(crate) is_fresh: bool,
}

/// The states of all chunks. No lock, and no state in which the death of a process leaves what can't be told from the
/// words themselves.
///
/// Invariants: CHUNK-1, a chunk belongs to one extent at most; CHUNK-2, a loose extent is released once, by whoever
/// wins the exchange at its head, in the version in which it was found without objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks<'a>(pub(crate) &'a [AtomicU64]);

impl Chunks<'_> {
    /// Claims `len` chunks in a row for `owner`, the first that there are from `start` on.
    pub(crate) fn claim(self, len: usize, start: usize, want: Want, owner: ClientId) -> Option<Claim> {
        let count = self.0.len();
        let start = if start < count { start } else { 0 };
        self.claim_in(start..count, len, want, owner).or_else(|| {
            let end = (start + len).min(count);
            self.claim_in(0..end, len, want, owner)
        })
    }

    /// Claims `len` chunks that begin at a multiple of `len`, the last that there are: so extents of this one length lie
    /// at the end of the segment and leave the rest in one piece.
    pub(crate) fn claim_high(self, len: usize, want: Want, owner: ClientId) -> Option<Claim> {
        let is_available = |start: usize| (start..start + len).all(|at| self.chunk(at).is_available(want));
        let starts = (0..self.0.len() / len).rev().map(|place| place * len);
        starts.filter(|start| is_available(*start)).find_map(|start| self.take(start..start + len, want, owner).ok())
    }

    /// Makes a claim that has memory an extent, held by its owner.
    pub(crate) fn settle(self, claim: &Claim) {
        let head = &self.0[claim.chunks.start];
        let chunk = Chunk(head.load(Ordering::Relaxed));
        head.store(chunk.with(Kind::Held, chunk.owner(), claim.chunks.len()).0, Ordering::Release);
    }

    /// Gives a claim back: as memory, or as what has none.
    pub(crate) fn unclaim(self, claim: &Claim, kind: Kind) {
        for at in claim.chunks.clone().rev() {
            let chunk = Chunk(self.0[at].load(Ordering::Relaxed));
            self.0[at].store(chunk.with(kind, 0, 0).0, Ordering::Release);
        }
    }

    /// Its owner makes no more objects in the extent. Makes all that there are visible to whoever sees it loose.
    pub(crate) fn loosen(self, head: usize) {
        let chunk = self.chunk(head);
        debug_assert_eq!(chunk.kind(), Kind::Held);
        self.0[head].store(chunk.at(Kind::Loose).0, Ordering::Release);
    }

    /// Gives a loose extent back, if it still is what `seen` says; `by` whom is written down in case of its death.
    pub(crate) fn release(self, head: usize, seen: Chunk, by: ClientId) -> bool {
        let releasing = seen.with(Kind::Releasing, by, seen.len());
        let is_won = seen.kind() == Kind::Loose
            && self.0[head].compare_exchange(seen.0, releasing.0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if is_won {
            self.finish_release(head, releasing);
        }
        is_won
    }

    /// Makes good what a dead client was about.
    pub(crate) fn bury(self, client: ClientId) {
        for at in 0..self.0.len() {
            let chunk = self.chunk(at);
            match chunk.kind() {
                _ if chunk.owner() != client => {}
                Kind::Held => self.loosen(at),
                Kind::Releasing => self.finish_release(at, chunk),
                Kind::Claiming if !self.is_settled(at, chunk) => {
                    self.0[at].store(chunk.with(Kind::Fresh, 0, 0).0, Ordering::Release);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn chunk(self, at: usize) -> Chunk {
        Chunk(self.0[at].load(Ordering::Acquire))
    }

    /// All heads of loose extents, as they are now.
    pub(crate) fn loose(self) -> Vec<(usize, Chunk)> {
        let all = (0..self.0.len()).map(|at| (at, self.chunk(at)));
        all.filter(|(_, chunk)| chunk.kind() == Kind::Loose).collect()
    }

    /// How many chunks are of a kind.
    pub(crate) fn count(self, kind: Kind) -> usize {
        (0..self.0.len()).filter(|at| self.chunk(*at).kind() == kind).count()
    }

    fn claim_in(self, range: Range<usize>, len: usize, want: Want, owner: ClientId) -> Option<Claim> {
        let mut run = range.start..range.start;
        for at in range {
            if !self.chunk(at).is_available(want) {
                run = at + 1..at + 1;
                continue;
            }
            run.end = at + 1;
            if run.len() == len {
                match self.take(run.clone(), want, owner) {
                    Ok(claim) => return Some(claim),
                    Err(taken) => run.start = taken + 1,
                }
            }
        }
        None
    }

    /// All of the run or nothing; else which chunk somebody else has.
    fn take(self, run: Range<usize>, want: Want, owner: ClientId) -> Result<Claim, usize> {
        let mut is_fresh = false;
        for at in run.clone() {
            let chunk = self.chunk(at);
            let claimed = chunk.claimed(owner, run.start);
            let swap = || self.0[at].compare_exchange(chunk.0, claimed.0, Ordering::AcqRel, Ordering::Relaxed);
            if !chunk.is_available(want) || swap().is_err() {
                let kind = if is_fresh { Kind::Fresh } else { Kind::Free };
                self.unclaim(&Claim { chunks: run.start..at, is_fresh }, kind);
                return Err(at);
            }
            is_fresh |= chunk.kind() == Kind::Fresh;
        }
        Ok(Claim { chunks: run, is_fresh })
    }

    /// Frees all chunks of the extent that still are its own, the head last: until then no other extent can have the
    /// same head, so what says that it is of this head is of this extent.
    fn finish_release(self, head: usize, releasing: Chunk) {
        let end = (head + releasing.len()).min(self.0.len());
        for at in (head + 1..end).rev() {
            let chunk = self.chunk(at);
            if chunk.kind() == Kind::Claiming && chunk.len() == head {
                self.0[at].store(chunk.with(Kind::Free, 0, 0).0, Ordering::Release);
            }
        }
        self.0[head].store(releasing.with(Kind::Free, 0, 0).0, Ordering::Release);
    }

    /// Whether a claimed chunk is of an extent.
    fn is_settled(self, at: usize, chunk: Chunk) -> bool {
        let head = self.0.get(chunk.len()).map(|_| self.chunk(chunk.len()));
        head.is_some_and(|head| head.is_head() && chunk.len() + head.len() > at)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn words(count: usize) -> Vec<AtomicU64> {
        (0..count).map(|_| AtomicU64::new(0)).collect()
    }

    fn extent(chunks: Chunks<'_>, len: usize, owner: ClientId) -> usize {
        let claim = chunks.claim(len, 0, Want::Any, owner).expect("there are as many");
        chunks.settle(&claim);
        claim.chunks.start
    }

    #[test]
    fn memory_is_used_again_before_fresh_is_taken() {
        let words = words(8);
        let chunks = Chunks(&words);
        let head = extent(chunks, 3, 1);
        assert!(chunks.claim(1, 0, Want::Free, 1).is_none());
        chunks.loosen(head);
        assert!(chunks.release(head, chunks.chunk(head), 2));
        assert_eq!(chunks.claim(3, 5, Want::Free, 2), Some(Claim { chunks: 0..3, is_fresh: false }));
        assert_eq!(chunks.claim(5, 0, Want::Any, 2), Some(Claim { chunks: 3..8, is_fresh: true }));
        assert_eq!(chunks.claim(1, 0, Want::Any, 2), None);
    }

    #[test]
    fn slabs_lie_at_the_end() {
        let words = words(9);
        let chunks = Chunks(&words);
        assert_eq!(chunks.claim_high(2, Want::Any, 1).unwrap().chunks, 6..8);
        assert_eq!(chunks.claim(4, 0, Want::Fresh, 1).unwrap().chunks, 0..4);
        assert_eq!(chunks.claim_high(2, Want::Free, 1), None);
        assert_eq!(chunks.claim_high(2, Want::Any, 1).unwrap().chunks, 4..6);
        assert_eq!(chunks.claim_high(2, Want::Any, 1), None);
    }

    #[test]
    fn an_extent_is_released_once_and_in_its_own_version() {
        let words = words(4);
        let chunks = Chunks(&words);
        let head = extent(chunks, 4, 1);
        let held = chunks.chunk(head);
        assert!(!chunks.release(head, held, 1));
        chunks.loosen(head);
        let loose = chunks.chunk(head);
        assert!(chunks.release(head, loose, 1) && !chunks.release(head, loose, 1));
        assert_eq!(extent(chunks, 4, 1), head);
        chunks.loosen(head);
        assert!(!chunks.release(head, loose, 1));
    }

    #[test]
    fn the_dead_leave_nothing_behind() {
        let words = words(12);
        let chunks = Chunks(&words);
        let _claim = chunks.claim(3, 0, Want::Any, 7).unwrap();
        let (held, half_released) = (extent(chunks, 3, 7), extent(chunks, 3, 7));
        chunks.loosen(half_released);
        let releasing = chunks.chunk(half_released).with(Kind::Releasing, 7, 3);
        words[half_released].store(releasing.0, Ordering::Relaxed);
        words[half_released + 2].store(Kind::Free as u64, Ordering::Relaxed);
        let other = chunks.claim(1, half_released + 2, Want::Free, 9).unwrap();
        chunks.bury(7);
        assert_eq!(chunks.chunk(held).kind(), Kind::Loose);
        assert_eq!(chunks.chunk(held + 1).kind(), Kind::Claiming);
        assert_eq!((chunks.count(Kind::Fresh), chunks.count(Kind::Free)), (6, 2));
        assert_eq!(chunks.chunk(other.chunks.start).owner(), 9);
    }
}
