//! Results and handles of the driver.

use std::ffi::CStr;
use std::ptr;

use cudarc::driver::sys::{self, CUresult};

use crate::error::GpuError;

/// Turns what a function of the driver answered into a result.
pub fn check(call: &'static str, result: CUresult) -> Result<(), GpuError> {
    match result {
        CUresult::CUDA_SUCCESS => Ok(()),
        result => {
            Err(GpuError::Driver { call, code: result as u32, name: format!("{result:?}"), reason: reason(result) })
        }
    }
}

/// For ends, where nobody can do anything about a failure: it is logged, unless the driver is ending with the process.
pub fn ignore(call: &'static str, result: CUresult) {
    if result != CUresult::CUDA_ERROR_DEINITIALIZED
        && let Err(error) = check(call, result)
    {
        tracing::warn!(%error, "a device's resource was not given back");
    }
}

/// A handle of the driver, which gives its meaning to whoever owns it.
#[derive(Debug, PartialEq, Eq)]
pub struct Handle<T>(pub *mut T);

// SAFETY: handles of the driver may be used on any thread; the driver locks what it has to.
unsafe impl<T> Send for Handle<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Handle<T> {}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

fn reason(result: CUresult) -> String {
    let mut text = ptr::null();
    // SAFETY: the driver is loaded, since it gave a result; it writes one pointer.
    let found = unsafe { sys::cuGetErrorString(result, &raw mut text) };
    if found != CUresult::CUDA_SUCCESS || text.is_null() {
        return "no description".into();
    }
    // SAFETY: a string that ends with a zero, and is valid at least until this thread's next call.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
