//! Memory that is written once and then sealed.

use crate::Region;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Bytes of one owner, who writes them and then seals them into a [`Region`]. They begin at a multiple of
/// [`Region::ALIGN`].
pub struct RegionMut {
    /// With room to choose an aligned `start` in it: an allocator that gives zeroed pages for nothing does so only
    /// where no alignment is asked of it. Never grows.
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl RegionMut {
    /// `len` zeros.
    ///
    /// # Panics
    /// If `len` is so large that nothing could have as many bytes.
    pub fn zeroed(len: usize) -> Self {
        let capacity = len.checked_add(Region::ALIGN - 1).expect("a region is smaller than the address space");
        let memory = vec![0; capacity];
        let start = memory.as_ptr().addr().wrapping_neg() % Region::ALIGN;
        Self { memory, start, len }
    }

    /// Ends the writing.
    pub fn seal(self) -> Region {
        Region::within(self.memory, self.start..self.start + self.len)
    }
}

impl Deref for RegionMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for RegionMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl AsMut<[u8]> for RegionMut {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for RegionMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegionMut({} bytes at {:p})", self.len, self.as_ptr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_sealed_in_place() {
        let mut writing = RegionMut::zeroed(100);
        assert_eq!(&writing[..], &[0; 100]);
        writing[99] = 7;
        let address = writing.as_ptr();
        let region = writing.seal();
        assert_eq!((region.as_ptr(), region.len(), region[99]), (address, 100, 7));
    }
}
