//! Contexts.

use std::fmt;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUresult};

use crate::device::Device;
use crate::driver::{Handle, check, ignore};
use crate::error::GpuError;

/// A device in use by this process: its *primary* context, which all parts of a process share. Cloning it is cheap; the
/// driver frees the device when the last one and all that was made of it are gone.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    raw: Handle<sys::CUctx_st>,
    device: Device,
}

impl Context {
    /// Takes a device into use. The first time takes the driver a moment.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the driver refuses.
    pub fn new(device: &Device) -> Result<Self, GpuError> {
        let mut raw = ptr::null_mut();
        // SAFETY: a device of the driver, which writes one handle.
        check("cuDevicePrimaryCtxRetain", unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut raw, device.raw()) })?;
        Ok(Self(Arc::new(Inner { raw: Handle(raw), device: device.clone() })))
    }

    /// Of which device it is.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Free bytes and all bytes of the device's memory, as the driver counts them now.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the driver fails.
    pub fn free_and_total_bytes(&self) -> Result<[u64; 2], GpuError> {
        self.make_current()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: the driver writes two numbers.
        check("cuMemGetInfo", unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) })?;
        Ok([free as u64, total as u64])
    }

    /// Lets this device reach the memory of `peer`'s directly: copies go by NVLink or the PCI bus alone then. It goes one
    /// way; call it for the other, too.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the devices can't.
    pub fn enable_peer(&self, peer: &Self) -> Result<(), GpuError> {
        self.make_current()?;
        // SAFETY: a context that lives through the call; the access lasts as long as both contexts.
        let result = unsafe { sys::cuCtxEnablePeerAccess(peer.0.raw.0, 0) };
        match result {
            CUresult::CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED => Ok(()),
            result => check("cuCtxEnablePeerAccess", result),
        }
    }

    /// Waits for all work on the device.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if some of it failed.
    pub fn synchronize(&self) -> Result<(), GpuError> {
        self.make_current()?;
        // SAFETY: a context is current.
        check("cuCtxSynchronize", unsafe { sys::cuCtxSynchronize() })
    }

    /// Whether both are of one device.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.raw.0 == other.0.raw.0
    }

    pub(crate) fn raw(&self) -> sys::CUcontext {
        self.0.raw.0
    }

    /// Calls of the driver that name no context mean the one that is current on their thread.
    pub(crate) fn make_current(&self) -> Result<(), GpuError> {
        // SAFETY: a context that this value keeps.
        check("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(self.0.raw.0) })
    }

    /// Checks that something is of this device.
    pub(crate) fn check_same(&self, other: &Self, found: &'static str) -> Result<(), GpuError> {
        if self.is_same(other) {
            return Ok(());
        }
        Err(GpuError::OtherDevice { found, found_device: other.device().index(), device: self.device().index() })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.device().index()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: retained once by `new`; all that was made of it holds this value, and so is gone.
        ignore("cuDevicePrimaryCtxRelease", unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device.raw()) });
    }
}
