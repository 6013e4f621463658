//! Who of a process looks after a ring that arrives here: a thread that polls, or those that sleep.

use super::control::Control;
use crate::sync::{AtomicBool, AtomicU64, Ordering, fence};

/// What the receiver tells the sleepers of its own process. It isn't in shared memory: no peer can forge it.
#[derive(Debug, Default)]
pub(crate) struct Attendance {
    /// Up to where the receiver has read.
    read: AtomicU64,
    is_attended: AtomicBool,
}

impl Attendance {
    #[inline]
    pub(crate) fn set_read(&self, position: u64) {
        self.read.store(position, Ordering::Release);
    }

    /// Whether frames were published that nobody has read.
    #[inline]
    pub(crate) fn has_news(&self, control: &Control) -> bool {
        control.head.0.load(Ordering::Acquire) != self.read.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn is_attended(&self) -> bool {
        self.is_attended.load(Ordering::Relaxed)
    }

    /// Whether there is news that no polling receiver will find.
    #[inline]
    pub(crate) fn has_news_for_sleepers(&self, control: &Control) -> bool {
        self.has_news(control) && !self.is_attended()
    }

    /// The receiver polls: until [`Attendance::leave`] nobody is woken for news.
    pub(crate) fn attend(&self, control: &Control) {
        self.is_attended.store(true, Ordering::SeqCst);
        control.news.0.set_attended(true);
    }

    /// The receiver polls no longer. What was published meanwhile rang no bell, so this does (RING-4).
    pub(crate) fn leave(&self, control: &Control) {
        self.is_attended.store(false, Ordering::SeqCst);
        control.news.0.set_attended(false);
        fence(Ordering::SeqCst);
        if self.has_news(control) {
            control.news.0.ring_regardless();
        }
    }
}
