//! Two processes on one host, joined by two rings of bytes in one piece of shared memory.
//!
//! Each ring has one sender and one receiver. A *frame* is a run of bytes of any content, at most
//! [`Sender::frame_bytes_max`] long; frames arrive whole and in order. The one process [creates](Pair::create) the memory, and
//! gives its file to the other, which [opens](Pair::open) it: [`inherit`] hands it to a process that is being spawned,
//! [`send_fd`] to one that runs.
//!
//! ```
//! use rayline_transport::ring::{Pair, Wait};
//! use std::time::Duration;
//!
//! let (mut parent, file) = Pair::create(1 << 20)?;
//! let mut child = Pair::open(file)?; // in another process, in truth
//! parent.sender.try_send(&[b"header", b"body"])?;
//! parent.sender.flush();
//! assert_eq!(child.receiver.wait(Duration::from_micros(20), None), Wait::Ready);
//! child.receiver.recv_batch(|frame| assert_eq!(frame, b"headerbody"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Trust**: the peer may write anything into the shared memory at any time. Whatever is read from it is copied out
//! first and validated then, so a hostile peer can send nonsense frames, fail this side with [`RingError::Corrupt`],
//! keep it waiting until its timeout, or wake it for nothing; no more. That a peer died is noticed elsewhere (by a
//! pidfd or a socket); whoever notices calls [`Closer::close`].
//!
//! The layout, the protocol and its races are in `README.md` beside this file.

mod attendance;
mod bell;
mod control;
mod cursor;
mod futex;

#[cfg(not(loom))]
mod closer;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod link;
#[cfg(not(loom))]
mod map;
#[cfg(not(loom))]
mod pair;
#[cfg(not(loom))]
mod pass;
#[cfg(not(loom))]
mod receiver;
#[cfg(not(loom))]
mod sender;
#[cfg(not(loom))]
mod sleeper;
#[cfg(not(loom))]
pub(crate) mod spin;

#[cfg(all(test, loom))]
mod loom_models;

#[cfg(not(loom))]
pub use {
    closer::Closer,
    error::{RingError, SendError},
    map::{RING_BYTES_MAX, RING_BYTES_MIN},
    pair::Pair,
    pass::{inherit, inherited, recv_fd, send_fd},
    receiver::Receiver,
    sender::Sender,
    sleeper::{Sleeper, Wait},
};
