//! The regions of one peer.

use super::extent::{Extent, Span};
use super::{Access, Backing, Memory, RemoteSpan};
use crate::error::TransportError;
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

/// All regions that are registered with the transports of a process.
pub struct Regions {
    table: RwLock<HashMap<u64, Arc<Region>>>,
    /// Keys and generations: both count up from a random start, so that a span outlives no process.
    next: AtomicU64,
}

/// A registered region; it is deregistered with the end of this value, which revokes what was published of it.
pub struct Registration {
    region: Arc<Region>,
    regions: Arc<Regions>,
}

/// Memory under a key. Invariant SPAN-1: its spans don't overlap; one stays in the table until nobody reads or writes it.
pub struct Region {
    pub(super) key: u64,
    backing: Backing,
    access: Access,
    is_registered: AtomicBool,
    spans: Mutex<BTreeMap<u64, Weak<Span>>>,
    attached: Mutex<Attached>,
    // After what is attached, which may refer to it.
    _memory: Box<dyn Memory>,
}

/// What transports keep with a region, each under a number of its own: registrations with cards.
///
/// ```text
///  Open --deregistration--> Closed, all of it dropped
/// ```
enum Attached {
    Open(Vec<(u64, Attachment)>),
    Closed,
}

type Attachment = Arc<dyn Any + Send + Sync>;

// SAFETY: the backing points into `_memory`, which may be sent and shared; the bytes are guarded by `Span`.
unsafe impl Send for Region {}
// SAFETY: as for `Send`.
unsafe impl Sync for Region {}

/// Why a holder doesn't give the bytes of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    Revoked,
    OutOfBounds,
    NotYet,
    /// It is memory of a device, which the transport can't reach.
    OffHost,
}

impl Regions {
    /// A registry without regions.
    ///
    /// # Panics
    /// Without a source of randomness.
    pub fn new() -> Arc<Self> {
        let start = getrandom::u64().expect("the system has randomness") >> 1;
        Arc::new(Self { table: RwLock::default(), next: AtomicU64::new(start) })
    }

    /// Registers memory, once for a whole segment. It costs nothing for TCP; a card pins the pages.
    pub fn register(self: &Arc<Self>, memory: impl Memory, access: Access) -> Registration {
        let backing = memory.backing();
        let key = self.fresh();
        let region = Arc::new(Region {
            key,
            backing,
            access,
            is_registered: AtomicBool::new(true),
            spans: Mutex::default(),
            attached: Mutex::new(Attached::Open(vec![])),
            _memory: Box::new(memory),
        });
        self.table.write().unwrap_or_else(PoisonError::into_inner).insert(key, region.clone());
        Registration { region, regions: self.clone() }
    }

    /// How many regions are registered now.
    pub fn registered(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What lies under a span that some peer named.
    pub(crate) fn find(&self, span: RemoteSpan) -> Result<Arc<Span>, Denied> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let region = table.get(&span.key).ok_or(Denied::Revoked)?.clone();
        drop(table);
        region.find(span)
    }

    /// Ends what a transport keeps with the regions, as the transport itself ends.
    pub(crate) fn detach(&self, of: u64) {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let regions: Vec<Arc<Region>> = table.values().cloned().collect();
        drop(table);
        regions.iter().for_each(|region| region.detach(of));
    }

