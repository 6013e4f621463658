//! What a thread outside the pool has submitted: it pushes at the back, workers take whole runs from the front.
//!
//! As the producer never takes anything back, a run of any length is claimed with one exchange, which a deque whose
//! owner pops can't allow.

use crate::ring::Rings;
use crate::sync::{AtomicBool, AtomicIsize, Ordering, fence};
use crossbeam_utils::CachePadded;
use std::ptr::NonNull;

/// A queue of pointers with one producer and many consumers, first in, first out.
pub(crate) struct Outbox<T> {
    front: CachePadded<AtomicIsize>,
    back: CachePadded<AtomicIsize>,
    rings: Rings<T>,
    orphaned: AtomicBool,
}

// SAFETY: the queue hands each pointer to exactly one taker, and never looks through it.
unsafe impl<T> Send for Outbox<T> {}
// SAFETY: as above; `push` is `unsafe`, and only the producer's thread may call it.
unsafe impl<T> Sync for Outbox<T> {}

impl<T> Outbox<T> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            front: CachePadded::new(AtomicIsize::new(0)),
            back: CachePadded::new(AtomicIsize::new(0)),
            rings: Rings::with_capacity(capacity),
            orphaned: AtomicBool::new(false),
        }
    }

    /// Adds an item at the back.
    ///
    /// # Safety
    /// Only the producer's thread calls this.
    #[inline]
    pub(crate) unsafe fn push(&self, item: NonNull<T>) {
        let back = self.back.load(Ordering::Relaxed);
        let front = self.front.load(Ordering::Acquire);
        let mut ring = self.rings.current();
        if back - front >= ring.capacity() {
            ring = self.rings.grow(front, back);
        }
        ring.set(back, item.as_ptr());
        self.back.store(back + 1, Ordering::Release);
    }

    /// Moves up to half of the items (rounded up, at most `N`) to `into`; returns how many, `None` where a rival was
    /// faster.
    pub(crate) fn steal<const N: usize>(&self, into: &mut [*mut T; N]) -> Option<usize> {
        let front = self.front.load(Ordering::Acquire);
        fence(Ordering::SeqCst);
        let available = self.back.load(Ordering::Acquire) - front;
        if available <= 0 {
            return Some(0);
        }
        let run = ((available + 1) / 2).min(N as isize);
        let ring = self.rings.current();
        for offset in 0..run {
            into[offset as usize] = ring.get(front + offset);
        }
        let won = self.front.compare_exchange(front, front + run, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        won.then_some(run as usize)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.front.load(Ordering::Acquire) >= self.back.load(Ordering::Acquire)
    }

    /// The producer's thread ended: nothing will be pushed any more.
    pub(crate) fn orphan(&self) {
        self.orphaned.store(true, Ordering::Release);
    }

    pub(crate) fn is_orphaned(&self) -> bool {
        self.orphaned.load(Ordering::Acquire)
    }
}
