//! Shared memory as files without names, and mappings of them.

use super::error::StoreError;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// The memory in which objects lie, as one process maps it: to read for as long as it is attached, and to write from
/// its first write on. Both mappings are of the whole, so that a page that was touched once stays so, whatever lies
/// there later.
#[derive(Debug)]
pub(crate) struct Segment {
    file: OwnedFd,
    reading: Mapping,
    writing: OnceLock<Mapping>,
}

impl Segment {
    /// Maps a sealed file.
    pub(crate) fn open(file: OwnedFd, bytes: usize) -> io::Result<Self> {
        let reading = Mapping::new(file.as_fd(), bytes, ProtFlags::READ)?;
        Ok(Self { file, reading, writing: OnceLock::new() })
    }

    /// Where `offset` lies in memory that this process can't write.
    pub(crate) fn reading(&self, offset: usize, len: usize) -> NonNull<u8> {
        self.reading.at(offset, len)
    }

    /// Where `offset` lies in memory that this process may write.
    pub(crate) fn writing(&self, offset: usize, len: usize) -> io::Result<NonNull<u8>> {
        if let Some(mapping) = self.writing.get() {
            return Ok(mapping.at(offset, len));
        }
        let mapping = Mapping::new(self.file.as_fd(), self.reading.len, ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(self.writing.get_or_init(|| mapping).at(offset, len))
    }

    /// Gets memory for a part of the file: afterwards no write there can find the machine out of it, which would be a
    /// signal, not an error.
    pub(crate) fn reserve(&self, range: Range<usize>) -> Result<(), StoreError> {
        reserve(self.file.as_fd(), range)
    }

    /// Touches a part that has memory, so that nobody else need wait for its zeros.
    pub(crate) fn touch(&self, range: Range<usize>) -> io::Result<()> {
        let start = self.writing(range.start, range.len())?;
        // SAFETY: the range lies within this value's mapping (`writing` asserts that), and populating changes no byte.
        let touched = unsafe { rustix::mm::madvise(start.as_ptr().cast(), range.len(), Advice::LinuxPopulateWrite) };
        // Kernels before 5.14 don't know it; then the first writer waits.
        touched.or_else(|errno| if errno == Errno::INVAL { Ok(()) } else { Err(errno.into()) })
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A shared mapping of the first bytes of a file.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value until it is dropped, and isn't bound to a thread; it hands out pointers
// only, whose users say why they may access what is there.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(crate) fn new(file: BorrowedFd<'_>, len: usize, access: ProtFlags) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory that is in use.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), len, access, MapFlags::SHARED, file, 0) }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(|| io::Error::other("a mapping at address 0"))?;
        let mapping = Self { base, len };
        // SAFETY: the range is the mapping just made. That huge pages aren't to be had is no error.
        let _ = unsafe { rustix::mm::madvise(base.as_ptr().cast(), len, Advice::LinuxHugepage) };
        Ok(mapping)
    }

    /// Where the `len` bytes from `offset` on lie.
    ///
    /// # Panics
    /// If they don't lie within the mapping.
    pub(crate) fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset <= self.len && len <= self.len - offset, "within the mapping");
        // SAFETY: within the mapping (asserted), which is one allocation.
        unsafe { self.base.add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and whoever points into it keeps the value.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// A file of `len` bytes without a name, which can't change its size. It has no memory yet.
pub(crate) fn create_file(name: &str, len: usize) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&file, len as u64)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file)
}

/// The length of a file that can't change it.
pub(crate) fn sealed_len(file: BorrowedFd<'_>) -> Result<usize, StoreError> {
    let seals = rustix::fs::fcntl_get_seals(file).map_err(|_| StoreError::NotSealed)?;
    if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
        return Err(StoreError::NotSealed);
    }
    let stat = rustix::fs::fstat(file).map_err(io::Error::from)?;
    Ok(usize::try_from(stat.st_size).unwrap_or(0))
}

/// Gets memory for a part of a file.
pub(crate) fn reserve(file: BorrowedFd<'_>, range: Range<usize>) -> Result<(), StoreError> {
    loop {
        let (offset, len) = (range.start as u64, range.len() as u64);
        match rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::NOSPC | Errno::NOMEM) => return Err(StoreError::NoMemory { wanted: range.len() }),
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
    }
}
