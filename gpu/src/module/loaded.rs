//! Loaded modules, and their kernels.

use std::ffi::CString;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys;

use crate::context::Context;
use crate::driver::{Handle, check, ignore};
use crate::error::GpuError;

/// A text of PTX that is loaded on a device, which has compiled it for itself.
#[derive(Debug)]
pub struct Module {
    raw: Handle<sys::CUmod_st>,
    context: Context,
}

/// A function of a [`Module`] that can be launched. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Kernel {
    raw: Handle<sys::CUfunc_st>,
    module: Arc<Module>,
}

impl Module {
    /// Loads PTX.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the device can't run it, with the driver's reason.
    pub fn load(context: &Context, ptx: &str) -> Result<Arc<Self>, GpuError> {
        context.make_current()?;
        let text = c_string(ptx)?;
        let mut raw = ptr::null_mut();
        // SAFETY: a string that ends with a zero and lives through the call; the driver writes one handle.
        check("cuModuleLoadData", unsafe { sys::cuModuleLoadData(&raw mut raw, text.as_ptr().cast()) })?;
        Ok(Arc::new(Self { raw: Handle(raw), context: context.clone() }))
    }

    /// The kernel of this name.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if there is none.
    pub fn kernel(self: &Arc<Self>, name: &str) -> Result<Kernel, GpuError> {
        self.context.make_current()?;
        let name = c_string(name)?;
        let mut raw = ptr::null_mut();
        // SAFETY: a module that this value keeps, a string that lives through the call; the driver writes one handle.
        check("cuModuleGetFunction", unsafe { sys::cuModuleGetFunction(&raw mut raw, self.raw.0, name.as_ptr()) })?;
        Ok(Kernel { raw: Handle(raw), module: self.clone() })
    }
}

impl Kernel {
    /// On which device it is loaded.
    pub fn context(&self) -> &Context {
        &self.module.context
    }

    pub(super) fn raw(&self) -> sys::CUfunction {
        self.raw.0
    }

    pub(super) fn module(&self) -> &Arc<Module> {
        &self.module
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.make_current().is_err() {
            return;
        }
        // A kernel of it may be in a queue still.
        // SAFETY: a context is current.
        ignore("cuCtxSynchronize", unsafe { sys::cuCtxSynchronize() });
        // SAFETY: this value's own; kernels and graphs that use it hold it, and no work does.
        ignore("cuModuleUnload", unsafe { sys::cuModuleUnload(self.raw.0) });
    }
}

fn c_string(text: &str) -> Result<CString, GpuError> {
    let bad = |error: std::ffi::NulError| GpuError::Local { what: "read a text".into(), reason: error.to_string() };
    CString::new(text).map_err(bad)
}
