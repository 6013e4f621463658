//! Devices, their memory, streams and kernels. CUDA is loaded at run time: one binary runs with and without.
//!
//! Begin with [`Gpu::discover`], which says why there is no GPU where there is none. A [`Context`] takes a device into
//! use, a [`Stream`] orders its work, a [`MemoryPool`] gives [`Lease`]s of its memory, and those give
//! [`DeviceBuffer`]s; [`kernels`] has what is computed. The crate knows nothing of tasks or of who may use which device.
//!
//! The public interface is safe but for what reaches beyond this process and its types: [`Launch::run`] for kernels of
//! one's own, [`IpcHandle::open`] and [`Registration::new`].

// It is C's interface to devices: see `docs/src/architecture.md`. Each block says what it relies on.
#![allow(unsafe_code)]

mod context;
mod device;
mod driver;
mod error;
mod event;
mod gpu;
mod graph;
pub mod kernels;
mod memory;
mod module;
mod monitor;
mod stream;

pub use self::{
    context::Context,
    device::{Device, Uuid},
    error::{GpuError, NoGpu},
    event::Event,
    gpu::Gpu,
    graph::Graph,
    memory::{DeviceBuffer, Element, IpcHandle, Lease, MemoryPool, Pending, PinnedBuffer, PinnedPool, Registration},
    module::{Compile, Kernel, KernelSource, Launch, Module, ModuleCache, Shape},
    monitor::{Monitor, MonitorError, Neighbour, Process, Usage},
    stream::Stream,
};
