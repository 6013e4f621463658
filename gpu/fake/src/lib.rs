//! A driver for GPUs that aren't there: a `libcuda` of our own, loaded as the real one is.
//!
//! Its devices live in the process. Their memory can't be touched by the host, their streams work later than they are
//! asked, and kernels are run from their PTX by an interpreter, which reports an access out of bounds with kernel, block,
//! thread and instruction. Memory goes to other processes, too. Timing means nothing: it is for tests that hold on
//! machines without a GPU. See [`Config`] for what the environment says of the devices.
//!
//! Not there: the default stream, graphs of several streams, textures, local memory and functions in PTX, and all of the
//! interface that `rayline-gpu` doesn't call.

// It is C's interface to memory: see `docs/src/architecture.md`. Each block says what it relies on.
#![allow(unsafe_code)]

mod api;
mod config;
mod driver;
mod event;
mod fault;
mod host;
mod memory;
mod ptx;
mod run;
mod stream;
mod table;
mod work;

pub use self::config::{Config, VARIABLE};
