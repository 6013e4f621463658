//! Whether the messages of a mailbox run, wait, or are refused.

use crate::sync::{AtomicU8, Ordering, fence};

/// What becomes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// They wait: there is no actor.
    Paused,
    /// They run.
    Open,
    /// They are refused, for ever.
    Closed,
}

/// The stage of a mailbox, as all its threads see it.
///
/// ```text
/// Paused -- change --> Open -- change --> Paused         both -- close --> Closed, which stays
/// ```
///
/// Invariant (ACT-4): a message that was queued before `Turn::call` is seen by whoever looks into the queue after `close`,
/// or its sender reads `Closed` here after that call. So one of the two refuses it.
#[derive(Debug)]
pub(crate) struct Phase(AtomicU8);

impl Phase {
    pub(crate) fn paused() -> Self {
        Self(AtomicU8::new(Stage::Paused as u8))
    }

    #[inline]
    pub(crate) fn read(&self) -> Stage {
        match self.0.load(Ordering::SeqCst) {
            0 => Stage::Paused,
            1 => Stage::Open,
            _ => Stage::Closed,
        }
    }

    /// Goes from one stage to another; nothing happens where it is at a third, as where it was closed meanwhile.
    pub(crate) fn change(&self, from: Stage, to: Stage) {
        if from != Stage::Closed {
            let _ = self.0.compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Nothing runs from now on; the caller then looks into the queue.
    pub(crate) fn close(&self) {
        self.0.store(Stage::Closed as u8, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}
