//! The words by which the two ends of a ring agree.

use super::bell::Bell;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Lies on cache lines of its own: two, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// The control block of one ring, in shared memory. All zeros is an empty, open ring.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Control {
    /// Position up to which frames are published, in bytes since the beginning. The sender alone writes it.
    pub(crate) head: Padded<AtomicU64>,
    /// Position up to which frames were read and their space is free. The receiver alone writes it.
    pub(crate) tail: Padded<AtomicU64>,
    /// Rings when frames were published.
    pub(crate) news: Padded<Bell>,
    /// Rings when space was released.
    pub(crate) room: Padded<Bell>,
    closed: Padded<AtomicU32>,
}

impl Control {
    /// Nothing more will be sent or read: wakes everybody.
    pub(crate) fn close(&self) {
        self.closed.0.store(1, Ordering::SeqCst);
        self.news.0.ring_regardless();
        self.room.0.ring_regardless();
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.0.load(Ordering::Acquire) != 0
    }
}
