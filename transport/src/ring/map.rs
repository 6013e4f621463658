//! The shared memory of a pair of rings.

use super::control::{Control, Padded};
use super::error::RingError;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};

/// The least bytes of one ring: a page, on any machine.
pub const RING_BYTES_MIN: usize = 64 << 10;
/// The most bytes of one ring.
pub const RING_BYTES_MAX: usize = 1 << 30;

/// A page on any machine, so that the data begin on a page.
const CONTROL_BYTES: usize = 64 << 10;
/// `RAYRING` and the version of the layout.
const MAGIC: u64 = u64::from_be_bytes(*b"RAYRING\x01");
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// What the file begins with.
#[repr(C)]
struct Header {
    magic: Padded<AtomicU64>,
    /// 1 from when the second process opened it.
    opened: Padded<AtomicU32>,
    controls: [Control; 2],
}

const _: () = assert!(size_of::<Header>() <= CONTROL_BYTES);

/// A mapping of the file, in which each ring's data lie twice, one after the other: so a record that runs over the end
/// of a ring goes on where it begins, and is contiguous in this view.
///
/// ```text
///  file:     | control | ring 0 | ring 1 |
///  mapping:  | control | ring 0 | ring 0 | ring 1 | ring 1 |
/// ```
#[derive(Debug)]
pub(crate) struct Map {
    base: NonNull<u8>,
    ring_bytes: usize,
}

// SAFETY: the mapping belongs to this value until it is dropped, and isn't bound to a thread; what it hands out are
// atomics, and pointers whose users say why nobody else writes there.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Makes a file for two empty rings of at least `ring_bytes` each, with all its memory, and maps it.
    pub(crate) fn create(ring_bytes: usize) -> io::Result<(Self, OwnedFd)> {
        if ring_bytes > RING_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{ring_bytes} bytes are too many for a ring"),
            ));
        }
        let ring_bytes = ring_bytes.next_power_of_two().max(RING_BYTES_MIN);
        let file = rustix::fs::memfd_create("rayline-ring", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        // With memory from the beginning, no write can find the machine out of it: that would be a signal, not an error.
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, file_bytes(ring_bytes) as u64)?;
        rustix::fs::fcntl_add_seals(&file, SEALS)?;
        let map = Self::new(file.as_fd(), ring_bytes)?;
        map.header().magic.0.store(MAGIC, Ordering::Release);
        Ok((map, file))
    }

    /// Maps a file that [`Map::create`] of another process made, after having checked it.
    pub(crate) fn open(file: BorrowedFd<'_>) -> Result<Self, RingError> {
        // Seals can't be taken off: what is checked from here on stays so.
        let seals = rustix::fs::fcntl_get_seals(file).map_err(|_| RingError::NotSealed)?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
            return Err(RingError::NotSealed);
        }
        let map = Self::new(file, ring_bytes(file)?)?;
        let found = map.header().magic.0.load(Ordering::Acquire);
        if found != MAGIC {
            return Err(RingError::BadHeader { expected: MAGIC, found });
        }
        match map.header().opened.0.swap(1, Ordering::AcqRel) {
            0 => Ok(map),
            _ => Err(RingError::AlreadyOpen),
        }
    }

    /// The control block of ring 0 or 1.
    pub(crate) fn control(&self, ring: usize) -> &Control {
        &self.header().controls[ring]
    }

    /// Where the data of ring 0 or 1 begin; twice [`Map::ring_bytes`] may be accessed from there.
    pub(crate) fn data(&self, ring: usize) -> *mut u8 {
        debug_assert!(ring < 2);
        self.base.as_ptr().wrapping_add(CONTROL_BYTES + ring * 2 * self.ring_bytes)
    }

    /// A power of two.
    pub(crate) fn ring_bytes(&self) -> usize {
        self.ring_bytes
    }

    fn new(file: BorrowedFd<'_>, ring_bytes: usize) -> io::Result<Self> {
        let bytes = mapping_bytes(ring_bytes);
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory that is in use.
        let base =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::empty(), MapFlags::PRIVATE) }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(|| io::Error::other("a mapping at address 0"))?;
        let map = Self { base, ring_bytes };
        map.map_part(file, 0, CONTROL_BYTES, 0)?;
        for view in 0..4 {
            let in_file = CONTROL_BYTES + view / 2 * ring_bytes;
            map.map_part(file, CONTROL_BYTES + view * ring_bytes, ring_bytes, in_file)?;
        }
        Ok(map)
    }

    fn map_part(&self, file: BorrowedFd<'_>, at: usize, bytes: usize, in_file: usize) -> io::Result<()> {
        assert!(at + bytes <= mapping_bytes(self.ring_bytes), "parts lie within the mapping");
        let address: *mut c_void = self.base.as_ptr().wrapping_add(at).cast();
        let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::POPULATE;
        // SAFETY: the part lies within this value's own mapping (asserted), which nobody uses yet.
        unsafe { rustix::mm::mmap(address, bytes, ProtFlags::READ | ProtFlags::WRITE, flags, file, in_file as u64) }?;
        Ok(())
    }

    fn header(&self) -> &Header {
        // SAFETY: the header lies at the begin of the mapping (asserted to fit there), is aligned as a page is, holds
        // atomics only, for which all bits are valid and which a peer may change, and lives as long as `self`.
        unsafe { self.base.cast::<Header>().as_ref() }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and whoever points into it holds the value.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), mapping_bytes(self.ring_bytes)) };
    }
}

fn file_bytes(ring_bytes: usize) -> usize {
    CONTROL_BYTES + 2 * ring_bytes
}

fn mapping_bytes(ring_bytes: usize) -> usize {
    CONTROL_BYTES + 4 * ring_bytes
}

/// The size of the rings in a sealed file, if it is one that [`Map::create`] may have made.
fn ring_bytes(file: BorrowedFd<'_>) -> Result<usize, RingError> {
    let stat = rustix::fs::fstat(file).map_err(io::Error::from)?;
    let bytes = u64::try_from(stat.st_size).unwrap_or(0);
    let allocated_bytes = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
    let ring_bytes = bytes.saturating_sub(CONTROL_BYTES as u64) / 2;
    let is_plausible = (RING_BYTES_MIN as u64..=RING_BYTES_MAX as u64).contains(&ring_bytes)
        && ring_bytes.is_power_of_two()
        && bytes == file_bytes(ring_bytes as usize) as u64
        && allocated_bytes >= bytes;
    if is_plausible { Ok(ring_bytes as usize) } else { Err(RingError::BadSize { bytes, allocated_bytes }) }
}
