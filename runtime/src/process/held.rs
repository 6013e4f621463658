//! Answers of a worker on a node that name memory of it: held until the driver has read that.

use rayline_store::Region;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The encoded values, which keep the buffers that they name, by the numbers of their calls. There are as many as the
/// driver has calls answered and not read.
#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<u64, Region>>);

impl Held {
    /// Keeps an answer, if it names anything.
    pub(super) fn keep(&self, call: u64, value: &Region) {
        if rayline_store::names(value).next().is_some() {
            self.lock().insert(call, value.clone());
        }
    }

    /// The driver needs it no longer.
    pub(super) fn release(&self, call: u64) {
        let released = self.lock().remove(&call);
        // Not while the lock is held: it may be much memory.
        drop(released);
    }

    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Region>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
