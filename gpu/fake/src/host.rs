//! Host memory that devices read and write by themselves.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fault::{Fault, Status};

const PAGE_BYTES: usize = 4096;

/// Ranges of pinned host memory.
#[derive(Debug, Default)]
pub struct HostMemory {
    by_address: Mutex<BTreeMap<usize, Range>>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    len: usize,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Made by us.
    Allocated,
    /// The program's own.
    Registered,
}

impl HostMemory {
    /// Makes `len` bytes, at a page.
    ///
    /// # Errors
    /// `InvalidValue` for none; `OutOfMemory` where there are no more.
    pub fn allocate(&self, len: usize) -> Result<usize, Fault> {
        let layout = layout(len)?;
        // SAFETY: the layout has bytes.
        let pointer = unsafe { std::alloc::alloc(layout) };
        if pointer.is_null() {
            return Err(Fault::new(Status::OutOfMemory, format!("{len} bytes of host memory")));
        }
        self.lock().insert(pointer as usize, Range { len, origin: Origin::Allocated });
        Ok(pointer as usize)
    }

    /// Gives back what [`HostMemory::allocate`] made.
    ///
    /// # Errors
    /// `InvalidValue` for all else.
    pub fn free(&self, address: usize) -> Result<(), Fault> {
        let range = self.take(address, Origin::Allocated);
        let range =
            range.ok_or_else(|| Fault::new(Status::InvalidValue, format!("{address:#x} is no host allocation")))?;
        // SAFETY: made by `allocate` with this layout, and just forgotten, so that it isn't given back twice.
        unsafe { std::alloc::dealloc(address as *mut u8, layout(range.len)?) };
        Ok(())
    }

    /// Pins memory of the program.
    ///
    /// # Errors
    /// `HostMemoryAlreadyRegistered` where some of it is pinned.
    pub fn register(&self, address: usize, len: usize) -> Result<(), Fault> {
        let end = address.checked_add(len).filter(|_| len > 0 && address > 0);
        let end = end.ok_or_else(|| Fault::new(Status::InvalidValue, format!("{len} bytes at {address:#x}")))?;
        let mut map = self.lock();
        if map.range(..end).next_back().is_some_and(|(begin, range)| begin + range.len > address) {
            return Err(Fault::new(
                Status::HostMemoryAlreadyRegistered,
                format!("some of {len} bytes at {address:#x}"),
            ));
        }
        map.insert(address, Range { len, origin: Origin::Registered });
        Ok(())
    }

    /// The opposite of [`HostMemory::register`].
    ///
    /// # Errors
    /// `HostMemoryNotRegistered` if it wasn't.
    pub fn unregister(&self, address: usize) -> Result<(), Fault> {
        let taken = self.take(address, Origin::Registered).map(drop);
        taken.ok_or_else(|| Fault::new(Status::HostMemoryNotRegistered, format!("{address:#x}")))
    }

    /// Whether all of `len` bytes are pinned.
    pub fn is_pinned(&self, address: usize, len: usize) -> bool {
        let map = self.lock();
        map.range(..=address).next_back().is_some_and(|(begin, range)| address + len <= begin + range.len)
    }

    fn take(&self, address: usize, origin: Origin) -> Option<Range> {
        let mut map = self.lock();
        map.get(&address).filter(|range| range.origin == origin)?;
        map.remove(&address)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Range>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn layout(len: usize) -> Result<Layout, Fault> {
    let layout = Layout::from_size_align(len, PAGE_BYTES).ok().filter(|layout| layout.size() > 0);
    layout.ok_or_else(|| Fault::new(Status::InvalidValue, format!("{len} bytes of host memory")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_pinned_from_its_registration_to_its_end() {
        let host = HostMemory::default();
        host.register(1000, 100).unwrap();
        assert!(host.is_pinned(1000, 100) && host.is_pinned(1099, 1));
        assert!(!host.is_pinned(999, 2) && !host.is_pinned(1050, 51));
        assert_eq!(host.register(1099, 10).unwrap_err().status, Status::HostMemoryAlreadyRegistered);
        assert_eq!(host.free(1000).unwrap_err().status, Status::InvalidValue);
        host.unregister(1000).unwrap();
        assert_eq!(host.unregister(1000).unwrap_err().status, Status::HostMemoryNotRegistered);
    }
}
