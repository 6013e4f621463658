//! Loom models of every lock-free type: all interleavings of two or three threads, up to a bound on preemptions.
//!
//! Loom treats a `SeqCst` access as `AcqRel`, and models `SeqCst` fences; where a type's argument rests on `SeqCst`
//! accesses alone, the type has a fence as well, and the model checks that. Loom runs each thread's accesses in their
//! order, so it can't show that a load must not be delayed beyond a later store: that a queue's producer reads `front`
//! with `Acquire` before it writes over a slot is by argument alone.
//!
//! Run: `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p rayline-exec --lib --release`.

// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

mod cell;
mod gate;
mod queues;
mod turn;
