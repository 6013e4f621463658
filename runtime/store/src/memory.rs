//! Memory that regions and buffers share.

use crate::bequest::Bequest;
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
/// or buffer has this, or a [`Bequest`] of it is left.
pub(crate) struct Memory<O: Owner + ?Sized = dyn Owner> {
    start: NonNull<u8>,
    len: usize,
    /// Allocated with the first, as most memory never has one.
    beside: OnceLock<Box<Beside>>,
    owner: O,
}

/// What keeps memory where it is.
pub(crate) trait Owner: Send + Sync {
    /// The owner itself, to keep the memory elsewhere; nothing the second time.
    fn move_out(&mut self) -> Option<Box<dyn Any + Send + Sync>>;
    /// To find out what it is.
    fn as_any_mut(&mut self) -> Option<&mut dyn Any>;
}

/// An owner that can be moved out.
pub(crate) struct Held<O>(Option<O>);

/// What has come to memory since it was made.
#[derive(Default)]
struct Beside {
    twins: Mutex<Vec<Twin>>,
    heir: OnceLock<Arc<Heir>>,
    hung: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

/// Who has the owner of memory once its last region or buffer is gone.
pub(crate) type Heir = OnceLock<Box<dyn Any + Send + Sync>>;

/// The same bytes as a part of memory, in a place that another process sees.
pub(crate) struct Twin {
    /// Which part, in bytes from the start of the memory.
    pub(crate) range: Range<usize>,
    /// What keeps the place; of the type that whoever made it knows.
    pub(crate) place: Arc<dyn Any + Send + Sync>,
}

// SAFETY: by MEM-1 the bytes are never written while anybody can read them, so threads may share them; what else is in
// it is `Send` and `Sync`.
unsafe impl<O: Owner + ?Sized> Send for Memory<O> {}
// SAFETY: as above.
unsafe impl<O: Owner + ?Sized> Sync for Memory<O> {}

impl<O: Any + Send + Sync> Memory<Held<O>> {
    /// # Safety
    /// MEM-1, with `owner` as what keeps the bytes where they are, also when it is moved.
    pub(crate) unsafe fn new(start: NonNull<u8>, len: usize, owner: O) -> Self {
        Self { start, len, beside: OnceLock::new(), owner: Held(Some(owner)) }
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
        self.beside().twins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What hangs on it, and goes with the last region or buffer.
    pub(crate) fn hung(&self) -> MutexGuard<'_, Vec<Arc<dyn Any + Send + Sync>>> {
        self.beside().hung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A way to the bytes that outlives the last region or buffer.
    pub(crate) fn bequeath(&self) -> Bequest {
        Bequest::new(self.start, self.len, self.beside().heir.get_or_init(Arc::default).clone())
    }

    fn beside(&self) -> &Beside {
        self.beside.get_or_init(Box::default)
    }

    /// The owner, if it is an `O` and nobody else is to have it.
    pub(crate) fn owner_mut<O: Any>(&mut self) -> Option<&mut O> {
        let is_bequeathed = self.beside.get().is_some_and(|beside| beside.heir.get().is_some());
        if is_bequeathed { None } else { self.owner.as_any_mut()?.downcast_mut() }
    }
}

impl<O: Owner + ?Sized> Drop for Memory<O> {
    fn drop(&mut self) {
        // Before what hangs on it is dropped, which may have readers until they are done.
        if let Some(heir) = self.beside.get().and_then(|beside| beside.heir.get())
            && let Some(owner) = self.owner.move_out()
        {
            // It is empty: an owner is moved out once.
            let _ = heir.set(owner);
        }
    }
}

impl<O: Any + Send + Sync> Owner for Held<O> {
    fn move_out(&mut self) -> Option<Box<dyn Any + Send + Sync>> {
        Some(Box::new(self.0.take()?))
    }

    fn as_any_mut(&mut self) -> Option<&mut dyn Any> {
        self.0.as_mut().map(|owner| owner as &mut dyn Any)
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
