//! What a process keeps for another until that lets it go: answers that name memory of it, and what it refers to.

use rayline_store::Region;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By the numbers of the calls. There are as many as the other process has calls answered and not read, and references.
#[derive(Default)]
pub(super) struct Held(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Encoded values, which keep what they name.
    values: HashMap<u64, Region>,
    /// What the other process refers to; it may do so as long as it lives.
    things: HashMap<u64, Box<dyn Any + Send>>,
}

impl Held {
    /// Keeps an answer, if it names anything.
    pub(super) fn keep(&self, call: u64, value: &Region) {
        if rayline_store::names(value).next().is_some() {
            self.lock().values.insert(call, value.clone());
        }
    }

    /// Keeps something else.
    pub(super) fn keep_thing(&self, call: u64, thing: Box<dyn Any + Send>) {
        self.lock().things.insert(call, thing);
    }

    /// The other process needs it no longer.
    pub(super) fn release(&self, call: u64) {
        let mut kept = self.lock();
        let released = (kept.values.remove(&call), kept.things.remove(&call));
        drop(kept);
        // Not while the lock is held: it may be much memory.
        drop(released);
    }

    /// Whether no value is held that has yet to be read.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().values.is_empty()
    }

    /// The other process is gone.
    pub(super) fn clear(&self) {
        let kept = std::mem::take(&mut *self.lock());
        drop(kept);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
