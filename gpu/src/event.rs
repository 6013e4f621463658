//! Events.

use std::ptr;
use std::time::Duration;

use cudarc::driver::sys::{self, CUresult};

use crate::context::Context;
use crate::driver::{Handle, check, ignore};
use crate::error::GpuError;

/// A point in a stream: set by [`Stream::record`](crate::Stream::record), waited for by the host or by other streams.
#[derive(Debug)]
pub struct Event {
    raw: Handle<sys::CUevent_st>,
    context: Context,
}

impl Event {
    /// An event that is not recorded: nobody waits for it.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the driver refuses.
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        context.make_current()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the driver writes one handle.
        check("cuEventCreate", unsafe { sys::cuEventCreate(&raw mut raw, 0) })?;
        Ok(Self { raw: Handle(raw), context: context.clone() })
    }

    /// Whether all work before its last recording is done.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the device has failed.
    pub fn is_reached(&self) -> Result<bool, GpuError> {
        // SAFETY: an event that this value keeps.
        let result = unsafe { sys::cuEventQuery(self.raw.0) };
        match result {
            CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            result => check("cuEventQuery", result).map(|()| true),
        }
    }

    /// Waits until all work before its last recording is done.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the device has failed.
    pub fn synchronize(&self) -> Result<(), GpuError> {
        // SAFETY: an event that this value keeps.
        check("cuEventSynchronize", unsafe { sys::cuEventSynchronize(self.raw.0) })
    }

    /// The time between this one and a later one, both of which must have been reached.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if they haven't, or were never recorded.
    pub fn elapsed_until(&self, later: &Self) -> Result<Duration, GpuError> {
        let mut milliseconds = 0.0f32;
        // SAFETY: events that these values keep; the driver writes one number.
        let result = unsafe { sys::cuEventElapsedTime_v2(&raw mut milliseconds, self.raw.0, later.raw.0) };
        check("cuEventElapsedTime", result)?;
        Ok(Duration::try_from_secs_f32(milliseconds / 1e3).unwrap_or_default())
    }

    pub(crate) fn raw(&self) -> sys::CUevent {
        self.raw.0
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: this value's own; the driver keeps what is waited for until it was reached.
        ignore("cuEventDestroy", unsafe { sys::cuEventDestroy_v2(self.raw.0) });
    }
}
