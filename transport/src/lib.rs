//! Frames and registered memory regions between peers.
//!
//! Control goes beside, bytes apart: small ordered *control frames*, and one-sided reads that the receiver drives from
//! a registered region of a peer straight into one of its own. The crate knows nothing of tasks or owners. See its
//! README for the wire format, the states and the budgets.

// The four crates that may: see `docs/architecture.md`. Each block says what it relies on.
#![allow(unsafe_code)]

mod error;
mod face;
mod in_process;
mod limits;
mod pull;
mod region;
pub mod tcp;

pub use self::{
    error::{Refusal, TransportError},
    face::{Completion, Event, PeerId, Read, Transport, read_blocking},
    in_process::{InProcess, Network},
    limits::Limits,
    pull::{Ask, Broadcast, Class, ObjectKey, Progress, Pull, Puller, Source},
    region::{Access, Backing, CHUNK_BYTES, Extent, Memfd, Memory, Regions, Registration, RemoteSpan, chunk_count},
};
