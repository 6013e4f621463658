//! Leases of device memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::sys::{self, CUresult};

use super::allocation::{Allocation, Origin};
use super::{DeviceBuffer, Element, MemoryPool};
use crate::context::Context;
use crate::driver::check;
use crate::error::GpuError;
use crate::stream::Stream;

/// The right to hold so many bytes of a device: who would go over its limit gets an error that tells the numbers, and
/// takes nothing from others. Cloning it is cheap: all clones count together.
///
/// Bytes are counted as they are asked for. A buffer's count from when it is made until it is dropped.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: MemoryPool,
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

impl Lease {
    pub(super) fn new(pool: MemoryPool, limit_bytes: u64) -> Self {
        Self(Arc::new(Inner { pool, limit_bytes, used_bytes: AtomicU64::new(0) }))
    }

    /// Bytes that it may hold.
    pub fn limit_bytes(&self) -> u64 {
        self.0.limit_bytes
    }

    /// Bytes that it holds.
    pub fn used_bytes(&self) -> u64 {
        self.0.used_bytes.load(Ordering::Relaxed)
    }

    /// Of which device it is.
    pub fn context(&self) -> &Context {
        self.0.pool.context()
    }

    /// A buffer of `len` elements without a meaning, ordered by `stream`.
    ///
    /// # Errors
    /// [`GpuError::LeaseLimit`] over the limit; [`GpuError::OutOfMemory`] if the device has no more;
    /// [`GpuError::Range`] for none; [`GpuError::OtherDevice`] for a stream of another device;
    /// [`GpuError::Capturing`]; [`GpuError::Driver`].
    pub fn allocate<T: Element>(&self, stream: &Stream, len: usize) -> Result<DeviceBuffer<T>, GpuError> {
        self.make(stream, len, Origin::Pool, |bytes| {
            let mut address = 0;
            let (pool, stream) = (self.0.pool.raw(), stream.raw());
            // SAFETY: pool and stream are kept by values that live through the call; the driver writes one address.
            let result = unsafe { sys::cuMemAllocFromPoolAsync(&raw mut address, bytes, pool, stream) };
            (address, result)
        })
    }

    /// The same, but other processes and drivers can reach it: see [`DeviceBuffer::ipc_handle`] and
    /// [`DeviceBuffer::export_dmabuf`]. It is not of the pool; to make it and to drop it may wait for the device.
    ///
    /// # Errors
    /// As of [`Lease::allocate`].
    pub fn allocate_shareable<T: Element>(&self, stream: &Stream, len: usize) -> Result<DeviceBuffer<T>, GpuError> {
        self.make(stream, len, Origin::Shareable, |bytes| {
            let mut address = 0;
            // SAFETY: the context is current; the driver writes one address.
            let result = unsafe { sys::cuMemAlloc_v2(&raw mut address, bytes) };
            (address, result)
        })
    }

    /// A buffer with a copy of `values`.
    ///
    /// # Errors
    /// As of [`Lease::allocate`] and [`Stream::upload`].
    pub fn upload<T: Element>(&self, stream: &Stream, values: &[T]) -> Result<DeviceBuffer<T>, GpuError> {
        let mut buffer = self.allocate(stream, values.len())?;
        stream.upload(values, &mut buffer)?;
        Ok(buffer)
    }

    /// A buffer of `len` zeros.
    ///
    /// # Errors
    /// As of [`Lease::allocate`] and [`Stream::zero`].
    pub fn zeros<T: Element>(&self, stream: &Stream, len: usize) -> Result<DeviceBuffer<T>, GpuError> {
        let mut buffer = self.allocate(stream, len)?;
        stream.zero(&mut buffer)?;
        Ok(buffer)
    }

    /// Bytes are no longer held.
    pub(super) fn release(&self, bytes: u64) {
        let before = self.0.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "what is released was taken");
    }

    fn make<T: Element>(
        &self,
        stream: &Stream,
        len: usize,
        origin: Origin,
        allocate: impl FnOnce(usize) -> (u64, CUresult),
    ) -> Result<DeviceBuffer<T>, GpuError> {
        self.context().check_same(stream.context(), "the stream")?;
        let bytes = bytes_of::<T>(len)?;
        self.take(bytes as u64)?;
        let mut made = (0, CUresult::CUDA_SUCCESS);
        let outcome = stream.submit_once(|_| {
            made = allocate(bytes);
            check("cuMemAlloc", made.1)
        });
        if let Err(error) = outcome {
            self.release(bytes as u64);
            let is_full = made.1 == CUresult::CUDA_ERROR_OUT_OF_MEMORY;
            return Err(if is_full { self.out_of_memory(bytes, error) } else { error });
        }
        let allocation = Allocation::new(made.0, bytes, origin, stream.clone(), Some(self.clone()));
        Ok(DeviceBuffer::new(Arc::new(allocation), len))
    }

    fn take(&self, asked_bytes: u64) -> Result<(), GpuError> {
        let limit_bytes = self.0.limit_bytes;
        let add = |used: u64| used.checked_add(asked_bytes).filter(|sum| *sum <= limit_bytes);
        let taken = self.0.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        taken.map(drop).map_err(|used_bytes| GpuError::LeaseLimit { asked_bytes, used_bytes, limit_bytes })
    }

    /// With numbers, if the driver tells them.
    fn out_of_memory(&self, bytes: usize, error: GpuError) -> GpuError {
        let Ok([free_bytes, total_bytes]) = self.context().free_and_total_bytes() else { return error };
        let device = self.context().device().name().to_string();
        GpuError::OutOfMemory { device, asked_bytes: bytes as u64, free_bytes, total_bytes }
    }
}

/// Bytes of `len` elements, at least one.
pub(super) fn bytes_of<T: Element>(len: usize) -> Result<usize, GpuError> {
    let max = (isize::MAX as usize / size_of::<T>()) as u64;
    let range = || GpuError::Range { what: "the length of a buffer", found: len as u64, min: 1, max };
    len.checked_mul(size_of::<T>()).filter(|bytes| (1..=isize::MAX as usize).contains(bytes)).ok_or_else(range)
}
