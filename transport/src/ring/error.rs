//! What can go wrong with a ring.

use super::cursor::Implausible;
use std::io;

/// Why a ring couldn't be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The operating system refused.
    #[error("shared memory of a ring: {0}")]
    Io(#[from] io::Error),
    /// The file could shrink under those who read it, or isn't shared memory at all.
    #[error("the file isn't sealed against a change of its size")]
    NotSealed,
    /// The file isn't as large as two rings and their control block, or not all of it has memory.
    #[error("{bytes} bytes, {allocated_bytes} of them allocated, are no pair of rings")]
    BadSize {
        /// The file's length in bytes.
        bytes: u64,
        /// How many of them have memory.
        allocated_bytes: u64,
    },
    /// The file wasn't made by [`Pair::create`](super::Pair::create), or by another version of it.
    #[error("the control block begins with {found:#018x}, and {expected:#018x} was expected")]
    BadHeader {
        /// What this version writes.
        expected: u64,
        /// What was there.
        found: u64,
    },
    /// Another process opened the pair before.
    #[error("the pair of rings is open already")]
    AlreadyOpen,
    /// The peer wrote what no honest peer writes. The ring is closed by that.
    #[error("the peer corrupted the ring: {word} is {value}")]
    Corrupt {
        /// Which word of shared memory.
        word: &'static str,
        /// What stood there.
        value: u64,
    },
}

/// Why a frame wasn't sent. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The receiver is behind. What was sent before is visible to it now, as by [`Sender::flush`](super::Sender::flush).
    #[error("the ring is full")]
    Full,
    /// The ring was full until the timeout.
    #[error("the ring was full until the timeout")]
    TimedOut,
    /// No ring of this size takes such a frame, however empty it is.
    #[error("a frame of {bytes} bytes, and the ring takes {bytes_max} at most")]
    TooLarge {
        /// The frame's length.
        bytes: usize,
        /// The longest there may be.
        bytes_max: usize,
    },
    /// One of the sides closed the ring.
    #[error("the ring is closed")]
    Closed,
    /// The peer wrote what no honest peer writes. The ring is closed by that.
    #[error("the peer corrupted the ring: {word} is {value}")]
    Corrupt {
        /// Which word of shared memory.
        word: &'static str,
        /// What stood there.
        value: u64,
    },
}

impl From<Implausible> for RingError {
    fn from(Implausible { word, value }: Implausible) -> Self {
        Self::Corrupt { word, value }
    }
}

impl From<Implausible> for SendError {
    fn from(Implausible { word, value }: Implausible) -> Self {
        Self::Corrupt { word, value }
    }
}
