//! Frames and registered memory regions between peers.
//!
//! Control goes beside, bytes apart: small ordered *control frames*, and one-sided reads that the receiver drives from
//! a registered region of a peer straight into one of its own. The crate knows nothing of tasks or owners. See its
//! README for the wire format, the states and the budgets. [`ring`] joins two processes of one host by shared memory.

// The four crates that may: see `docs/src/architecture.md`. Each block says what it relies on.
#![allow(unsafe_code)]
// Under loom only the lock-free types are built, without what uses them.
#![cfg_attr(loom, allow(dead_code))]

#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod face;
#[cfg(not(loom))]
mod in_process;
mod initializer;
#[cfg(not(loom))]
mod limits;
#[cfg(not(loom))]
mod pull;
#[cfg(not(loom))]
pub mod rdma;
#[cfg(not(loom))]
mod region;
pub mod ring;
mod sync;
#[cfg(not(loom))]
pub mod tcp;

#[cfg(not(loom))]
pub use self::{
    error::{Refusal, TransportError},
    face::{Completion, Event, PeerId, Read, Transport, read_blocking},
    in_process::{InProcess, Network},
    limits::Limits,
    pull::{Ask, Broadcast, Class, ObjectKey, Progress, Pull, Puller, Source},
    region::{
        Access, Backing, CHUNK_BYTES, Extent, Landing, Memfd, Memory, Published, Regions, Registration, RemoteSpan,
        chunk_count,
    },
};
