//! How a worker sleeps in a job that waits, and what the last one does meanwhile.

use super::{Frame, Worker};
use crate::sync::Ordering;
use crate::waits::{Exhausted, Place, Wait};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How deep jobs may be nested on one stack where all threads are taken.
const STACKED_MAX: u32 = 2048;

impl Worker {
    /// Runs `f`, in which this thread sleeps or runs other jobs on top of the current one.
    pub(super) fn suspended<R>(&self, f: impl FnOnce() -> R) -> R {
        let Frame { cell, mailbox, .. } = self.frame.get();
        let Some(cell) = cell else { return f() };
        self.suspended.borrow_mut().push(Place { cell: cell.as_ptr() as usize, mailbox });
        let result = f();
        self.suspended.borrow_mut().pop();
        result
    }

    /// Sleeps until `over`, which is when `wanted` of the jobs `awaited` are done, or until `deadline`; another thread then
    /// unparks this one. Where all threads are taken, it stands by.
    ///
    /// # Errors
    /// `Exhausted` where it would never be over, as the awaited jobs can't end before this one does.
    pub(crate) fn sleep_until(
        &self,
        (awaited, wanted): (Vec<Place>, usize),
        over: impl Fn() -> bool,
        deadline: Option<Instant>,
    ) -> Result<(), Exhausted> {
        self.suspended(|| {
            // A wait with a deadline ends, and one for unknown jobs may.
            let known = deadline.is_none() && !awaited.is_empty();
            let wait = known.then(|| Arc::new(Wait { stack: self.suspended.borrow().clone(), awaited, wanted }));
            if self.shared.is_exhausted() && !self.shared.does_any_sleep() {
                if self.frame.get().depth < STACKED_MAX {
                    return self.stand_by(wait.as_ref(), over, deadline);
                }
                if wait.is_some() {
                    // The stack has an end: who would wait for ever gives way, so that those below may go on.
                    return Err(self.exhausted());
                }
            }
            self.announce(wait.as_ref(), || self.block(|| park(over, deadline)))
        })
    }

    /// Runs `f`, which sleeps, where `wait` may ever be over.
    fn announce(&self, wait: Option<&Arc<Wait>>, f: impl FnOnce()) -> Result<(), Exhausted> {
        let Some(wait) = wait else {
            f();
            return Ok(());
        };
        if !self.shared.waits.begin(self.index, wait.clone(), self.shared.is_exhausted()) {
            return Err(self.exhausted());
        }
        f();
        self.shared.waits.end(self.index);
        Ok(())
    }

    fn exhausted(&self) -> Exhausted {
        Exhausted { threads_max: self.shared.options.threads_max }
    }

    /// All threads that there may be are taken, so that nobody can take this worker's place: until `over`, or `deadline`,
    /// it runs what is queued on top of the job that waits.
    fn stand_by(
        &self,
        wait: Option<&Arc<Wait>>,
        over: impl Fn() -> bool,
        deadline: Option<Instant>,
    ) -> Result<(), Exhausted> {
        (self.shared.options.on_block)(true);
        let mut result = Ok(());
        while result.is_ok() && !over() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            match self.look() {
                Some(cell) => self.execute(cell),
                None => result = self.announce(wait, || self.doze(&over, deadline)),
            }
        }
        (self.shared.options.on_block)(false);
        result
    }

    /// Sleeps until `over`, `deadline`, or a call to run what was queued.
    fn doze(&self, over: impl Fn() -> bool, deadline: Option<Instant>) {
        self.shared.lie_down(self.index, |gate| gate.leave());
        self.settle();
        loop {
            if self.seat.called.swap(false, Ordering::SeqCst) {
                break;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if over() || left.is_some_and(|left| left.is_zero()) {
                if self.shared.get_up(self.index) {
                    return self.shared.gate.enter();
                }
                // Somebody has just taken this worker off the list, and is about to call it.
                std::hint::spin_loop();
                continue;
            }
            left.map_or_else(std::thread::park, std::thread::park_timeout);
        }
        if self.shared.gate.end_search() {
            self.wake_next();
        }
    }
}

/// Parks this thread until `over`, or `deadline`; whoever makes it so unparks it.
pub(crate) fn park(over: impl Fn() -> bool, deadline: Option<Instant>) {
    while !over() {
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => std::thread::park(),
            Some(Duration::ZERO) => return,
            Some(left) => std::thread::park_timeout(left),
        }
    }
}
