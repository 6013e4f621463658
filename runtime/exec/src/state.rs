//! The state word of a cell: who waits for it, whether it is done, and who must free it.

use crate::sync::{AtomicUsize, Ordering};
use crate::waiter::Waiter;

/// The outcome is there, or will never be (the cell was cancelled before it started).
const DONE: usize = 1;
/// The last handle went; whoever lets go of the cell last frees it.
const ABANDONED: usize = 2;
/// Done, but a queue or a dependency still points at the cell. On a cell that isn't done: it is being cancelled, and the
/// queue has let go of it already.
const HELD: usize = 4;
/// The rest of the word: head of the list of waiters.
const WAITERS: usize = !7;

/// Who waits for a cell, in one atomic word.
///
/// ```text
///            register                complete
/// Pending ------------> Pending+list ---------> Done          (waiters fire, a handle frees)
///    |                      |                    ^
///    | abandon              | abandon            | release
///    v                      v                    |
/// Abandoned ----------------------- complete --> freed by the executor
///                                                |
/// Pending ---- complete_held (cancelled) --> Done+Held
///    |                                           |
///    | release (before complete_held)            | release
///    v                                           v
/// Pending+Held ---- complete_held ------------> Done
/// ```
///
/// Invariant (CELL-1): exactly one call among `abandon`, `complete` and `release` says that the cell is to be freed.
/// Invariant (CELL-2): each registered waiter is handed out exactly once.
#[derive(Debug)]
pub(crate) struct State(AtomicUsize);

/// What completing a cell found.
pub(crate) struct Completed {
    /// Head of the list of waiters, to be fired; null where none waits.
    pub(crate) waiters: *mut Waiter,
    /// No handle is left: the caller frees the cell.
    pub(crate) abandoned: bool,
}

impl State {
    pub(crate) fn pending() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn done() -> Self {
        Self(AtomicUsize::new(DONE))
    }

    /// Adds a waiter; `false` (and nothing is added) where the cell is done.
    ///
    /// # Safety
    /// `waiter` must stay valid and unmoved until it is fired; its low three bits are zero.
    pub(crate) unsafe fn register(&self, waiter: *mut Waiter) -> bool {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            if now & DONE != 0 {
                return false;
            }
            // SAFETY: the caller keeps `waiter` valid, and nobody else sees it before the exchange below.
            unsafe { (*waiter).next.set((now & WAITERS) as *mut Waiter) };
            let new = waiter as usize | (now & !WAITERS);
            match self.0.compare_exchange_weak(now, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
    }

    /// The outcome is written: hands out the waiters.
    #[inline]
    pub(crate) fn complete(&self) -> Completed {
        let before = self.0.swap(DONE, Ordering::AcqRel);
        debug_assert_eq!(before & DONE, 0, "a cell completes once");
        Completed { waiters: (before & WAITERS) as *mut Waiter, abandoned: before & ABANDONED != 0 }
    }

    /// As `complete`, where a queue, a dependency or a promise points at the cell and calls `release`, now or soon. Keeps
    /// the mark of a cell that was abandoned before, which `release` then finds.
    ///
    /// The caller keeps the cell meanwhile.
    pub(crate) fn complete_held(&self) -> *mut Waiter {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            debug_assert_eq!(now & DONE, 0, "a cell completes once");
            let new = (now & ABANDONED) | DONE | (!now & HELD);
            match self.0.compare_exchange_weak(now, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(before) => return (before & WAITERS) as *mut Waiter,
                Err(seen) => now = seen,
            }
        }
    }

    /// The last handle went; `true` where the caller frees the cell.
    #[inline]
    pub(crate) fn abandon(&self) -> bool {
        if self.0.load(Ordering::Acquire) & (DONE | HELD) == DONE {
            return true;
        }
        let before = self.0.fetch_or(ABANDONED, Ordering::AcqRel);
        before & (DONE | HELD) == DONE
    }

    /// The last queue or dependency lets go of a cell that was cancelled; `true` where the caller frees it.
    ///
    /// It may come before `complete_held`, between the cancellation's claim and its word here: then whoever cancels
    /// keeps the cell, and frees it with its handle.
    pub(crate) fn release(&self) -> bool {
        let before = self.0.fetch_xor(HELD, Ordering::AcqRel);
        debug_assert_eq!(before & DONE != 0, before & HELD != 0, "a cell is released once");
        before & DONE != 0 && before & ABANDONED != 0
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) & DONE != 0
    }
}
