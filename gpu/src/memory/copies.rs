//! Copies between host and device, and within a device.

use cudarc::driver::sys;

use super::buffer::check_len;
use super::{DeviceBuffer, Element, Pending, PinnedBuffer};
use crate::driver::check;
use crate::error::GpuError;
use crate::event::Event;
use crate::stream::Stream;

/// All arrays of a copy have one length, and buffers are of the stream: else [`GpuError::Length`] and
/// [`GpuError::OtherStream`].
impl Stream {
    /// Copies `from` to a buffer, and waits for it. [`Stream::upload_pinned`] doesn't.
    ///
    /// # Errors
    /// Those of all copies; [`GpuError::Capturing`]; [`GpuError::Driver`].
    pub fn upload<T: Element>(&self, from: &[T], to: &mut DeviceBuffer<T>) -> Result<(), GpuError> {
        self.check_copy(to, "the host's array", from.len())?;
        let (address, bytes) = (to.allocation().address(), to.bytes());
        self.submit_once(|stream| {
            // SAFETY: the array has as many bytes as the buffer (checked), and is there until the copy is done: the stream
            // is waited for, because a part of pinned memory may lie in it, from which the driver copies later.
            let result = unsafe { sys::cuMemcpyHtoDAsync_v2(address, from.as_ptr().cast(), bytes, stream) };
            check("cuMemcpyHtoDAsync", result)?;
            wait_for(stream)
        })
    }

