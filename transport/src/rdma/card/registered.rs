//! Memory that a card may touch.

use super::super::verbs::abi::*;
use super::error::{CardError, made};
use super::rail::Rail;
use crate::region::Backing;
use std::ffi::{c_int, c_uint};
use std::io;
use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes of a region that are registered with a rail's card. The end of this value deregisters them, which revokes its
/// key.
pub struct Registered {
    rail: Arc<Rail>,
    raw: NonNull<ibv_mr>,
}

// SAFETY: libibverbs lets any thread use and end a registration.
unsafe impl Send for Registered {}
// SAFETY: as for `Send`.
unsafe impl Sync for Registered {}

impl Registered {
    /// Pins the pages of `range`, in bytes from the start of the backing. Memory whose pages were never touched takes
    /// long: each is faulted in.
    ///
    /// # Errors
    /// What the card says: `ENOMEM` above the limit of locked memory, `EFAULT` for memory that can't be pinned.
    ///
    /// # Safety
    /// The backing stays as it is until the value ends. With `IBV_ACCESS_LOCAL_WRITE` it is writable, and who reads it
    /// keeps off what a request names until that is done.
    pub unsafe fn new(
        rail: &Arc<Rail>,
        backing: Backing,
        range: Range<u64>,
        access: c_uint,
    ) -> Result<Self, CardError> {
        let access = access.cast_signed();
        let len = usize::try_from(range.end - range.start).expect("a range of memory");
        let raw = match backing {
            Backing::Host { base, .. } => {
                let offset = usize::try_from(range.start).expect("a range of memory");
                // SAFETY: the caller keeps the memory mapped.
                let raw = unsafe {
                    let begin = base.as_ptr().add(offset);
                    (rail.verbs().reg_mr)(rail.domain(), begin.cast(), len, access)
                };
                made(raw, "ibv_reg_mr", rail.name())?
            }
            Backing::Dmabuf { fd, offset, .. } => Self::of_dmabuf(rail, (fd, offset + range.start), len, access)?,
        };
        Ok(Self { rail: rail.clone(), raw })
    }

    /// The card sees the memory of another device at the address that is its offset in the buffer.
    fn of_dmabuf(
        rail: &Arc<Rail>,
        (fd, offset): (RawFd, u64),
        len: usize,
        access: c_int,
    ) -> Result<NonNull<ibv_mr>, CardError> {
        const CALL: &str = "ibv_reg_dmabuf_mr";
        let Some(register) = rail.verbs().reg_dmabuf_mr else {
            let why = io::Error::new(io::ErrorKind::Unsupported, "this libibverbs has no dmabuf: rdma-core 34 has");
            return Err(CardError::new(CALL, rail.name(), why));
        };
        // SAFETY: the descriptor is open as long as the backing is there, which the caller sees to.
        made(unsafe { register(rail.domain(), offset, len, offset, fd, access) }, CALL, rail.name())
    }

    /// What local requests name it by.
    pub fn local_key(&self) -> u32 {
        // SAFETY: made by `new`, ended by `drop` only.
        unsafe { self.raw.as_ref().lkey }
    }

    /// What a peer names it by.
    pub fn remote_key(&self) -> u32 {
        // SAFETY: as above.
        unsafe { self.raw.as_ref().rkey }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and nobody else ends it.
        let code = unsafe { (self.rail.verbs().dereg_mr)(self.raw.as_ptr()) };
        if code != 0 {
            tracing::error!(card = self.rail.name(), code, "memory could not be deregistered: its key stays valid");
        }
    }
}
