//! Waiting for news of a ring without receiving from it.

use super::attendance::Attendance;
use super::link::Link;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// There are frames to receive.
    Ready,
    /// Nothing came in time.
    TimedOut,
    /// The ring is closed, and everything that came was received.
    Closed,
}

/// Sleeps until there is something to receive, without the [`Receiver`](super::Receiver): for a thread that stands by
/// while another polls. Clones sleep independently; news wake them all.
#[derive(Clone, Debug)]
pub struct Sleeper {
    link: Arc<Link>,
    ring: usize,
    attendance: Arc<Attendance>,
}

impl Sleeper {
    pub(crate) fn new(link: Arc<Link>, ring: usize) -> Self {
        Self { link, ring, attendance: Arc::default() }
    }

    /// Sleeps until there are frames that nobody attends to, the ring is closed, or the timeout.
    ///
    /// While the receiver polls ([`Receiver::wait`](super::Receiver::wait), `recv_batch`), its news are its own, and
    /// this sleeps on; after [`Receiver::step_down`](super::Receiver::step_down) they are the sleepers'.
    /// A closed ring ends the sleep in any case: with `Ready` where there are frames left.
    pub fn sleep(&self, timeout: Option<Duration>) -> Wait {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let control = self.link.control(self.ring);
        let look = || match self.look() {
            Some(Wait::Ready) if self.link.is_closed(self.ring) => Some(Wait::Ready),
            Some(Wait::Ready) => self.attendance.has_news_for_sleepers(control).then_some(Wait::Ready),
            end => end,
        };
        control.news.0.sleep_until(deadline, look).unwrap_or(Wait::TimedOut)
    }

    /// What there is, without sleeping; `None` where it is nothing yet.
    #[inline]
    pub(crate) fn look(&self) -> Option<Wait> {
        let control = self.link.control(self.ring);
        // In this order: what was published before the ring was closed is seen.
        let is_closed = self.link.is_closed(self.ring);
        if self.attendance.has_news(control) {
            return Some(Wait::Ready);
        }
        is_closed.then_some(Wait::Closed)
    }

    #[inline]
    pub(crate) fn attendance(&self) -> &Attendance {
        &self.attendance
    }
}
