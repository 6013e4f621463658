//! Who starts a cell: the executor, or a cancellation that comes first.

use crate::sync::{AtomicU8, Ordering};

const STARTED: u8 = 1;
const CANCELLED: u8 = 2;

/// The right to give a cell its outcome.
///
/// ```text
/// Idle -- start --> Started -- cancel --> Started+Cancelled (the job may look and stop)
///   \---- cancel --> Cancelled (it never starts)
/// ```
///
/// Invariant (CELL-3): of `start` and `cancel` on an idle cell exactly one wins.
#[derive(Debug)]
pub(crate) struct Claim(AtomicU8);

impl Claim {
    pub(crate) fn idle() -> Self {
        Self(AtomicU8::new(0))
    }

    pub(crate) fn started() -> Self {
        Self(AtomicU8::new(STARTED))
    }

    /// Takes the right to run; `false` where the cell was cancelled first.
    #[inline]
    pub(crate) fn start(&self) -> bool {
        self.0.compare_exchange(0, STARTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Cancels; `true` where the cell had not started, and the caller completes it.
    pub(crate) fn cancel(&self) -> bool {
        match self.0.compare_exchange(0, CANCELLED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(_) => {
                self.0.fetch_or(CANCELLED, Ordering::AcqRel);
                false
            }
        }
    }

    /// Whether it was cancelled before it started: it has no outcome, and never will.
    #[inline]
    pub(crate) fn never_starts(&self) -> bool {
        self.0.load(Ordering::Acquire) == CANCELLED
    }

    /// Whether somebody asked for the cancellation.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) & CANCELLED != 0
    }
}
