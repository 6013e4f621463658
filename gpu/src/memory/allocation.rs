//! Pieces of device memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{self, CUdeviceptr};

use super::Lease;
use crate::driver::ignore;
use crate::stream::Stream;

/// A piece of device memory, given back behind all work of its stream when nobody has it any more.
#[derive(Debug)]
pub struct Allocation {
    address: CUdeviceptr,
    bytes: usize,
    origin: Origin,
    /// Orders all that is done with it.
    home: Mutex<Stream>,
    /// What it counts against; memory of other processes counts there.
    lease: Option<Lease>,
}

/// How it was had, and so is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a pool, in the order of a stream.
    Pool,
    /// By itself.
    Shareable,
    /// From another process.
    Imported,
}

/// Memory that nobody has any more.
#[derive(Debug)]
pub struct Dropped {
    address: CUdeviceptr,
    origin: Origin,
}

impl Allocation {
    /// Takes over memory that was just made, whose work is ordered by `home`.
    pub fn new(address: CUdeviceptr, bytes: usize, origin: Origin, home: Stream, lease: Option<Lease>) -> Self {
        Self { address, bytes, origin, home: Mutex::new(home), lease }
    }

    pub fn address(&self) -> CUdeviceptr {
        self.address
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The stream that orders all that is done with it.
    pub fn home(&self) -> MutexGuard<'_, Stream> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.home().give_back(Dropped { address: self.address, origin: self.origin });
        if let Some(lease) = &self.lease {
            lease.release(self.bytes as u64);
        }
    }
}

impl Dropped {
    /// Gives it back behind all work of `stream`, which orders all that was done with it.
    pub fn give_back(&self, stream: &Stream) {
        if stream.context().make_current().is_err() {
            return;
        }
        match self.origin {
            Origin::Pool => {
                // SAFETY: made by the driver and given back once, here; later work of the stream can't name it.
                ignore("cuMemFreeAsync", unsafe { sys::cuMemFreeAsync(self.address, stream.raw()) });
            }
            Origin::Shareable => {
                // SAFETY: as above; the call waits for the work that uses it.
                ignore("cuMemFree", unsafe { sys::cuMemFree_v2(self.address) });
            }
            Origin::Imported => {
                // Other than the two above, this one waits for nothing.
                // SAFETY: a stream that lives through the call.
                ignore("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(stream.raw()) });
                // SAFETY: opened once, and closed once, here, when no work uses it.
                ignore("cuIpcCloseMemHandle", unsafe { sys::cuIpcCloseMemHandle(self.address) });
            }
        }
    }
}
