//! Memory that regions and buffers share.

use std::any::Any;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What keeps memory alive. Nothing needs to where there are no bytes.
pub(crate) type Keep = Option<Arc<Memory>>;

/// Memory that regions and buffers view: what owns it (a vector, a mapping), and where else the same bytes are.
///
/// Invariant (MEM-1): the `len` bytes from `start` on are initialized, and neither change nor move, as long as a region
/// or buffer has this.
pub(crate) struct Memory<O: ?Sized = dyn Any + Send + Sync> {
    start: NonNull<u8>,
    len: usize,
    /// Allocated with the first, as most memory never has one.
    twins: OnceLock<Box<Mutex<Vec<Twin>>>>,
    owner: O,
}

/// The same bytes as a part of memory, in a place that another process sees.
pub(crate) struct Twin {
    /// Which part, in bytes from the start of the memory.
    pub(crate) range: Range<usize>,
    /// What keeps the place; of the type that whoever made it knows.
    pub(crate) place: Arc<dyn Any + Send + Sync>,
}

// SAFETY: by MEM-1 the bytes are never written while anybody can read them, so threads may share them; what else is in
// it is `Send` and `Sync`.
unsafe impl<O: ?Sized + Send + Sync> Send for Memory<O> {}
// SAFETY: as above.
unsafe impl<O: ?Sized + Send + Sync> Sync for Memory<O> {}

impl<O> Memory<O> {
    /// # Safety
    /// MEM-1, with `owner` as what keeps the bytes where they are.
    pub(crate) unsafe fn new(start: NonNull<u8>, len: usize, owner: O) -> Self {
        Self { start, len, twins: OnceLock::new(), owner }
    }
}

impl Memory {
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: MEM-1; whoever calls this came by a region or a buffer.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Where `part` lies in it.
    ///
    /// # Panics
    /// If it doesn't.
    pub(crate) fn range_of(&self, part: &[u8]) -> Range<usize> {
        let start = part.as_ptr().addr().wrapping_sub(self.start.addr().get());
        let end = start.checked_add(part.len()).filter(|end| *end <= self.len);
        start..end.expect("a buffer lies in the memory that it keeps")
    }

    /// The twins of its parts, of all kinds. Who makes one holds the lock meanwhile, so that another waits for it.
    pub(crate) fn twins(&self) -> MutexGuard<'_, Vec<Twin>> {
        // A twin that wasn't finished is no twin.
        self.twins.get_or_init(Box::default).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owner, if it is an `O`.
    pub(crate) fn owner_mut<O: Any>(&mut self) -> Option<&mut O> {
        self.owner.downcast_mut()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Buf, Region};

    #[test]
    fn what_is_known_of_memory_costs_its_views_nothing() {
        assert_eq!((size_of::<Buf<f32>>(), size_of::<Region>()), (32, 32));
        assert_eq!(size_of::<Option<Buf<f32>>>(), 32);
    }

    #[test]
    #[should_panic(expected = "lies in the memory")]
    fn a_part_of_other_memory_is_no_part() {
        let (one, other) = (Region::copy_of(&[1; 100]), Region::copy_of(&[2; 100]));
        one.keep().as_ref().unwrap().range_of(&other);
    }
}
