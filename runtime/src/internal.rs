//! What the macros expand to. Not a public interface.

pub use crate::actor::{
    AsyncMutMethod, AsyncRefMethod, CheckpointOps, MutMethod, RefMethod, call_async_mut, call_async_ref, call_mut,
    call_ref, create, host, send_async_mut, send_async_ref, send_mut, send_ref,
};
pub use crate::arg::{Arg, ArgList, IntoArg, Slots, owned, shared};
pub use crate::data::Value;
pub use crate::options::Declared;
pub use crate::process::{published_memories, span_bytes_read};
pub use crate::refs::exported_refs;
pub use crate::registry::{ACTORS, ActorEntry, Answer, Entry, METHODS, MethodEntry, RunEncoded, TASKS};
pub use crate::stream::{Items, StreamTask, remote_stream};
pub use crate::task::{Instance, Invocation, Parts, remote, remote_async, remote_parts, run_encoded};
pub use linkme;
pub use rayline_exec::{BoxFuture, live_cells};
pub use serde;

use crate::error::Error;

/// The task `name` returned `error`.
pub fn failed(name: &'static str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::failed(name, 1, error)
}

/// Runs the program's `main` in a runtime that is shut down after it.
pub fn run_main<R>(main: impl FnOnce() -> R) -> R {
    let _runtime = crate::init().unwrap_or_else(|error| panic!("the runtime can't start: {error}"));
    main()
}
