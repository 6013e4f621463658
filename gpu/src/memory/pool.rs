//! Pools of device memory.

use std::fmt;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys;

use super::Lease;
use crate::context::Context;
use crate::driver::{Handle, check, ignore};
use crate::error::GpuError;

/// A pool of a device's memory, from which buffers are had in the order of streams: what one gives back the next gets, and
/// nobody waits for the device. It keeps what it had once until it is dropped. Cloning it is cheap.
#[derive(Clone)]
pub struct MemoryPool(Arc<Inner>);

struct Inner {
    raw: Handle<sys::CUmemPoolHandle_st>,
    context: Context,
}

impl MemoryPool {
    /// A pool that grows up to the device's memory.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the driver refuses.
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        Self::create(context, 0)
    }

    /// A pool of at most `bytes_max`, which the driver itself holds to; it may round it up.
    ///
    /// # Errors
    /// [`GpuError::Range`] for none; [`GpuError::Driver`].
    pub fn with_bytes_max(context: &Context, bytes_max: u64) -> Result<Self, GpuError> {
        let max = context.device().memory_bytes();
        if bytes_max == 0 || bytes_max > max {
            return Err(GpuError::Range { what: "the size of the pool", found: bytes_max, min: 1, max });
        }
        Self::create(context, bytes_max)
    }

    /// Of which device it is.
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// The right to hold up to `limit_bytes` of the pool.
    pub fn lease(&self, limit_bytes: u64) -> Lease {
        Lease::new(self.clone(), limit_bytes)
    }

    /// Bytes that buffers have now, as the driver counts them.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if it fails.
    pub fn used_bytes(&self) -> Result<u64, GpuError> {
        let attribute = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_CURRENT;
        let mut used = 0u64;
        // SAFETY: a pool that this value keeps; the attribute is one number of 64 bits.
        let result = unsafe { sys::cuMemPoolGetAttribute(self.raw(), attribute, (&raw mut used).cast()) };
        check("cuMemPoolGetAttribute", result)?;
        Ok(used)
    }

    pub(crate) fn raw(&self) -> sys::CUmemoryPool {
        self.0.raw.0
    }

    fn create(context: &Context, bytes_max: u64) -> Result<Self, GpuError> {
        context.make_current()?;
        let location = sys::CUmemLocation_st {
            type_: sys::CUmemLocationType_enum::CU_MEM_LOCATION_TYPE_DEVICE,
            id: context.device().raw(),
        };
        let properties = sys::CUmemPoolProps_st {
            allocType: sys::CUmemAllocationType_enum::CU_MEM_ALLOCATION_TYPE_PINNED,
            handleTypes: sys::CUmemAllocationHandleType_enum::CU_MEM_HANDLE_TYPE_NONE,
            location,
            win32SecurityAttributes: ptr::null_mut(),
            maxSize: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            usage: 0,
            reserved: [0; 54],
        };
        let mut raw = ptr::null_mut();
        // SAFETY: the properties live through the call; the driver writes one handle.
        check("cuMemPoolCreate", unsafe { sys::cuMemPoolCreate(&raw mut raw, &raw const properties) })?;
        let pool = Self(Arc::new(Inner { raw: Handle(raw), context: context.clone() }));
        pool.keep_everything()?;
        Ok(pool)
    }

    /// Else each wait for a stream would give back to the device what is not used then.
    fn keep_everything(&self) -> Result<(), GpuError> {
        let attribute = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        let mut threshold = u64::MAX;
        // SAFETY: a pool that this value keeps; the attribute is one number of 64 bits.
        let result = unsafe { sys::cuMemPoolSetAttribute(self.raw(), attribute, (&raw mut threshold).cast()) };
        check("cuMemPoolSetAttribute", result)
    }
}

impl fmt::Debug for MemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryPool").field(&self.0.context).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: this value's own; the driver ends it when the last buffer of it was given back.
        ignore("cuMemPoolDestroy", unsafe { sys::cuMemPoolDestroy(self.raw.0) });
    }
}
