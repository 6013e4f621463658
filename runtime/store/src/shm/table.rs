//! The table that all processes of a machine share: which chunks, keys and objects there are.

use super::ClientId;
use super::chunks::Chunks;
use super::error::StoreError;
use super::geometry::Geometry;
use super::index::{Bucket, Index};
use super::segment::{self, Mapping};
use super::slot::{Phase, Slot, Span, Word};
use crate::sync::{AtomicU64, Ordering};
use rustix::mm::ProtFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::slice;

/// `RAYSTOR` and the version of the layout.
const MAGIC: u64 = u64::from_be_bytes(*b"RAYSTOR\x01");

/// What the file begins with.
#[repr(C)]
struct Header {
    magic: AtomicU64,
    chunks: AtomicU64,
    chunk_bytes: AtomicU64,
    slots: AtomicU64,
    seed: AtomicU64,
    apart: [AtomicU64; 11],
    /// Where the next client looks for a vacant slot, in blocks.
    next_block: AtomicU64,
    /// Bytes of small objects that are gone, in extents that nobody swept since. A hint.
    garbage_bytes: AtomicU64,
}

/// One process's view of the table.
#[derive(Debug)]
pub(crate) struct Table {
    mapping: Mapping,
    file: OwnedFd,
    geometry: Geometry,
    seed: u64,
}

impl Table {
    /// Makes an empty table, with all its memory.
    pub(crate) fn create(geometry: Geometry, seed: u64) -> Result<Self, StoreError> {
        let bytes = geometry.table_bytes();
        let file = segment::create_file("rayline-store-table", bytes)?;
        segment::reserve(file.as_fd(), 0..bytes)?;
        let mapping = Mapping::new(file.as_fd(), bytes, ProtFlags::READ | ProtFlags::WRITE)?;
        let table = Self { mapping, file, geometry, seed };
        let header = table.header();
        header.chunks.store(geometry.chunks as u64, Ordering::Relaxed);
        header.chunk_bytes.store(geometry.chunk_bytes as u64, Ordering::Relaxed);
        header.slots.store(geometry.slots as u64, Ordering::Relaxed);
        header.seed.store(seed, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
        Ok(table)
    }

    /// Maps the table that another process made, after having checked it.
    pub(crate) fn open(file: OwnedFd) -> Result<Self, StoreError> {
        let bytes = segment::sealed_len(file.as_fd())?;
        let least = Geometry::new(0, 0);
        if bytes < least.table_bytes() {
            return Err(StoreError::Corrupt { what: "the length of the table", found: bytes as u64 });
        }
        let mapping = Mapping::new(file.as_fd(), bytes, ProtFlags::READ | ProtFlags::WRITE)?;
        let mut table = Self { mapping, file, geometry: least, seed: 0 };
        let header = table.header();
        let found = header.magic.load(Ordering::Acquire);
        if found != MAGIC {
            return Err(StoreError::Corrupt { what: "the table's first word", found });
        }
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let geometry = Geometry::checked(load(&header.chunks), load(&header.chunk_bytes), load(&header.slots))?;
        if geometry.table_bytes() != bytes {
            return Err(StoreError::Corrupt { what: "the length of the table", found: bytes as u64 });
        }
        table.seed = load(&table.header().seed);
        table.geometry = geometry;
        Ok(table)
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn chunks(&self) -> Chunks<'_> {
        let start = self.mapping.at(self.geometry.chunks_at(), self.geometry.chunks * size_of::<u64>());
        // SAFETY: within the mapping (asserted by `at`) and aligned as a page is; atomics, for which all bits are valid
        // and which other processes may change, and which live as long as `self`.
        Chunks(unsafe { slice::from_raw_parts(start.as_ptr().cast(), self.geometry.chunks) })
    }

    pub(crate) fn index(&self) -> Index<'_> {
        let count = self.geometry.buckets();
        let start = self.mapping.at(self.geometry.buckets_at(), count * size_of::<Bucket>());
        // SAFETY: as in `chunks`; the geometry aligns them.
        let buckets = unsafe { slice::from_raw_parts(start.as_ptr().cast::<Bucket>(), count) };
        Index::new(buckets, self.slots(), self.seed)
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        let start = self.mapping.at(self.geometry.slots_at(), self.geometry.slots * size_of::<Slot>());
        // SAFETY: as in `chunks`; the geometry aligns them.
        unsafe { slice::from_raw_parts(start.as_ptr().cast(), self.geometry.slots) }
    }

    /// The next block of 64 slots in which to look for a vacant one.
    pub(crate) fn next_block(&self) -> usize {
        let blocks = self.geometry.slots / 64;
        self.header().next_block.fetch_add(1, Ordering::Relaxed) as usize % blocks
    }

    /// Bytes of small objects that are gone and not yet swept up, about.
    pub(crate) fn garbage_bytes(&self) -> usize {
        self.header().garbage_bytes.load(Ordering::Relaxed) as usize
    }

    /// Frees a doomed object that nobody views: its extent at once where that is its own, else when it is swept.
    pub(crate) fn free_if_doomed(&self, slot: u32, by: ClientId) -> bool {
        let object = &self.slots()[slot as usize];
        let word = object.word();
        word.phase() == Phase::Doomed && !object.is_pinned(None) && self.vacate(object, word, Phase::Vacant, by)
    }

    /// Takes the memory from an object that nobody views, `from` whose word it goes on to `to`.
    pub(crate) fn vacate(&self, slot: &Slot, from: Word, to: Phase, by: ClientId) -> bool {
        let span = slot.span();
        let head = self.own_head(span);
        if slot.advance(from, to).is_none() {
            return false;
        }
        match head {
            Some((at, chunk)) => {
                self.chunks().release(at, chunk, by);
            }
            None if span.offset == Span::NOWHERE => {}
            None => {
                self.header().garbage_bytes.fetch_add(span.len, Ordering::Relaxed);
            }
        }
        true
    }

    /// Gives back all extents in which nobody makes objects and none is left. An extent that was loose before the slots
    /// are looked at gets no new object, so one without objects stays so; see CHUNK-2.
    pub(crate) fn sweep(&self, by: ClientId) -> usize {
        self.header().garbage_bytes.store(0, Ordering::Relaxed);
        let loose = self.chunks().loose();
        let mut used = vec![false; self.geometry.chunks];
        for slot in self.slots() {
            if !matches!(slot.word().phase(), Phase::Vacant | Phase::Spilled) {
                let at = slot.span().offset as usize / self.geometry.chunk_bytes;
                used.get_mut(at).into_iter().for_each(|used| *used = true);
            }
        }
        let is_empty = |at: usize, len: usize| used[at..(at + len).min(used.len())].iter().all(|used| !used);
        let empty = loose.into_iter().filter(|(at, chunk)| is_empty(*at, chunk.len()));
        empty.filter(|(at, chunk)| self.chunks().release(*at, *chunk, by)).map(|(_, chunk)| chunk.len()).sum()
    }

    /// The extent that an object of its size has for itself.
    fn own_head(&self, span: Span) -> Option<(usize, super::chunks::Chunk)> {
        let at = span.offset as usize / self.geometry.chunk_bytes;
        let is_large = span.len > self.geometry.small_bytes_max() as u64 && at < self.geometry.chunks;
        is_large.then(|| (at, self.chunks().chunk(at)))
    }

    fn header(&self) -> &Header {
        let start = self.mapping.at(0, size_of::<Header>());
        // SAFETY: as in `chunks`.
        unsafe { start.cast::<Header>().as_ref() }
    }
}
