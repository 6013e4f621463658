//! Rayline: a GPU-aware, high-performance runtime for reinforcement-learning training.
//!
//! A program is tasks (functions), actors (state with methods) and objects (their values), run over the CPUs and GPUs
//! of one process or a cluster. Without an address the whole runtime is embedded in the process that calls [`init`]:
//! no daemon, no configuration.
//!
//! ```
//! use rayline::prelude::*;
//!
//! /// A task stays a function: `square(3)` calls it, `square::remote(3)` submits it.
//! #[task]
//! fn square(x: i64) -> i64 {
//!     x * x
//! }
//!
//! #[task]
//! fn add(a: i64, b: &i64) -> i64 {
//!     a + b
//! }
//!
//! #[rayline::main]
//! fn main() -> rayline::Result<()> {
//!     let nine = square::remote(3);
//!     let sum = add::remote(&nine, square::remote(4)); // a reference before it is a value
//!     assert_eq!(sum.get()?, 25);
//!     Ok(())
//! }
//! ```
//!
//! Source: Moritz et al., "Ray: A Distributed Framework for Emerging AI Applications", OSDI'18.

mod actor;
mod arg;
mod config;
mod context;
mod control;
mod data;
mod elsewhere;
mod error;
mod group;
mod io;
mod object;
mod options;
mod process;
mod refs;
mod registry;
mod runtime;
mod session;
mod stream;
mod task;
mod wait;

/// What the command `rayline` is made of. No part of the public interface.
#[doc(hidden)]
pub mod cluster;
#[doc(hidden)]
pub mod internal;

pub use self::{
    actor::{Actor, ActorRef, Checkpoint, Create, Named},
    arg::IntoArg,
    config::Config,
    context::{Context, GpuShare, context},
    data::Data,
    error::{Error, ErrorKind, Result},
    group::{Bundle, BundleRef, PlacementGroup},
    object::{ObjectRef, Shared, put},
    runtime::{Runtime, block_on, init, init_with, is_running, shutdown},
    stream::{ObjectStream, StreamCall},
    task::{Call, Task},
    wait::{Completions, as_completed, get_all, wait},
};
pub use rayline_core::controller::Strategy;
pub use rayline_exec::blocking;
pub use rayline_macros::{Actor, instantiate, main, methods, task};
pub use rayline_store::shm::Usage as ObjectStoreUsage;
pub use rayline_store::{Buf, Tensor};

/// What most programs want: `use rayline::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Actor, Bundle, Checkpoint, Context, Data, Error, IntoArg, ObjectRef, ObjectStream, PlacementGroup, Strategy,
        Tensor, as_completed, context, get_all, methods, put, task, wait,
    };
}

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The programs of the README and of the book's first chapters, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/src/getting-started.md")]
#[doc = include_str!("../../docs/src/concepts.md")]
struct Book;
