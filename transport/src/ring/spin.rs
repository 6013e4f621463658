//! Spinning for a while before one sleeps.

use std::time::{Duration, Instant};

/// The clock is read once in so many looks: it costs as much as 20 of them.
const LOOKS_A_READING: u32 = 32;
/// Spinning in vain halves what is spun next time, down to this part of what the caller allows.
const SHARE_MIN: u32 = 16;

/// How long spinning has paid of late.
///
/// Where the news come while one still spins, or would have, the next spin is longer, up to what the caller allows;
/// where they come much later, it is shorter.
#[derive(Debug)]
pub(crate) struct Spin {
    budget: Duration,
}

impl Spin {
    pub(crate) fn new() -> Self {
        Self { budget: Duration::MAX }
    }

    /// Looks until `is_done`, for `max` at most; whether it was.
    pub(crate) fn until(&mut self, max: Duration, mut is_done: impl FnMut() -> bool) -> bool {
        self.budget = self.budget.clamp(max / SHARE_MIN, max);
        if self.budget.is_zero() {
            return is_done();
        }
        let began = Instant::now();
        loop {
            for _ in 0..LOOKS_A_READING {
                if is_done() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if began.elapsed() >= self.budget {
                return is_done();
            }
        }
    }

    /// The wait took so long in all, sleep included.
    pub(crate) fn learn(&mut self, waited: Duration, max: Duration) {
        self.budget = if waited <= max { self.budget.saturating_mul(2).min(max) } else { self.budget / 2 };
    }
}
