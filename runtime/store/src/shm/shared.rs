//! Table and segment, as one process has them.

use super::ClientId;
use super::chunks::{Claim, Kind, Want};
use super::error::StoreError;
use super::segment::Segment;
use super::table::Table;
use rustix::time::ClockId;

/// What all processes of a machine map.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) table: Table,
    pub(crate) segment: Segment,
}

impl Shared {
    /// Takes an extent of `len` chunks, with memory, near `start`: of memory that was used before if there is any.
    pub(crate) fn take(&self, len: usize, start: usize, owner: ClientId) -> Result<Option<usize>, StoreError> {
        let (chunks, geometry) = (self.table.chunks(), self.table.geometry());
        let is_slab = len == geometry.slab_chunks();
        let is_littered = self.table.garbage_bytes() >= 4 * geometry.slab_chunks() * geometry.chunk_bytes;
        let recycled = || (!is_slab).then(|| chunks.claim(len, start, Want::Free, owner)).flatten();
        let swept = || is_littered && self.table.sweep(owner) > 0;
        // Slabs go to the end of the segment, used before or not: elsewhere each would cut the rest into pieces.
        let any = || match is_slab {
            true => chunks.claim_high(len, Want::Any, owner),
            false => chunks.claim(len, start, Want::Any, owner),
        };
        let found = recycled().or_else(|| swept().then(recycled).flatten()).or_else(any);
        let found = found.or_else(|| (self.table.sweep(owner) > 0).then(any).flatten());
        found.map(|claim| self.settle(&claim)).transpose()
    }

    /// Gives memory to a slab's worth of chunks that have none, and touches it; `false` if all have.
    pub(crate) fn warm(&self, owner: ClientId) -> Result<bool, StoreError> {
        let (chunks, geometry) = (self.table.chunks(), self.table.geometry());
        let claim = chunks.claim(geometry.slab_chunks(), 0, Want::Fresh, owner);
        let Some(claim) = claim.or_else(|| chunks.claim(1, 0, Want::Fresh, owner)) else { return Ok(false) };
        let bytes = claim.chunks.start * geometry.chunk_bytes..claim.chunks.end * geometry.chunk_bytes;
        let warmed = self.segment.reserve(bytes.clone()).and_then(|()| Ok(self.segment.touch(bytes)?));
        chunks.unclaim(&claim, if warmed.is_ok() { Kind::Free } else { Kind::Fresh });
        warmed.map(|()| true)
    }

    /// Bytes that nobody has.
    pub(crate) fn free_bytes(&self) -> usize {
        self.usage_of(Kind::Free) + self.usage_of(Kind::Fresh)
    }

    /// Gives a claim memory, and makes it an extent.
    fn settle(&self, claim: &Claim) -> Result<usize, StoreError> {
        let chunk_bytes = self.table.geometry().chunk_bytes;
        if claim.is_fresh {
            let bytes = claim.chunks.start * chunk_bytes..claim.chunks.end * chunk_bytes;
            self.segment.reserve(bytes).inspect_err(|_| self.table.chunks().unclaim(claim, Kind::Fresh))?;
        }
        self.table.chunks().settle(claim);
        Ok(claim.chunks.start)
    }
}

/// Nanoseconds of a clock that all processes of the machine share and that nobody sets.
pub(crate) fn now() -> u64 {
    let time = rustix::time::clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
