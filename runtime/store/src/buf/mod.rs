//! Many numbers of one type.

mod serial;

use crate::memory::{Keep, Memory};
use crate::region::bounds;
use crate::{Element, Region};
use std::fmt;
use std::mem;
use std::ops::{Deref, Range, RangeBounds};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

/// An immutable row of numbers: its own (from a `Vec`, without a copy), or a view of a [`Region`].
///
/// Reads as a slice. A clone shares the memory (one atomic increment), and so does a part ([`Buf::slice`]). A view
/// keeps the whole region alive: `Buf::from(view.to_vec())` makes one that doesn't.
///
/// Serializes in every format: as a sequence of numbers where people read it (JSON), else as bytes. Our own codec
/// ([`encode`](crate::encode)) writes it out of band, and decodes it as a view.
///
/// Invariant (BUF-1): the `len` elements from `start` on are aligned and valid, and neither change nor move, as long as
/// a clone of `keep` lives.
pub struct Buf<T> {
    start: NonNull<T>,
    len: usize,
    keep: Keep,
}

/// Why bytes of a region can't be viewed as asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The range isn't within the region.
    #[error("bytes {start}..{end} are not within a region of {len} bytes")]
    OutOfBounds {
        /// The first byte asked for.
        start: usize,
        /// The byte behind the last asked for.
        end: usize,
        /// The bytes that the region has.
        len: usize,
    },
    /// The range doesn't begin at a multiple of the alignment.
    #[error("byte {start} of a region is not at a multiple of {align}")]
    Misaligned {
        /// The first byte asked for.
        start: usize,
        /// What it must be a multiple of.
        align: usize,
    },
    /// The bytes aren't a whole number of elements.
    #[error("{bytes} bytes are not a whole number of elements of {size} bytes")]
    Fraction {
        /// How many bytes there are.
        bytes: usize,
        /// The bytes of one element.
        size: usize,
    },
    /// An element has bits that mean nothing in its type, such as a `bool` that is neither 0 nor 1.
    #[error("the bytes hold something that is no {element}")]
    Invalid {
        /// The type of the elements.
        element: &'static str,
    },
}

// SAFETY: by BUF-1 the elements are never written while a buffer lives, so threads may share them (`T` is a plain
// number); `keep` is `Send + Sync`.
unsafe impl<T: Send + Sync> Send for Buf<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Buf<T> {}

impl<T: Element> Buf<T> {
    /// A view of the elements in the bytes `range` of `region`.
    ///
    /// # Errors
    /// [`ViewError`], each variant: the range must lie within, begin at a multiple of `T`'s alignment, be a whole
    /// number of elements, and hold valid ones.
    pub fn view(region: &Region, range: impl RangeBounds<usize>) -> Result<Self, ViewError> {
        let range = bounds(&range, region.len());
        let Some(bytes) = region.get(range.clone()) else {
            return Err(ViewError::OutOfBounds { start: range.start, end: range.end, len: region.len() });
        };
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if !range.start.is_multiple_of(align_of::<T>()) {
            return Err(ViewError::Misaligned { start: range.start, align: align_of::<T>() });
        }
        let elements = whole::<T>(bytes).and_then(|bytes| T::cast(bytes).ok_or_else(invalid::<T>))?;
        Ok(Self { start: NonNull::from(elements).cast(), len: elements.len(), keep: region.keep().clone() })
    }

    /// The elements that `bytes` hold, as a buffer that shares their memory.
    ///
    /// # Errors
    /// [`ViewError::Misaligned`], [`ViewError::Fraction`] and [`ViewError::Invalid`].
    pub(crate) fn of_bytes(bytes: &Buf<u8>) -> Result<Self, ViewError> {
        let Some(memory) = bytes.keep().as_ref().filter(|_| !bytes.is_empty()) else { return Ok(Self::default()) };
        let start = memory.range_of(bytes).start;
        if !bytes.as_ptr().addr().is_multiple_of(align_of::<T>()) {
            return Err(ViewError::Misaligned { start, align: align_of::<T>() });
        }
        let elements = whole::<T>(bytes).and_then(|bytes| T::cast(bytes).ok_or_else(invalid::<T>))?;
        Ok(Self { start: NonNull::from(elements).cast(), len: elements.len(), keep: bytes.keep.clone() })
    }

