//! Memory that can be registered.

use crate::error::TransportError;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

/// What a transport may do with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Peers may read what is published of it.
    Read,
    /// It is also a landing place: what is read from peers is written there.
    Land,
}

/// Where the bytes of a region are. A transport answers `Region` for a kind that it can't reach.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Backing {
    /// Mapped into this process.
    Host {
        /// The first byte.
        base: NonNull<u8>,
        /// How many there are.
        bytes: u64,
    },
    /// Memory of another device (a GPU) that its driver exports as a dmabuf. Cards reach it, this process doesn't.
    Dmabuf {
        /// The buffer's descriptor, which the [`Memory`] keeps open.
        fd: RawFd,
        /// Where the region begins in it, in bytes; a multiple of the page size.
        offset: u64,
        /// How many bytes there are.
        bytes: u64,
    },
}

impl Backing {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        match self {
            Self::Host { bytes, .. } | Self::Dmabuf { bytes, .. } => *bytes,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Memory that a transport may be given.
///
/// # Safety
/// As long as the value lives, the backing stays the same, mapped and readable, and writable where it is registered with
/// [`Access::Land`]. Whoever writes to it by other ways keeps off a published or landing [`Extent`](crate::Extent) until
/// that has been retired.
pub unsafe trait Memory: Send + Sync + 'static {
    /// Where its bytes are.
    fn backing(&self) -> Backing;
}

/// Shared memory without a name, mapped for reading and writing.
#[derive(Debug)]
pub struct Memfd {
    fd: OwnedFd,
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; `Memfd` itself never reads or writes through it.
unsafe impl Send for Memfd {}
// SAFETY: as for `Send`.
unsafe impl Sync for Memfd {}

// SAFETY: mapped by `new` for reading and writing, unmapped by `drop` only. Other ways to the bytes are `write`, which
// needs `&mut`, and the descriptor, whose user is told so.
unsafe impl Memory for Memfd {
    fn backing(&self) -> Backing {
        Backing::Host { base: self.base, bytes: self.bytes as u64 }
    }
}

impl Memfd {
    /// `bytes` zeroed bytes, reserved at once, so that a full machine is an error here rather than a signal later.
    ///
    /// # Errors
    /// `Local` where the system has no memory or no descriptor left, or `bytes` is 0.
    pub fn new(bytes: usize) -> Result<Self, TransportError> {
        let fd = create(bytes).map_err(|error| TransportError::local("make shared memory", error))?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses, of a descriptor that is `bytes` long.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                protection,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(TransportError::local("map shared memory", io::Error::last_os_error()));
        }
        let base = NonNull::new(base.cast()).expect("a successful mapping is not at address 0");
        Ok(Self { fd, base, bytes })
    }

    /// Its bytes, to fill it before it is registered.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: mapped for so many bytes; `&mut self` shows that it isn't registered yet.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.bytes) }
    }

    /// The descriptor. What another process writes through it counts as written by this one.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Memfd {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; who is left with a pointer into it broke the contract of `Memory`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

fn create(bytes: usize) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string without other conditions.
    let raw = unsafe { libc::memfd_create(c"rayline-region".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    let len = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    // SAFETY: a plain call on a descriptor of ours.
    match unsafe { libc::posix_fallocate(fd.as_raw_fd(), 0, len) } {
        0 => Ok(fd),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_no_bytes_or_of_too_many_is_an_error() {
        assert!(matches!(Memfd::new(0), Err(TransportError::Local { .. })));
        assert!(matches!(Memfd::new(usize::MAX), Err(TransportError::Local { .. })));
    }
}
