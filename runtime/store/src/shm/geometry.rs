//! How large the parts of a store are, and where they lie.

use super::error::StoreError;
use super::index::Bucket;
use super::slot::Slot;

/// A page on any machine.
const PAGE_BYTES: usize = 64 << 10;
/// No more chunks than this, so that looking at all of them stays short.
const CHUNKS_MAX: usize = 1 << 16;
/// The fewest chunks, so that several slabs fit.
const CHUNKS_MIN: usize = 32;
const SLOTS_MAX: usize = 1 << 22;
const BYTES_MAX: usize = 1 << 44;

/// All sizes, of which two are free and the others follow.
///
/// ```text
///  table:    | header, a page | chunks, 8 bytes each | index, 64 a bucket | slots, 128 each |
///  segment:  | chunk | chunk | chunk | ...
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    pub(crate) chunks: usize,
    pub(crate) chunk_bytes: usize,
    pub(crate) slots: usize,
}

impl Geometry {
    /// Of a store of about `bytes` and at least `objects` objects.
    pub(crate) fn new(bytes: usize, objects: usize) -> Self {
        let bytes = bytes.clamp(CHUNKS_MIN * PAGE_BYTES, BYTES_MAX);
        let chunk_bytes = bytes.div_ceil(CHUNKS_MAX).next_power_of_two().max(PAGE_BYTES);
        let slots = objects.next_multiple_of(64).clamp(64, SLOTS_MAX);
        Self { chunks: bytes / chunk_bytes, chunk_bytes, slots }
    }

    /// What a peer wrote, if it can be.
    pub(crate) fn checked(chunks: u64, chunk_bytes: u64, slots: u64) -> Result<Self, StoreError> {
        let corrupt = |what, found| Err(StoreError::Corrupt { what, found });
        if !(CHUNKS_MIN as u64..=CHUNKS_MAX as u64).contains(&chunks) {
            return corrupt("the number of chunks", chunks);
        }
        if !chunk_bytes.is_power_of_two()
            || !(PAGE_BYTES as u64..=(BYTES_MAX / CHUNKS_MIN) as u64).contains(&chunk_bytes)
        {
            return corrupt("the size of a chunk", chunk_bytes);
        }
        if !slots.is_multiple_of(64) || !(64..=SLOTS_MAX as u64).contains(&slots) {
            return corrupt("the number of slots", slots);
        }
        Ok(Self { chunks: chunks as usize, chunk_bytes: chunk_bytes as usize, slots: slots as usize })
    }

    /// Bytes of the segment.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks * self.chunk_bytes
    }

    /// Chunks of an extent for several objects.
    pub(crate) fn slab_chunks(&self) -> usize {
        (self.chunks / 32).min(16)
    }

    /// The largest object that shares an extent with others.
    pub(crate) fn small_bytes_max(&self) -> usize {
        self.slab_chunks() * self.chunk_bytes / 4
    }

    pub(crate) fn buckets(&self) -> usize {
        // Twice as many entries as objects: then both buckets of a key are never full, but for a rare chance.
        (2 * self.slots / Bucket::WAYS).next_power_of_two()
    }

    pub(crate) fn chunks_at(&self) -> usize {
        PAGE_BYTES
    }

    pub(crate) fn buckets_at(&self) -> usize {
        (self.chunks_at() + self.chunks * size_of::<u64>()).next_multiple_of(align_of::<Slot>())
    }

    pub(crate) fn slots_at(&self) -> usize {
        (self.buckets_at() + self.buckets() * size_of::<Bucket>()).next_multiple_of(align_of::<Slot>())
    }

    /// Bytes of the table.
    pub(crate) fn table_bytes(&self) -> usize {
        (self.slots_at() + self.slots * size_of::<Slot>()).next_multiple_of(PAGE_BYTES)
    }
}