    /// Copies a buffer to `to`, and waits for it.
    ///
    /// # Errors
    /// As of [`Stream::upload`].
    pub fn download<T: Element>(&self, from: &DeviceBuffer<T>, to: &mut [T]) -> Result<(), GpuError> {
        self.check_copy(from, "the host's array", to.len())?;
        let (address, bytes) = (from.allocation().address(), from.bytes());
        self.submit_once(|stream| {
            // SAFETY: the array has as many bytes as the buffer (checked), all bits are values of its type, and nobody looks
            // at it until the copy is done: the stream is waited for, or has failed and does no more work.
            let result = unsafe { sys::cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), address, bytes, stream) };
            check("cuMemcpyDtoHAsync", result)?;
            wait_for(stream)
        })
    }

    /// A copy of a buffer, for which it waits.
    ///
    /// # Errors
    /// As of [`Stream::download`].
    pub fn to_vec<T: Element>(&self, from: &DeviceBuffer<T>) -> Result<Vec<T>, GpuError> {
        let mut values = vec![T::default(); from.len()];
        self.download(from, &mut values)?;
        Ok(values)
    }

    /// Begins to copy pinned memory to a buffer, and gives it back when that is done.
    ///
    /// # Errors
    /// As of [`Stream::upload`]; then `from` goes back to its pool.
    pub fn upload_pinned<T: Element>(
        &self,
        from: PinnedBuffer<T>,
        to: &mut DeviceBuffer<T>,
    ) -> Result<Pending<PinnedBuffer<T>>, GpuError> {
        self.check_copy(to, "the pinned array", from.len())?;
        let (address, bytes) = (to.allocation().address(), to.bytes());
        Pending::begin(self, from, |from, stream| {
            // SAFETY: the array has as many bytes as the buffer (checked), and is kept until the copy is done.
            let result = unsafe { sys::cuMemcpyHtoDAsync_v2(address, from.as_ptr().cast(), bytes, stream) };
            check("cuMemcpyHtoDAsync", result)
        })
    }

    /// Begins to copy a buffer to pinned memory, and gives that back when it is done.
    ///
    /// # Errors
    /// As of [`Stream::download`]; then `to` goes back to its pool.
    pub fn download_pinned<T: Element>(
        &self,
        from: &DeviceBuffer<T>,
        to: PinnedBuffer<T>,
    ) -> Result<Pending<PinnedBuffer<T>>, GpuError> {
        self.check_copy(from, "the pinned array", to.len())?;
        let (address, bytes) = (from.allocation().address(), from.bytes());
        Pending::begin(self, to, |to, stream| {
            // SAFETY: the array has as many bytes as the buffer (checked), and is kept until the copy is done.
            let result = unsafe { sys::cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), address, bytes, stream) };
            check("cuMemcpyDtoHAsync", result)
        })
    }

    /// Copies a buffer to another of the device, later.
    ///
    /// # Errors
    /// Those of all copies; [`GpuError::Driver`].
    pub fn copy<T: Element>(&self, from: &DeviceBuffer<T>, to: &mut DeviceBuffer<T>) -> Result<(), GpuError> {
        self.check_copy(to, "the buffer to copy from", from.len())?;
        from.check_home(self)?;
        let (source, destination) = (from.allocation().clone(), to.allocation().clone());
        let addresses = (source.address(), destination.address());
        self.submit([source as _, destination as _], |stream| {
            // SAFETY: both have as many bytes (checked), and are kept or given back behind this.
            let result = unsafe { sys::cuMemcpyDtoDAsync_v2(addresses.1, addresses.0, from.bytes(), stream) };
            check("cuMemcpyDtoDAsync", result)
        })
    }

    /// Copies a buffer of another stream, and maybe of another device, later: after what is in that stream now, and before
    /// what comes into it from now on. Between devices it goes directly where
    /// [`Context::enable_peer`](crate::Context::enable_peer) could be called, else by way of the host.
    ///
    /// # Errors
    /// [`GpuError::Length`]; [`GpuError::OtherStream`] if `to` isn't of this stream; [`GpuError::Capturing`] if either
    /// stream is captured; [`GpuError::Driver`].
    pub fn copy_across<T: Element>(&self, from: &DeviceBuffer<T>, to: &mut DeviceBuffer<T>) -> Result<(), GpuError> {
        self.check_copy(to, "the buffer to copy from", from.len())?;
        let (home, event) = (from.home(), Event::new(self.context())?);
        home.order_before(self)?;
        let [source, destination] = [from, &*to].map(|buffer| buffer.allocation().address());
        let [theirs, own] = [home.context().raw(), self.context().raw()];
        self.submit_once(|stream| {
            // SAFETY: both have as many bytes (checked). The source is neither written nor given back before this is done:
            // its stream, or this thread, waits for it below. The destination is ordered by this stream.
            let result = unsafe { sys::cuMemcpyPeerAsync(destination, own, source, theirs, from.bytes(), stream) };
            check("cuMemcpyPeerAsync", result)?;
            // SAFETY: both are kept by values that live through the call.
            check("cuEventRecord", unsafe { sys::cuEventRecord(event.raw(), stream) })
        })?;
        home.wait(&event).or_else(|_| event.synchronize())
    }

    /// Sets all of a buffer to zero, later.
    ///
    /// # Errors
    /// Those of all copies; [`GpuError::Driver`].
    pub fn zero<T: Element>(&self, buffer: &mut DeviceBuffer<T>) -> Result<(), GpuError> {
        buffer.check_home(self)?;
        let allocation = buffer.allocation().clone();
        let address = allocation.address();
        self.submit([allocation as _], |stream| {
            // SAFETY: the buffer has as many bytes, and is kept or given back behind this.
            let result = unsafe { sys::cuMemsetD8Async(address, 0, buffer.bytes(), stream) };
            check("cuMemsetD8Async", result)
        })
    }

    fn check_copy<T: Element>(&self, buffer: &DeviceBuffer<T>, what: &'static str, len: usize) -> Result<(), GpuError> {
        buffer.check_home(self)?;
        check_len(what, buffer.len(), len)
    }
}

fn wait_for(stream: sys::CUstream) -> Result<(), GpuError> {
    // SAFETY: called with a stream that is there through the call, and that isn't captured.
    check("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(stream) })
}
