//! Time as the machines see it: a number that the driver passes in, and waits that are computed, never slept.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A monotonic instant: nanoseconds since the driver's own start. Wall clocks never reach a machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(u64);

impl Time {
    /// The driver's start.
    pub const ZERO: Time = Time(0);

    /// The instant `nanos` nanoseconds after the driver's start.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// The instant `millis` milliseconds after the driver's start.
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the driver's start.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero where it is later than `self`.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates at the end of time (584 years).
    fn add(self, wait: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Time {
    /// Milliseconds, to the microsecond: `12.5ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How waits grow from failure to failure: doubling from `first` up to `longest`, each shortened by up to a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after `failures` failures in a row (at least 1). The jitter is a function of `key` and `failures`, so
    /// that machines stay deterministic and a thousand tasks that fail together do not return together.
    pub fn wait(&self, failures: u32, key: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        let spread = mix(key ^ (u64::from(failures) << 48)) >> 56;
        full - full.saturating_mul(spread as u32) / 512
    }
}

/// The finalizer of splitmix64: spreads neighbouring keys over all bits.
fn mix(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_differ_between_keys() {
        let backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(100) };
        for failures in 1..40 {
            let full = Duration::from_millis(10 << (failures - 1).min(6)).min(backoff.longest);
            for key in 0..100 {
                let wait = backoff.wait(failures, key);
                assert!(wait > full / 2 && wait <= full, "{failures} failures, key {key}: {wait:?}");
            }
        }
        assert_ne!(backoff.wait(1, 1), backoff.wait(1, 2));
    }

    #[test]
    fn time_saturates() {
        assert_eq!(Time::from_nanos(u64::MAX) + Duration::from_secs(1), Time::from_nanos(u64::MAX));
        assert_eq!(Time::ZERO.since(Time::from_millis(1)), Duration::ZERO);
    }
}
