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
        let bell = &self.link.control(self.ring).news.0;
        loop {
            let armed = bell.arm();
            if let Some(end) = self.look().filter(|end| *end == Wait::Closed || !self.is_left_to_another()) {
                return end;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Wait::TimedOut;
            }
            bell.wait(armed, left);
        }
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

    fn is_left_to_another(&self) -> bool {
        self.attendance.is_attended() && !self.link.is_closed(self.ring)
    }
}
