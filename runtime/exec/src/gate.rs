//! How many workers are awake, how many of those search, and how many may run: one word.

use crate::sync::{AtomicU64, Ordering, fence};

const AWAKE: u64 = 1;
const SEARCHING: u64 = 1 << 16;
const TARGET: u64 = 1 << 32;
const CLOSED: u64 = 1 << 63;
const FIELD: u64 = 0xffff;

/// The protocol by which no queued task is left with everybody asleep.
///
/// A worker that found nothing first says that it sleeps, then looks once more; who queues something first queues it,
/// then looks whether to wake somebody. Both sides put a full fence between, so at least one sees the other (GATE-1).
/// While one worker searches, nobody else is woken: the searcher wakes the next one when it finds work (GATE-2). The
/// idea is Go's and tokio's.
#[derive(Debug)]
pub(crate) struct Gate(AtomicU64);

/// One reading of the gate.
#[derive(Clone, Copy)]
pub(crate) struct Reading(u64);

impl Reading {
    pub(crate) fn awake(self) -> u64 {
        self.0 & FIELD
    }

    pub(crate) fn searching(self) -> u64 {
        (self.0 / SEARCHING) & FIELD
    }

    pub(crate) fn target(self) -> u64 {
        (self.0 / TARGET) & FIELD
    }

    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    pub(crate) fn wants_wake(self) -> bool {
        self.searching() == 0 && self.awake() < self.target()
    }
}

impl Gate {
    /// `target` workers may be awake at once; none is yet.
    pub(crate) fn new(target: usize) -> Self {
        Self(AtomicU64::new(target as u64 * TARGET))
    }

    #[inline]
    pub(crate) fn read(&self) -> Reading {
        Reading(self.0.load(Ordering::SeqCst))
    }

    /// Something was queued: reads the gate, ordered after it (GATE-1).
    #[inline]
    pub(crate) fn read_after_push(&self) -> Reading {
        fence(Ordering::SeqCst);
        self.read()
    }

    /// Counts one more worker as awake and searching, if one is wanted; the caller then wakes a thread.
    pub(crate) fn try_wake(&self) -> bool {
        let mut now = self.0.load(Ordering::SeqCst);
        while Reading(now).wants_wake() {
            match self.0.compare_exchange_weak(now, now + AWAKE + SEARCHING, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
        false
    }

    pub(crate) fn start_search(&self) {
        self.0.fetch_add(SEARCHING, Ordering::SeqCst);
    }

    /// A searching worker found work; `true` where it was the last that searched, and wakes the next (GATE-2).
    pub(crate) fn end_search(&self) -> bool {
        Reading(self.0.fetch_sub(SEARCHING, Ordering::SeqCst)).searching() == 1
    }

    /// A searching worker goes to sleep; it must look for work once more before it does.
    pub(crate) fn sleep(&self) {
        self.0.fetch_sub(AWAKE + SEARCHING, Ordering::SeqCst);
    }

    /// Stands between what a worker says here (that it sleeps, leaves, ended its search, or that the target rose) and its
    /// look at what is queued: who queued something and saw the gate as it was before relies on that look.
    pub(crate) fn order_look(&self) {
        fence(Ordering::SeqCst);
    }

    /// Counts `workers` that sleep as awake and searching; the caller wakes them, wanted or not.
    pub(crate) fn call(&self, workers: usize) {
        self.0.fetch_add(workers as u64 * (AWAKE + SEARCHING), Ordering::SeqCst);
    }

    /// An awake worker blocks, or sleeps without having searched: another may take its place.
    pub(crate) fn leave(&self) {
        self.0.fetch_sub(AWAKE, Ordering::SeqCst);
    }

    /// A worker that left goes on; the pool may be over its target until somebody leaves.
    pub(crate) fn enter(&self) {
        self.0.fetch_add(AWAKE, Ordering::SeqCst);
    }

    /// Gives up the place of a worker that is over the target; `false` where it isn't.
    pub(crate) fn leave_if_over(&self) -> bool {
        let mut now = self.0.load(Ordering::SeqCst);
        while Reading(now).awake() > Reading(now).target() {
            match self.0.compare_exchange_weak(now, now - AWAKE, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
        false
    }

    pub(crate) fn set_target(&self, target: usize) {
        let mut now = self.0.load(Ordering::SeqCst);
        loop {
            let new = (now & !(FIELD * TARGET)) | (target as u64 * TARGET);
            match self.0.compare_exchange_weak(now, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(seen) => now = seen,
            }
        }
    }

    /// Nothing may start any more.
    pub(crate) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::SeqCst);
    }
}