    /// A buffer with a copy of the elements in `bytes`, which may lie at any address.
    ///
    /// # Errors
    /// [`ViewError::Fraction`] and [`ViewError::Invalid`].
    pub(crate) fn copied(bytes: &[u8]) -> Result<Self, ViewError> {
        whole::<T>(bytes).and_then(|bytes| T::collect(bytes).ok_or_else(invalid::<T>)).map(Self::from)
    }

    /// The elements in `range`, as a buffer that shares this one's memory.
    ///
    /// # Panics
    /// If `range` isn't within the buffer.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let part = &self[bounds(&range, self.len)];
        Self { start: NonNull::from(part).cast(), len: part.len(), keep: self.keep.clone() }
    }

    /// The elements as a `Vec`: the one that the buffer was made from if nothing else shares it, else a copy.
    pub fn into_vec(mut self) -> Vec<T> {
        self.take_vec().unwrap_or_else(|| self.to_vec())
    }

    /// The elements as the bytes that they are, little endian.
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }

    /// The elements as a buffer of the bytes that they are, which shares this one's memory.
    pub fn to_bytes(&self) -> Buf<u8> {
        let bytes = self.as_bytes();
        Buf { start: NonNull::from(bytes).cast(), len: bytes.len(), keep: self.keep.clone() }
    }

    pub(crate) fn keep(&self) -> &Keep {
        &self.keep
    }

    /// The vector that the buffer was made from, if this is the only buffer of it and of all its elements.
    fn take_vec(&mut self) -> Option<Vec<T>> {
        let all: *const [T] = &**self;
        let vec = Arc::get_mut(self.keep.as_mut()?)?.owner_mut::<Vec<T>>()?;
        ptr::eq(vec.as_slice(), all).then(|| mem::take(vec))
    }
}

impl Buf<u8> {
    /// The bytes of `memory` in `range`.
    pub(crate) fn part_of(memory: Arc<Memory>, range: Range<usize>) -> Self {
        let part = &memory.bytes()[range];
        Self { start: NonNull::from(part).cast(), len: part.len(), keep: Some(memory) }
    }
}

impl<T> Deref for Buf<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: BUF-1, which the constructors establish: each has a slice in hand, and what keeps it alive. Where
        // `take_vec` has emptied the vector, the buffer is dropped unread.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> AsRef<[T]> for Buf<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> Clone for Buf<T> {
    fn clone(&self) -> Self {
        Self { start: self.start, len: self.len, keep: self.keep.clone() }
    }
}

impl<T> Default for Buf<T> {
    /// No elements, and no allocation.
    fn default() -> Self {
        Self { start: NonNull::dangling(), len: 0, keep: None }
    }
}

impl<T: Element> From<Vec<T>> for Buf<T> {
    /// Takes the vector's memory as it is.
    fn from(vec: Vec<T>) -> Self {
        if vec.is_empty() {
            return Self::default();
        }
        let (start, len) = (NonNull::from(vec.as_slice()), vec.len());
        // SAFETY: the vector's memory stays where it is, nobody has it who could write it, and an element has no bytes
        // that aren't initialized (`NoUninit`).
        let memory = unsafe { Memory::new(start.cast(), size_of_val(vec.as_slice()), vec) };
        Self { start: start.cast(), len, keep: Some(Arc::new(memory)) }
    }
}

impl<T: Element> From<Buf<T>> for Vec<T> {
    fn from(buf: Buf<T>) -> Self {
        buf.into_vec()
    }
}

impl<T: Element> FromIterator<T> for Buf<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        elements.into_iter().collect::<Vec<T>>().into()
    }
}

impl<T: PartialEq> PartialEq for Buf<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Buf<T> {}

impl<T: fmt::Debug> fmt::Debug for Buf<T> {
    /// The length and the first eight elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 8;
        write!(f, "Buf({}) ", self.len)?;
        let mut list = f.debug_list();
        list.entries(self.iter().take(SHOWN_MAX));
        if self.len > SHOWN_MAX { list.finish_non_exhaustive() } else { list.finish() }
    }
}

