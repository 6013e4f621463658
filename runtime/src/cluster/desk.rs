//! What the machines' drivers reach the world by: the clock, timers, and the post.

use super::letter::{Address, Envelope, Letter};
use super::post::{Post, PostError};
use rayline_core::Time;
use rayline_core::ids::{OwnerId, TimerToken};
use rayline_transport::{PeerId, Transport};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// The clock, timers, and the post of a daemon.
pub(super) struct Desk {
    pub(super) post: Post,
    begin: Instant,
    timers: BinaryHeap<Reverse<(Time, Timer)>>,
}

/// Whose timer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Members(TimerToken),
    Controller(TimerToken),
    /// Of the life with this number.
    Member(u64, TimerToken),
    /// A peer is to be called for which letters are left.
    Call(PeerId),
    /// A driver whose connection has ended may have come again.
    Driver(OwnerId),
    /// A life is over; the next may begin.
    NextLife,
}

impl Desk {
    pub(super) fn new(post: Post) -> Desk {
        Desk { post, begin: Instant::now(), timers: BinaryHeap::new() }
    }

    pub(super) fn now(&self) -> Time {
        Time::ZERO + self.begin.elapsed()
    }

    /// This process, as a peer.
    pub(super) fn me(&self) -> PeerId {
        self.post.tcp().local()
    }

    pub(super) fn send(&mut self, to: Address, letter: Letter) {
        let sent = self.post.send(to, letter);
        Self::settle(to, sent);
    }

    pub(super) fn send_by(&mut self, peer: PeerId, to: Address, letter: Letter) {
        let sent = self.post.send_by(peer, Envelope { to, letter });
        Self::settle(to, sent);
    }

    pub(super) fn set_timer(&mut self, at: Time, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
    }

    /// A timer that is due.
    pub(super) fn take_due(&mut self) -> Option<Timer> {
        let now = self.now();
        let is_due = self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now);
        if is_due { self.timers.pop().map(|Reverse((_, timer))| timer) } else { None }
    }

    /// When the next timer is due; in a day where there is none.
    pub(super) fn next_due(&self) -> Instant {
        let wait = |Reverse((at, _)): &Reverse<(Time, Timer)>| at.since(Time::ZERO);
        self.begin + self.timers.peek().map_or(self.begin.elapsed() + Duration::from_secs(86_400), wait)
    }

    /// Letters to whoever is gone are lost, as they would be on their way; what can't be sent at all is a fault of ours.
    fn settle(to: Address, sent: Result<(), PostError>) {
        match sent {
            Ok(()) => {}
            Err(error @ (PostError::TooLarge { .. } | PostError::Codec(_))) => {
                warn!(?to, error = &error as &dyn std::error::Error, "a letter could not be sent");
            }
            Err(error) => debug!(?to, %error, "a letter is lost"),
        }
    }
}
