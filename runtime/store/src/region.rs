//! Immutable bytes that stay where they are.

use crate::ViewError;
use crate::memory::{Keep, Memory};
use crate::region_mut::RegionMut;
use std::any::Any;
use std::fmt;
use std::ops::{Bound, Deref, Range, RangeBounds};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

/// Immutable bytes that begin at a multiple of [`Region::ALIGN`] and stay where they are while anything views them.
///
/// A clone shares the memory (one atomic increment). Made by sealing a [`RegionMut`], by [`encode`](crate::encode), or
/// over memory that something else owns, such as a mapping.
///
/// Invariant (REG-1): `start` is a multiple of `ALIGN`, and the `len` bytes from it on are initialized, and neither
/// change nor move, as long as a clone of `keep` lives.
#[derive(Clone)]
pub struct Region {
    start: NonNull<u8>,
    len: usize,
    keep: Keep,
}

// SAFETY: by REG-1 the bytes are never written while a region lives, so threads may share them; `keep` is
// `Send + Sync`.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// What the address of a region's first byte is a multiple of, in bytes: a cache line, and the widest vector.
    pub const ALIGN: usize = 64;

    /// A region with a copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut region = RegionMut::zeroed(bytes.len());
        region.copy_from_slice(bytes);
        region.seal()
    }

    /// A region of `len` bytes from `start` on, in memory that `owner` keeps.
    ///
    /// # Panics
    /// If `start` is no multiple of [`Region::ALIGN`].
    ///
    /// # Safety
    /// Until `owner` is dropped, the bytes must be readable and initialized, and neither change nor move: not by this
    /// process, nor by another that maps the same memory.
    pub unsafe fn from_raw_parts<O: Any + Send + Sync>(start: NonNull<u8>, len: usize, owner: O) -> Self {
        assert!(start.addr().get().is_multiple_of(Self::ALIGN), "a region begins at a multiple of {}", Self::ALIGN);
        // SAFETY: MEM-1 is what the caller promises.
        Self { start, len, keep: Some(Arc::new(unsafe { Memory::new(start, len, owner) })) }
    }

    /// The bytes of `memory` in `range`, which begins at a multiple of [`Region::ALIGN`] in memory.
    pub(crate) fn within(memory: Vec<u8>, range: Range<usize>) -> Self {
        let (start, len) = (NonNull::from(&memory[range.clone()]).cast(), range.len());
        // SAFETY: the vector's memory stays where it is, and nobody has it who could write it.
        unsafe { Self::from_raw_parts(start, len, memory) }
    }

    /// The same bytes, which keep `other` as long as anything views them.
    pub fn keeping<O: Any + Send + Sync>(self, other: O) -> Self {
        // SAFETY: REG-1, which the owner's `keep` keeps up.
        unsafe { Self::from_raw_parts(self.start, self.len, (self.keep, other)) }
    }

    /// The bytes in `range` as a region that shares this one's memory.
    ///
    /// # Errors
    /// [`ViewError::OutOfBounds`] if `range` isn't within the region, [`ViewError::Misaligned`] if it doesn't begin at
    /// a multiple of [`Region::ALIGN`].
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<Self, ViewError> {
        let range = bounds(&range, self.len);
        let Some(bytes) = self.get(range.clone()) else {
            return Err(ViewError::OutOfBounds { start: range.start, end: range.end, len: self.len });
        };
        if !range.start.is_multiple_of(Self::ALIGN) {
            return Err(ViewError::Misaligned { start: range.start, align: Self::ALIGN });
        }
        Ok(Self { start: NonNull::from(bytes).cast(), len: bytes.len(), keep: self.keep.clone() })
    }

    pub(crate) fn keep(&self) -> &Keep {
        &self.keep
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: REG-1, which the constructors establish.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({} bytes at {:p})", self.len, self.start)
    }
}

/// `range` in numbers, of something that has `len` parts.
pub(crate) fn bounds(range: &impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len,
    };
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[repr(C, align(64))]
    struct Mapping([u8; 256], Arc<AtomicBool>);

    impl Drop for Mapping {
        fn drop(&mut self) {
            self.1.store(true, Ordering::Relaxed);
        }
    }

    fn mapped() -> (Region, Arc<AtomicBool>) {
        let dropped = Arc::new(AtomicBool::new(false));
        let mapping = Box::new(Mapping(std::array::from_fn(|i| i as u8), dropped.clone()));
        let start = NonNull::from(&mapping.0).cast();
        // SAFETY: nobody writes the array, and the region keeps the box it is in.
        (unsafe { Region::from_raw_parts(start, 256, mapping) }, dropped)
    }

    #[test]
    fn a_region_is_aligned_and_equal_to_what_it_copies() {
        for len in [0, 1, 63, 64, 65, 5000] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let region = Region::copy_of(&bytes);
            assert_eq!(&region[..], &bytes[..]);
            assert_eq!(region.as_ptr().addr() % Region::ALIGN, 0);
        }
    }

    #[test]
    fn the_owner_lives_as_long_as_the_last_part() {
        let (region, dropped) = mapped();
        let part = region.slice(64..100).unwrap();
        drop(region);
        assert!(!dropped.load(Ordering::Relaxed));
        assert_eq!((part[0], part.len()), (64, 36));
        drop(part);
        assert!(dropped.load(Ordering::Relaxed));
    }

    #[test]
    fn a_part_must_be_within_and_aligned() {
        let (region, _) = mapped();
        assert_eq!(region.slice(..).unwrap().len(), 256);
        assert_eq!(region.slice(256..).unwrap().len(), 0);
        assert_eq!(region.slice(64..=64).unwrap().len(), 1);
        assert!(matches!(region.slice(8..16), Err(ViewError::Misaligned { start: 8, align: 64 })));
        assert!(matches!(region.slice(64..257), Err(ViewError::OutOfBounds { end: 257, .. })));
        let (start, end) = (128, 64);
        assert!(matches!(region.slice(start..end), Err(ViewError::OutOfBounds { .. })));
        assert!(region.slice(..=usize::MAX).is_err());
    }

    #[test]
    #[should_panic(expected = "multiple of 64")]
    fn memory_of_another_alignment_is_refused() {
        let (region, _) = mapped();
        let owner = region.clone();
        // SAFETY: within `region`, which `owner` keeps.
        unsafe { Region::from_raw_parts(NonNull::from(&region[8..]).cast(), 8, owner) };
    }
}
