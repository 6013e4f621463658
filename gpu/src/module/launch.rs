//! Launches.

use std::any::Any;
use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys;

use super::Kernel;
use crate::driver::check;
use crate::error::GpuError;
use crate::memory::{Allocation, DeviceBuffer, Element};
use crate::stream::Stream;

/// How many threads a launch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Blocks along each axis.
    pub blocks: [u32; 3],
    /// Threads of a block along each axis; 1,024 in all at most.
    pub threads: [u32; 3],
}

/// A launch in the making: a kernel and its arguments, in their order.
#[derive(Debug)]
pub struct Launch<'a> {
    stream: &'a Stream,
    kernel: &'a Kernel,
    /// Each in the lowest bytes: the driver takes as many as the kernel has declared.
    arguments: Vec<u64>,
    used: Vec<Arc<Allocation>>,
    outcome: Result<(), GpuError>,
}

impl Shape {
    /// One thread for each of `count`, in blocks of 256.
    ///
    /// # Errors
    /// [`GpuError::Range`] for none, or for more than a launch can have.
    pub fn linear(what: &'static str, count: u64) -> Result<Self, GpuError> {
        let max = u64::from(u32::MAX >> 1);
        if count == 0 || count > max {
            return Err(GpuError::Range { what, found: count, min: 1, max });
        }
        Ok(Self { blocks: [count.div_ceil(256) as u32, 1, 1], threads: [256, 1, 1] })
    }
}

impl<'a> Launch<'a> {
    /// A launch without arguments.
    pub fn new(stream: &'a Stream, kernel: &'a Kernel) -> Self {
        let outcome = stream.context().check_same(kernel.context(), "the kernel");
        Self { stream, kernel, arguments: vec![], used: vec![], outcome }
    }

    /// The next argument is a buffer that the kernel reads.
    pub fn buffer<T: Element>(mut self, buffer: &DeviceBuffer<T>) -> Self {
        self.outcome = self.outcome.and_then(|()| buffer.check_home(self.stream));
        self.arguments.push(buffer.allocation().address());
        self.used.push(buffer.allocation().clone());
        self
    }

    /// The next argument is a buffer that the kernel writes.
    pub fn buffer_mut<T: Element>(self, buffer: &mut DeviceBuffer<T>) -> Self {
        self.buffer(buffer)
    }

    /// The next argument is a number.
    pub fn value<T: Element>(mut self, value: T) -> Self {
        let mut bits = 0u64;
        // SAFETY: an element has at most as many bytes as `bits`, and no padding. The lowest come first on all machines
        // that CUDA knows.
        unsafe { (&raw mut bits).cast::<T>().write(value) };
        self.arguments.push(bits);
        self
    }

    /// Puts the launch into the stream.
    ///
    /// # Safety
    /// The kernel must take these arguments, of these types, and with this shape access nothing but the buffers among
    /// them, within their bounds, writing none that was passed to be read.
    ///
    /// # Errors
    /// [`GpuError::OtherStream`] for a buffer of another stream; [`GpuError::OtherDevice`]; [`GpuError::Driver`] if the
    /// device can't have such a shape. What fails while it runs is reported by whoever waits for the stream.
    pub unsafe fn run(mut self, shape: Shape) -> Result<(), GpuError> {
        self.outcome?;
        let mut pointers: Vec<*mut c_void> =
            self.arguments.iter_mut().map(|argument| std::ptr::from_mut(argument).cast()).collect();
        let module: Arc<dyn Any + Send + Sync> = self.kernel.module().clone();
        let used = self.used.into_iter().map(|allocation| allocation as Arc<dyn Any + Send + Sync>);
        let (Shape { blocks: [bx, by, bz], threads: [tx, ty, tz] }, kernel) = (shape, self.kernel.raw());
        self.stream.submit(used.chain([module]), |stream| {
            let (parameters, extra) = (pointers.as_mut_ptr(), std::ptr::null_mut());
            // SAFETY: the arguments are as the kernel declares them (the caller's promise), and are read during the call.
            // Buffers and kernel are kept with a graph, or given back behind this launch.
            let result = unsafe { sys::cuLaunchKernel(kernel, bx, by, bz, tx, ty, tz, 0, stream, parameters, extra) };
            check("cuLaunchKernel", result)
        })
    }
}
