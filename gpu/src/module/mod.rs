//! Kernels: where they come from, and how they are launched.

mod cache;
mod compiler;
mod launch;
mod loaded;
mod source;

pub use self::{
    cache::{Compile, ModuleCache},
    launch::{Launch, Shape},
    loaded::{Kernel, Module},
    source::KernelSource,
};