fn whole<T>(bytes: &[u8]) -> Result<&[u8], ViewError> {
    let size = size_of::<T>();
    if bytes.len().is_multiple_of(size) { Ok(bytes) } else { Err(ViewError::Fraction { bytes: bytes.len(), size }) }
}

fn invalid<T>() -> ViewError {
    ViewError::Invalid { element: std::any::type_name::<T>() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_goes_in_and_out_without_a_copy() {
        let vec = vec![1.5_f32, 2.5, 3.5];
        let address = vec.as_ptr();
        let buf = Buf::from(vec);
        assert_eq!((buf.as_ptr(), &buf[..]), (address, &[1.5, 2.5, 3.5][..]));
        let vec = buf.into_vec();
        assert_eq!(vec.as_ptr(), address);
    }

    #[test]
    fn what_is_shared_or_partial_is_copied_out() {
        let buf = Buf::from(vec![1_u16, 2, 3]);
        let other = buf.clone();
        let copy = buf.clone().into_vec();
        assert_ne!(copy.as_ptr(), buf.as_ptr());
        drop(buf);
        let part = other.slice(1..);
        drop(other);
        assert_eq!(part.into_vec(), [2, 3]);
        let bytes = Buf::from(vec![258_u16]).to_bytes();
        assert_eq!(bytes.into_vec(), [2, 1]);
    }

    #[test]
    fn a_part_shares_the_memory() {
        let buf = Buf::from_iter(0..10_i64);
        let part = buf.slice(2..=4);
        assert_eq!((part.as_ptr(), &part[..]), (&raw const buf[2], &[2, 3, 4][..]));
        assert_eq!(buf.slice(10..), Buf::default());
    }

    #[test]
    fn a_view_shares_the_region() {
        let region = Region::copy_of(bytemuck::cast_slice(&[1_u32, 2, 3, 4]));
        let view = Buf::<u32>::view(&region, 4..12).unwrap();
        assert_eq!((view.as_ptr().cast(), &view[..]), (&raw const region[4], &[2, 3][..]));
        drop(region);
        assert_eq!(view.into_vec(), [2, 3]);
    }

    #[test]
    fn a_view_that_makes_no_sense_is_refused() {
        let region = Region::copy_of(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let view = |range| Buf::<u32>::view(&region, range).unwrap_err();
        assert_eq!(view(2..6), ViewError::Misaligned { start: 2, align: 4 });
        assert_eq!(view(4..7), ViewError::Fraction { bytes: 3, size: 4 });
        assert_eq!(view(4..12), ViewError::OutOfBounds { start: 4, end: 12, len: 8 });
        assert_eq!(Buf::<bool>::view(&region, ..2).unwrap()[..], [false, true]);
        assert_eq!(Buf::<bool>::view(&region, ..3), Err(ViewError::Invalid { element: "bool" }));
        assert_eq!(Buf::<bool>::copied(&region), Err(ViewError::Invalid { element: "bool" }));
        assert_eq!(Buf::<u64>::view(&region, 3..3).unwrap().len(), 0);
    }

    #[test]
    fn a_copy_may_come_from_any_address() {
        let bytes = [9, 1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(Buf::<u32>::copied(&bytes[1..]).unwrap()[..], [1, 2]);
        assert_eq!(Buf::<u32>::copied(&bytes), Err(ViewError::Fraction { bytes: 9, size: 4 }));
    }

    #[test]
    fn debug_shows_the_length_and_a_few() {
        assert_eq!(format!("{:?}", Buf::from(vec![1_u8, 2])), "Buf(2) [1, 2]");
        assert_eq!(format!("{:?}", Buf::from_iter(0..100_u8)), "Buf(100) [0, 1, 2, 3, 4, 5, 6, 7, ..]");
    }

    #[test]
    fn buffers_cross_threads() {
        let buf = Buf::from_iter(0..4_i32);
        let sum = std::thread::scope(|scope| scope.spawn(|| buf.iter().sum::<i32>()).join().unwrap());
        assert_eq!(sum, 6);
    }
}
