//! Host memory of others, pinned for as long as it is needed.

use std::ptr::NonNull;

use cudarc::driver::sys;

use crate::context::Context;
use crate::driver::{check, ignore};
use crate::error::GpuError;

/// Host memory that was made elsewhere, such as a segment of an object store, pinned so that devices copy from it at the
/// full speed of the bus. It is unpinned when this is dropped.
#[derive(Debug)]
pub struct Registration {
    base: NonNull<u8>,
    bytes: usize,
    context: Context,
}

// SAFETY: it never touches the memory, and the driver takes it on any thread.
unsafe impl Send for Registration {}
// SAFETY: as above.
unsafe impl Sync for Registration {}

impl Registration {
    /// Pins `bytes` from `base` on, for all devices.
    ///
    /// # Safety
    /// The memory must stay mapped until this is dropped.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if some of it is pinned, or the host lets no more memory be pinned.
    pub unsafe fn new(context: &Context, base: NonNull<u8>, bytes: usize) -> Result<Self, GpuError> {
        context.make_current()?;
        // SAFETY: mapped until this value is dropped, as the caller promises.
        let result =
            unsafe { sys::cuMemHostRegister_v2(base.as_ptr().cast(), bytes, sys::CU_MEMHOSTREGISTER_PORTABLE) };
        check("cuMemHostRegister", result)?;
        Ok(Self { base, bytes, context: context.clone() })
    }

    /// How many bytes are pinned.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: registered by `new`, still mapped, and unregistered once.
            ignore("cuMemHostUnregister", unsafe { sys::cuMemHostUnregister(self.base.as_ptr().cast()) });
        }
    }
}
