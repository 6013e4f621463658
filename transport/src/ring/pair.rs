//! A pair of rings, made by one process and opened by another.

use super::closer::Closer;
use super::error::RingError;
use super::link::Link;
use super::map::Map;
use super::receiver::Receiver;
use super::sender::Sender;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Two rings in one piece of shared memory, one in each direction, as one of the two processes holds them. Sender and
/// receiver may go to different threads.
#[derive(Debug)]
pub struct Pair {
    /// Sends on the ring whose receiver the peer has.
    pub sender: Sender,
    /// Receives from the ring whose sender the peer has.
    pub receiver: Receiver,
    /// Closes both.
    pub closer: Closer,
}

impl Pair {
    /// Makes two rings of `bytes_each`, rounded up to a power of two and to
    /// [`RING_BYTES_MIN`](super::RING_BYTES_MIN), and the file by which one other process opens them.
    ///
    /// # Errors
    /// `InvalidInput` where `bytes_each` is over [`RING_BYTES_MAX`](super::RING_BYTES_MAX); else what the operating
    /// system says: no memory, no more files.
    pub fn create(bytes_each: usize) -> io::Result<(Self, OwnedFd)> {
        let (map, file) = Map::create(bytes_each)?;
        Ok((Self::new(map, 0), file))
    }

    /// Opens two rings that another process made. Once only, for a ring has two ends.
    ///
    /// # Errors
    /// [`RingError`], any but `Corrupt`: by what is wrong with the file.
    pub fn open(file: OwnedFd) -> Result<Self, RingError> {
        Ok(Self::new(Map::open(file.as_fd())?, 1))
    }

    /// Sends on ring `out`, and receives from the other.
    fn new(map: Map, out: usize) -> Self {
        let link = Arc::new(Link::new(map));
        Self {
            sender: Sender::new(link.clone(), out),
            receiver: Receiver::new(link.clone(), 1 - out),
            closer: Closer::new(link),
        }
    }
}
