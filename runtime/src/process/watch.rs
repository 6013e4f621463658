//! How a thread stands by while others poll a ring.
//!
//! Who polls a ring tells the sender that no bell is needed; who stops polling has to take that back, or nobody would
//! hear of what comes next. Between two short tasks that costs a system call on either side and the wake-up of a thread
//! that finds nothing to do. So while others poll the thread that stands by is *on watch*: it looks by itself, at
//! intervals, and the others needn't say that they stop.
//!
//! ```text
//!  Asleep (the bell wakes it) --somebody polls--> On watch (looks every PERIOD) --nobody did for QUIET looks--> Asleep
//! ```
//! Invariant WATCH-1: while a ring is said to be polled, somebody polls it or the thread on watch will within a period.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often the thread on watch looks.
const PERIOD: Duration = Duration::from_micros(500);
/// After so many looks without a sign of others it goes to sleep.
const QUIET: u32 = 10;

/// What pollers and the thread that stands by know of each other.
#[derive(Default)]
pub(super) struct Watch {
    on_watch: AtomicBool,
    polls: AtomicU64,
}

/// What the thread that stands by remembers from one look to the next.
#[derive(Default)]
pub(super) struct Looks {
    polls: u64,
    quiet: u32,
}

impl Watch {
    /// Somebody polls. Whether they must step down when they stop, as nobody is on watch.
    pub(super) fn polls(&self) -> bool {
        self.polls.fetch_add(1, Ordering::SeqCst);
        !self.on_watch.load(Ordering::SeqCst)
    }

    /// How long the thread that stands by may sleep now: until the bell where `None`, and then it must have stepped
    /// down before.
    pub(super) fn next_sleep(&self, looks: &mut Looks) -> Option<Duration> {
        let polls = self.polls.load(Ordering::SeqCst);
        looks.quiet = if polls == looks.polls { looks.quiet + 1 } else { 0 };
        looks.polls = polls;
        let stays = looks.quiet < QUIET && (looks.quiet == 0 || self.on_watch.load(Ordering::SeqCst));
        self.on_watch.store(stays, Ordering::SeqCst);
        // Whoever polled since then saw that somebody is on watch.
        if stays || self.polls.load(Ordering::SeqCst) != polls {
            self.on_watch.store(true, Ordering::SeqCst);
            return Some(PERIOD);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_on_watch_while_others_poll_and_no_longer() {
        let (watch, mut looks) = (Watch::default(), Looks::default());
        assert_eq!(watch.next_sleep(&mut looks), None);
        assert!(watch.polls(), "nobody is on watch yet");
        assert_eq!(watch.next_sleep(&mut looks), Some(PERIOD));
        assert!(!watch.polls());
        let lasts = (0..100).take_while(|_| watch.next_sleep(&mut looks).is_some()).count();
        assert_eq!(lasts, QUIET as usize);
        assert!(watch.polls());
    }
}
