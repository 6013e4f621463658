//! What failed is left alone for a while.

use super::Settings;
use std::time::{Duration, Instant};

/// A pause that doubles with each failure in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pause {
    failures: u32,
    until: Option<Instant>,
}

impl Pause {
    pub fn handle_failure(&mut self, now: Instant, settings: &Settings) {
        let doubled = settings.pause_min.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        self.until = Some(now + doubled.min(settings.pause_max));
    }

    pub fn handle_success(&mut self) {
        *self = Self::default();
    }

    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// How long it has been over; none while it isn't, or where there was none.
    pub fn since(&self, now: Instant) -> Option<Duration> {
        now.checked_duration_since(self.until?)
    }
}
