//! Regions as cards know them: registered in extents, each when it is first needed.

use super::card::{CardError, Local, Rail, Registered};
use super::verbs::abi::{IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_REMOTE_READ};
use crate::region::{Access, Backing, Region, Span};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A region's registrations with the rails of one endpoint. The region keeps it, and drops it when it is deregistered.
///
/// Invariant CARD-1: whoever else has it keeps a span of the region for longer, so that the memory is there.
pub struct CardMemory {
    rails: Arc<[Arc<Rail>]>,
    backing: Backing,
    access: Access,
    extent_bytes: u64,
    extents: Mutex<BTreeMap<u64, Extent>>,
    /// Held while pages are pinned, which takes long: one at a time, so that two who need an extent register it once.
    pinning: Mutex<()>,
}

// SAFETY: the backing points into memory that may be sent and shared; nothing is read or written by it here.
unsafe impl Send for CardMemory {}
// SAFETY: as for `Send`.
unsafe impl Sync for CardMemory {}

/// An extent, registered by each rail.
type Extent = Arc<[Registered]>;

/// The rails of an endpoint, and under which number regions keep what is registered with them.
#[derive(Clone)]
pub struct Cards {
    pub rails: Arc<[Arc<Rail>]>,
    pub number: u64,
    pub extent_bytes: u64,
}

impl Cards {
    /// The registrations of a span's region with these cards; none once the region is deregistered.
    pub fn memory(&self, span: &Span) -> Option<Arc<CardMemory>> {
        let region: &Region = span.region();
        region.attachment(self.number, || CardMemory {
            rails: self.rails.clone(),
            backing: region.backing(),
            access: region.access(),
            extent_bytes: self.extent_bytes,
            extents: Mutex::default(),
            pinning: Mutex::default(),
        })
    }
}

impl CardMemory {
    /// Registers what isn't yet of a range, in bytes from the start of the region. It blocks for as long as the pages
    /// take to be pinned.
    ///
    /// # Errors
    /// What a card says.
    pub fn register(&self, bytes: &Range<u64>) -> Result<(), CardError> {
        let _pinning = self.pinning.lock().unwrap_or_else(PoisonError::into_inner);
        for index in self.extents_of(bytes) {
            if self.extents().contains_key(&index) {
                continue;
            }
            let begin = index * self.extent_bytes;
            let pinned = self.pin(begin..(begin + self.extent_bytes).min(self.backing.len()))?;
            self.extents().insert(index, pinned);
        }
        Ok(())
    }

    /// Whether a range is registered.
    pub fn is_registered(&self, bytes: &Range<u64>) -> bool {
        let extents = self.extents();
        self.extents_of(bytes).all(|index| extents.contains_key(&index))
    }

    fn pin(&self, range: Range<u64>) -> Result<Extent, CardError> {
        let access = match self.access {
            Access::Read => IBV_ACCESS_REMOTE_READ,
            Access::Land => IBV_ACCESS_REMOTE_READ | IBV_ACCESS_LOCAL_WRITE,
        };
        let registered = self.rails.iter().map(|rail| {
            // SAFETY: the region keeps its memory for longer than this (CARD-1), writable where it is for landing; what
            // is written is claimed.
            unsafe { Registered::new(rail, self.backing, range.clone(), access) }
        });
        registered.collect()
    }

    /// The keys by which peers read a range that is registered: for each extent, that of each rail.
    pub fn keys(&self, bytes: &Range<u64>) -> Vec<u32> {
        let extents = self.extents();
        let of_range = self.extents_of(bytes).filter_map(|index| extents.get(&index));
        of_range.flat_map(|extent| extent.iter().map(Registered::remote_key)).collect()
    }

    /// Bytes that are registered, and at most as long as an extent, as a card sees them.
    pub fn local(&self, bytes: Range<u64>, rail: usize) -> Local {
        let extents = self.extents();
        self.extents_of(&bytes).fold(Local::new(), |local, index| {
            let begin = bytes.start.max(index * self.extent_bytes);
            let end = bytes.end.min((index + 1) * self.extent_bytes);
            let length = u32::try_from(end - begin).expect("at most a chunk");
            let key = extents.get(&index).expect("it was registered before")[rail].local_key();
            local.and(self.address(begin), length, key)
        })
    }

    /// How cards see a byte of the region.
    pub fn address(&self, at: u64) -> u64 {
        match self.backing {
            Backing::Host { base, .. } => base.as_ptr().addr() as u64 + at,
            Backing::Dmabuf { offset, .. } => offset + at,
        }
    }

    /// How many extents a range touches.
    pub fn extent_count(&self, bytes: &Range<u64>) -> usize {
        self.extents_of(bytes).count()
    }

    /// Where the next extent begins after a byte.
    pub fn border_after(&self, at: u64) -> u64 {
        (at / self.extent_bytes + 1) * self.extent_bytes
    }

    fn extents_of(&self, bytes: &Range<u64>) -> Range<u64> {
        if bytes.is_empty() {
            return 0..0;
        }
        bytes.start / self.extent_bytes..(bytes.end - 1) / self.extent_bytes + 1
    }

    fn extents(&self) -> MutexGuard<'_, BTreeMap<u64, Extent>> {
        self.extents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
