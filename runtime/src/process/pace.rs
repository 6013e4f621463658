//! How fast a process answers calls, while it has some.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// Calls between two looks at the clock.
const CALLS: u32 = 8;
/// What is thought of a process that hasn't answered as many, in nanoseconds a call.
const UNKNOWN_NANOS: u64 = 10_000;

/// The mean time from one answer to the next. Threads may note answers at once: then a look is off by a few calls.
#[derive(Default)]
pub(super) struct Pace {
    calls: AtomicU32,
    /// When the calls that are counted began; 0 where the process had nothing to do.
    since: AtomicU64,
    mean_nanos: AtomicU64,
}

impl Pace {
    /// A call was answered, and so many are left.
    pub(super) fn note(&self, left: usize) {
        let calls = self.calls.load(Ordering::Relaxed) + 1;
        if left > 0 && calls < CALLS {
            return self.calls.store(calls, Ordering::Relaxed);
        }
        self.calls.store(0, Ordering::Relaxed);
        self.note_at(if left > 0 { now() } else { 0 });
    }

    fn note_at(&self, now: u64) {
        let since = self.since.swap(now, Ordering::Relaxed);
        if since > 0 && now > since {
            let each = (now - since) / u64::from(CALLS);
            let mean = self.mean_nanos.load(Ordering::Relaxed);
            let mean = if mean == 0 { each } else { mean - mean / 4 + each / 4 };
            self.mean_nanos.store(mean.max(1), Ordering::Relaxed);
        }
    }

    /// How long so many calls will take, in nanoseconds.
    pub(super) fn wait_nanos(&self, calls: usize) -> u64 {
        let mean = self.mean_nanos.load(Ordering::Relaxed);
        (calls as u64).saturating_mul(if mean == 0 { UNKNOWN_NANOS } else { mean })
    }
}

/// Nanoseconds since the first call of this, from 1.
fn now() -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGIN.elapsed().as_nanos() as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows_answers_and_not_idle_times() {
        let pace = Pace::default();
        assert_eq!(pace.wait_nanos(3), 3 * UNKNOWN_NANOS);
        pace.note_at(1000);
        pace.note_at(1000 + 8 * 500);
        assert_eq!(pace.wait_nanos(2), 1000);
        // It had nothing to do for long.
        pace.note_at(0);
        pace.note_at(1_000_000);
        assert_eq!(pace.wait_nanos(2), 1000);
        pace.note_at(1_000_000 + 8 * 900);
        assert_eq!(pace.wait_nanos(1), 600);
    }

    #[test]
    fn the_clock_is_looked_at_now_and_then() {
        let pace = Pace::default();
        (0..CALLS).for_each(|_| pace.note(5));
        let begun = pace.since.load(Ordering::Relaxed);
        assert!(begun > 0);
        (1..CALLS).for_each(|_| pace.note(5));
        assert_eq!(pace.since.load(Ordering::Relaxed), begun);
        pace.note(0);
        assert_eq!(pace.since.load(Ordering::Relaxed), 0);
    }
}