    /// A number that no key, generation or transport here has.
    pub(crate) fn fresh(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Registration {
    /// The region's key.
    pub fn key(&self) -> u64 {
        self.region.key
    }

    /// Whether it is registered there.
    pub(super) fn is_of(&self, regions: &Arc<Regions>) -> bool {
        Arc::ptr_eq(&self.regions, regions)
    }

    /// Lets peers read `len` bytes from byte `offset` on, which are written already and stay as they are until the
    /// extent ends.
    ///
    /// # Errors
    /// `Region` where the range leaves the region, or part of it is in use.
    pub fn publish(&self, offset: u64, len: u64) -> Result<Extent, TransportError> {
        self.open(offset, len, true)
    }

    /// A landing place of `len` bytes from byte `offset` on, for one object. Peers may read what has arrived.
    ///
    /// # Errors
    /// `Region` where the range leaves the region, part of it is in use, or the region isn't registered for landing.
    pub fn land(&self, offset: u64, len: u64) -> Result<Extent, TransportError> {
        if self.region.access != Access::Land {
            return Err(self.region.error(offset, len, "it is registered for reading only"));
        }
        self.open(offset, len, false)
    }

    fn open(&self, offset: u64, len: u64, is_present: bool) -> Result<Extent, TransportError> {
        let span = Region::open(&self.region, (offset, len), self.regions.fresh(), is_present);
        span.map(Extent::new).map_err(|why| self.region.error(offset, len, why))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.region.is_registered.store(false, Ordering::Release);
        let attached = std::mem::replace(&mut *self.region.attached(), Attached::Closed);
        drop(attached);
        self.regions.table.write().unwrap_or_else(PoisonError::into_inner).remove(&self.region.key);
    }
}

impl Region {
    pub(super) fn is_registered(&self) -> bool {
        self.is_registered.load(Ordering::Acquire)
    }

    /// Where its bytes are.
    pub fn backing(&self) -> Backing {
        self.backing
    }

    /// What may be done with it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Its first byte, where it is mapped here.
    pub(super) fn host_base(&self) -> Option<NonNull<u8>> {
        match self.backing {
            Backing::Host { base, .. } => Some(base),
            Backing::Dmabuf { .. } => None,
        }
    }

    /// What a transport keeps with the region under a number of its own, made where it isn't there; none once the region is
    /// deregistered. It refers to the memory for no longer than the region is there.
    pub fn attachment<T: Any + Send + Sync>(&self, of: u64, make: impl FnOnce() -> T) -> Option<Arc<T>> {
        let mut attached = self.attached();
        let Attached::Open(present) = &mut *attached else { return None };
        let found = present.iter().find(|(owner, _)| *owner == of).map(|(_, found)| found.clone());
        let found = found.unwrap_or_else(|| {
            let made: Attachment = Arc::new(make());
            present.push((of, made.clone()));
            made
        });
        Some(found.downcast().expect("one type under one number"))
    }

    fn detach(&self, of: u64) {
        let mut ended = vec![];
        if let Attached::Open(present) = &mut *self.attached() {
            ended.extend(present.extract_if(.., |(owner, _)| *owner == of));
        }
        // The lock is given back by now: a card may take its time.
        drop(ended);
    }

    fn attached(&self) -> MutexGuard<'_, Attached> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a span that nobody uses any more.
    pub(super) fn close(&self, offset: u64) {
        let mut spans = self.spans();
        // Another may have come in between: the count of the one that ends was 0 before it came here.
        if spans.get(&offset).is_some_and(|span| span.strong_count() == 0) {
            spans.remove(&offset);
        }
    }

    fn open(
        region: &Arc<Self>,
        (offset, len): (u64, u64),
        generation: u64,
        is_present: bool,
    ) -> Result<Arc<Span>, &'static str> {
        let end = offset.checked_add(len).filter(|end| *end <= region.backing.len()).ok_or("it is shorter")?;
        // Declared before the lock, so dropped after it: the last holder of a span closes it under that lock.
        let before: Option<Arc<Span>>;
        let mut spans = region.spans();
        before = spans.range(..end).rev().find_map(|(_, span)| span.upgrade());
        if before.as_ref().is_some_and(|span| span.end() > offset || span.remote().offset == offset) {
            return Err("part of it is in use, or its last readers are not done yet");
        }
        // Spans whose last holder is about to close them.
        let ended: Vec<u64> = spans.range(offset..end).map(|(offset, _)| *offset).collect();
        ended.iter().for_each(|offset| drop(spans.remove(offset)));
        let remote = RemoteSpan { key: region.key, generation, offset, len };
        let span = Arc::new(Span::new(region.clone(), remote, is_present));
        spans.insert(offset, Arc::downgrade(&span));
        Ok(span)
    }

    fn find(&self, wanted: RemoteSpan) -> Result<Arc<Span>, Denied> {
        let end = wanted.offset.checked_add(wanted.len).ok_or(Denied::OutOfBounds)?;
        let found = self.spans().range(..=wanted.offset).next_back().and_then(|(_, span)| span.upgrade());
        let span = found.ok_or(Denied::Revoked)?;
        if wanted.generation != span.remote().generation || !span.is_live() {
            return Err(Denied::Revoked);
        }
        if end > span.end() { Err(Denied::OutOfBounds) } else { Ok(span) }
    }

    fn spans(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Span>>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, offset: u64, len: u64, why: &'static str) -> TransportError {
        TransportError::Region { key: self.key, offset, len, why }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Memfd;
    use super::*;

    fn registration(access: Access) -> (Arc<Regions>, Registration) {
        let regions = Regions::new();
        let registration = regions.register(Memfd::new(1 << 16).unwrap(), access);
        (regions, registration)
    }

    #[test]
    fn spans_dont_overlap_and_stay_within_the_region() {
        let (_regions, memory) = registration(Access::Land);
        let _first = memory.publish(4096, 4096).unwrap();
        for (offset, len) in [(0, 4097), (4096, 1), (8191, 1), (0, 1 << 17), (u64::MAX, 2), (1 << 16, 1), (0, 1 << 16)]
        {
            assert!(memory.land(offset, len).is_err(), "{offset}..+{len}");
        }
        let _around = [memory.land(0, 4096).unwrap(), memory.land(8192, 4096).unwrap()];
    }

    #[test]
    fn what_is_registered_for_reading_takes_nothing() {
        let (_regions, memory) = registration(Access::Read);
        assert!(matches!(memory.land(0, 1), Err(TransportError::Region { .. })));
    }

    #[test]
    fn a_span_ends_with_its_extent_and_with_its_registration() {
        let (regions, memory) = registration(Access::Read);
        let extent = memory.publish(0, 4096).unwrap();
        let old = extent.remote();
        assert!(regions.find(old.slice(4000, 96)).is_ok());
        assert_eq!(regions.find(RemoteSpan { len: 4097, ..old }).err(), Some(Denied::OutOfBounds));
        assert_eq!(regions.find(RemoteSpan { offset: 4097, ..old }).err(), Some(Denied::OutOfBounds));
        assert_eq!(regions.find(RemoteSpan { len: u64::MAX, offset: 1, ..old }).err(), Some(Denied::OutOfBounds));
        drop(extent);
        assert_eq!(regions.find(old).err(), Some(Denied::Revoked));
        let extent = memory.publish(0, 4096).unwrap();
        assert_eq!(regions.find(old).err(), Some(Denied::Revoked));
        drop(memory);
        assert_eq!(regions.find(extent.remote()).err(), Some(Denied::Revoked));
    }

    #[test]
    fn bytes_are_not_given_again_while_somebody_reads_them() {
        let (regions, memory) = registration(Access::Land);
        let extent = memory.publish(0, 4096).unwrap();
        let reader = regions.find(extent.remote()).unwrap();
        drop(extent);
        assert!(memory.land(0, 4096).is_err());
        drop(reader);
        assert!(memory.land(0, 4096).is_ok());
    }
}
