//! Whose turn it is in a mailbox: one runner at a time, and methods that it started and that have not ended.

use crate::sync::{AtomicBool, AtomicUsize, Ordering, fence};

/// The turn-taking of a mailbox.
///
/// ```text
///  Idle -- call() = true --> Scheduled (a runner is on its way, or runs)
///   ^                           |  |
///   | yield_turn() = true       |  | block(), then blocked() until a method ends or the gate opens
///   +---------------------------+  v
///            Scheduled <------- Blocked -- unblock() = true: schedule again
/// ```
///
/// Invariant (ACT-1): at most one runner. Invariant (ACT-2): a message that was queued before `call` is seen by the
/// runner, or `call` says to schedule one. Invariant (ACT-3): who ends what a blocked runner waits for schedules it
/// again, exactly once.
#[derive(Debug)]
pub(crate) struct Turn {
    scheduled: AtomicBool,
    blocked: AtomicBool,
    running: AtomicUsize,
}

impl Turn {
    pub(crate) fn new() -> Self {
        Self { scheduled: AtomicBool::new(false), blocked: AtomicBool::new(false), running: AtomicUsize::new(0) }
    }

    /// A message was queued; `true` where the caller schedules a runner.
    #[inline]
    pub(crate) fn call(&self) -> bool {
        fence(Ordering::SeqCst);
        !self.scheduled.load(Ordering::SeqCst) && !self.scheduled.swap(true, Ordering::SeqCst)
    }

    /// The runner found nothing more. `is_empty` looks once more; `true` where its turn is over.
    pub(crate) fn yield_turn(&self, is_empty: impl FnOnce() -> bool) -> bool {
        // A swap, not a store: a caller's failed swap then stands in one order with it, for loom too.
        self.scheduled.swap(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        is_empty() || self.scheduled.swap(true, Ordering::SeqCst)
    }

    /// The runner can't go on until `may_go_on`; `true` where its turn is over, and somebody else schedules the next.
    pub(crate) fn block(&self, may_go_on: impl FnOnce() -> bool) -> bool {
        self.blocked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        !(may_go_on() && self.blocked.swap(false, Ordering::SeqCst))
    }

    /// What a runner may wait for has changed; `true` where the caller schedules it.
    pub(crate) fn unblock(&self) -> bool {
        fence(Ordering::SeqCst);
        self.blocked.load(Ordering::SeqCst) && self.blocked.swap(false, Ordering::SeqCst)
    }

    /// Counts a method that goes on beside the runner.
    pub(crate) fn start_method(&self) {
        self.running.fetch_add(1, Ordering::SeqCst);
    }

    /// It ended; `true` where the caller schedules the runner.
    pub(crate) fn end_method(&self) -> bool {
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.unblock()
    }

    /// How many go on beside the runner.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}
