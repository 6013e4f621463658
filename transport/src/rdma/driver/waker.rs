//! Wakes the driver while it waits for its cards.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A descriptor that becomes readable. Who wakes somebody who is awake makes no system call.
#[derive(Clone)]
pub struct Waker {
    inner: Arc<Inner>,
}

struct Inner {
    descriptor: OwnedFd,
    is_asleep: AtomicBool,
}

impl Waker {
    pub fn new() -> io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { inner: Arc::new(Inner { descriptor, is_asleep: AtomicBool::new(false) }) })
    }

    /// Wakes the driver, if it sleeps or is about to.
    pub fn wake(&self) {
        if self.inner.is_asleep.swap(false, Ordering::SeqCst) {
            // A counter that is full is readable all the same.
            let _ = rustix::io::write(&self.inner.descriptor, &1_u64.to_ne_bytes());
        }
    }

    /// The driver is about to sleep: it looks at what it waits for once more after this.
    pub fn doze(&self) {
        self.inner.is_asleep.store(true, Ordering::SeqCst);
    }

    /// The driver is awake.
    pub fn rise(&self) {
        self.inner.is_asleep.store(false, Ordering::SeqCst);
        // Nothing to read where it was something else that woke it.
        let _ = rustix::io::read(&self.inner.descriptor, &mut [0; 8]);
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.inner.descriptor.as_fd()
    }
}
