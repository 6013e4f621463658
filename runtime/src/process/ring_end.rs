//! The driver's end of a ring: who takes a worker's answers.

use super::SPIN;
use super::lane::{DAMAGED, Lane};
use super::watch::{Looks, Watch};
use super::wire::Inbox;
use rayline_exec::Look;
use rayline_transport::ring::{Closer, Receiver, Wait};
use rustix::process::{Signal, pidfd_send_signal};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Where a lane takes the answers of a process that this one has started.
pub(super) struct RingEnd {
    inbox: Mutex<Inbox>,
    closer: Closer,
    /// Names the process also when the system uses its id again.
    process: OwnedFd,
    /// Threads that look for answers themselves.
    lookers: AtomicUsize,
    watch: Watch,
}

impl RingEnd {
    pub(super) fn new(receiver: Receiver, closer: Closer, process: OwnedFd) -> Self {
        let inbox = Mutex::new(Inbox::new(receiver));
        Self { inbox, closer, process, lookers: AtomicUsize::new(0), watch: Watch::default() }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.closer.is_closed()
    }

    pub(super) fn kill(&self) {
        // Fails where the process is gone.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }

    /// Takes the answers that are there, if nobody else does, as a thread does while it waits.
    pub(super) fn look(&self, lane: &Lane, look: Look) {
        if look == Look::First {
            self.lookers.fetch_add(1, Ordering::Relaxed);
        }
        let mut inbox = match self.inbox.try_lock() {
            Ok(inbox) => Some(inbox),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(inbox) = &mut inbox {
            self.receive(lane, inbox);
        }
        let must_step_down = self.watch.polls();
        if look >= Look::Over {
            self.lookers.fetch_sub(1, Ordering::Relaxed);
            if let Some(inbox) = inbox.as_mut().filter(|_| must_step_down || look == Look::Sleeps) {
                inbox.receiver.step_down();
            }
        }
    }

    /// Takes answers until the ring is closed.
    pub(super) fn attend(&self, lane: &Lane) {
        let sleeper = self.lock_inbox().receiver.sleeper();
        let (mut looks, mut period) = (Looks::default(), None);
        while sleeper.sleep(period) != Wait::Closed {
            let mut inbox = self.lock_inbox();
            // Whoever waits for an answer takes the others, too.
            while self.receive(lane, &mut inbox)
                && self.lookers.load(Ordering::Relaxed) == 0
                && period.is_none()
                && inbox.receiver.wait(SPIN, Some(SPIN)) == Wait::Ready
            {}
            period = self.watch.next_sleep(&mut looks);
            if period.is_none() {
                inbox.receiver.step_down();
            }
        }
        self.closer.close();
    }

    /// Takes what a process has left that is gone, and does `then` before anybody else looks.
    pub(super) fn finish(&self, lane: &Lane, then: impl FnOnce()) {
        let mut inbox = self.lock_inbox();
        self.receive(lane, &mut inbox);
        then();
    }

    fn lock_inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is there. `false` where the worker's memory is damaged; its process is then ended.
    fn receive(&self, lane: &Lane, inbox: &mut Inbox) -> bool {
        let sound = inbox.receive(|header, body| lane.take(header, body)).is_ok();
        if !sound {
            lane.kill(DAMAGED.into());
            self.closer.close();
        }
        sound
    }
}
