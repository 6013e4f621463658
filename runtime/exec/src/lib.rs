//! The executor of Rayline: a work-stealing pool, cells that hold a job and then its outcome, and mailboxes of actors.
//!
//! It knows nothing of ids, encodings or machines: what it runs is local to the process. A job is one allocation (its
//! cell) on a deque; the cell holds the job until it runs and its outcome afterwards, and a [`Handle`] points at it.
//! See the crate's README for the states and the counters.

// The four crates that may: see `docs/src/architecture.md`. Each block says what it relies on.
#![allow(unsafe_code)]
// Under loom only the lock-free types are built, without what uses them.
#![cfg_attr(loom, allow(dead_code))]

mod claim;
mod deque;
mod gate;
mod outbox;
mod ring;
mod state;
mod sync;
mod waiter;

#[cfg(not(loom))]
mod args;
#[cfg(not(loom))]
mod caller;
#[cfg(not(loom))]
mod cell;
#[cfg(not(loom))]
mod completion;
#[cfg(not(loom))]
mod current;
#[cfg(not(loom))]
mod ending;
#[cfg(not(loom))]
mod future;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod hub;
#[cfg(not(loom))]
mod inbox;
#[cfg(not(loom))]
mod lane;
#[cfg(not(loom))]
mod mailbox;
#[cfg(not(loom))]
mod message;
#[cfg(not(loom))]
mod method;
#[cfg(not(loom))]
mod outcome;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
mod promise;
#[cfg(not(loom))]
mod published;
#[cfg(not(loom))]
mod task;
mod turn;
#[cfg(not(loom))]
mod wait;
#[cfg(not(loom))]
mod waits;
#[cfg(not(loom))]
mod worker;

#[cfg(not(loom))]
pub use self::{
    args::{Args, Awaited, Ready, Slot},
    caller::{current as current_id, fresh as fresh_id},
    cell::live_cells,
    completion::CompletionQueue,
    current::Current,
    future::{fulfil, spawn},
    handle::{Cancelled, Handle},
    mailbox::{ActorHooks, Mailbox},
    method::{AsyncMethod, BoxFuture, ByMut, ByRef, Method, Receiver},
    outcome::{Fault, Outcome},
    pool::{Pool, PoolOptions},
    promise::{CancelWatch, Named, Promise, done, promise},
    published::Published,
    task::Function,
    wait::{Done, Look, blocking, look_outside, wait_some},
    waits::Exhausted,
};

#[cfg(all(test, loom))]
mod loom_models;
