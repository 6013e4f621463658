//! The work-stealing deque of a worker: its owner pushes and pops at the back, thieves take from the front.
//!
//! Source: Chase and Lev, "Dynamic Circular Work-Stealing Deque", SPAA'05, with the orderings of Le, Pop, Cohen and
//! Zappa Nardelli, "Correct and Efficient Work-Stealing for Weak Memory Models", PPoPP'13.

use crate::ring::Rings;
use crate::sync::{AtomicIsize, Ordering, fence};
use crossbeam_utils::CachePadded;
use std::ptr::NonNull;

/// A deque of pointers. What they point at is the caller's business.
pub(crate) struct Deque<T> {
    front: CachePadded<AtomicIsize>,
    back: CachePadded<AtomicIsize>,
    rings: Rings<T>,
}

/// What a thief found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Steal<T> {
    /// Nothing to take.
    Empty,
    /// Another thief or the owner was faster; it may be worth another try.
    Retry,
    /// This item now belongs to the thief.
    Taken(NonNull<T>),
}

// SAFETY: the deque hands each pointer to exactly one taker, and never looks through it.
unsafe impl<T> Send for Deque<T> {}
// SAFETY: as above; `push` and `pop_above` are `unsafe`, and only the owner's thread may call them.
unsafe impl<T> Sync for Deque<T> {}

impl<T> Deque<T> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            front: CachePadded::new(AtomicIsize::new(0)),
            back: CachePadded::new(AtomicIsize::new(0)),
            rings: Rings::with_capacity(capacity),
        }
    }

    /// Adds an item at the back.
    ///
    /// # Safety
    /// Only the owner's thread calls this.
    #[inline]
    pub(crate) unsafe fn push(&self, item: NonNull<T>) {
        let back = self.back.load(Ordering::Relaxed);
        let front = self.front.load(Ordering::Acquire);
        let mut ring = self.rings.current();
        if back - front >= ring.capacity() {
            ring = self.rings.grow(front, back);
        }
        ring.set(back, item.as_ptr());
        fence(Ordering::Release);
        self.back.store(back + 1, Ordering::Relaxed);
    }

    /// Takes the newest item, if it was pushed at or above position `mark`.
    ///
    /// # Safety
    /// Only the owner's thread calls this.
    #[inline]
    pub(crate) unsafe fn pop_above(&self, mark: isize) -> Option<NonNull<T>> {
        let back = self.back.load(Ordering::Relaxed) - 1;
        if back < mark || back < self.front.load(Ordering::Relaxed) {
            return None;
        }
        let ring = self.rings.current();
        self.back.store(back, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let front = self.front.load(Ordering::Relaxed);
        if front < back {
            return NonNull::new(ring.get(back));
        }
        // The last item, or none: race the thieves for it.
        let won =
            front == back && self.front.compare_exchange(front, front + 1, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        self.back.store(back + 1, Ordering::Relaxed);
        if won { NonNull::new(ring.get(back)) } else { None }
    }

    /// Takes the oldest item.
    pub(crate) fn steal(&self) -> Steal<T> {
        let front = self.front.load(Ordering::Acquire);
        fence(Ordering::SeqCst);
        let back = self.back.load(Ordering::Acquire);
        if front >= back {
            return Steal::Empty;
        }
        let item = self.rings.current().get(front);
        if self.front.compare_exchange(front, front + 1, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return Steal::Retry;
        }
        NonNull::new(item).map_or(Steal::Retry, Steal::Taken)
    }

    /// The position that the next push takes; items pushed from now on are at or above it.
    #[inline]
    pub(crate) fn mark(&self) -> isize {
        self.back.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.front.load(Ordering::Acquire) >= self.back.load(Ordering::Acquire)
    }
}
