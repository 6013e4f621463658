//! Handles.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fault::{Fault, Status};

/// Handles are numbers that mean something here only: one that is none is an error, not a crash.
static NEXT: AtomicUsize = AtomicUsize::new(0x1000);

/// What the handles of one kind stand for.
#[derive(Debug)]
pub struct Table<T> {
    /// What a handle of this kind is called.
    kind: &'static str,
    by_handle: Mutex<HashMap<usize, Arc<T>>>,
}

impl<T> Table<T> {
    pub fn new(kind: &'static str) -> Self {
        Self { kind, by_handle: Mutex::default() }
    }

    /// A new handle for `value`.
    pub fn insert(&self, value: T) -> usize {
        let handle = NEXT.fetch_add(16, Ordering::Relaxed);
        self.lock().insert(handle, Arc::new(value));
        handle
    }

    /// What a handle stands for.
    ///
    /// # Errors
    /// `InvalidHandle` for one that is none.
    pub fn find(&self, handle: usize) -> Result<Arc<T>, Fault> {
        self.lock().get(&handle).cloned().ok_or_else(|| self.invalid(handle))
    }

    /// Ends a handle.
    ///
    /// # Errors
    /// As of [`Table::find`].
    pub fn remove(&self, handle: usize) -> Result<Arc<T>, Fault> {
        self.lock().remove(&handle).ok_or_else(|| self.invalid(handle))
    }

    /// All that have handles now.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.lock().values().cloned().collect()
    }

    fn invalid(&self, handle: usize) -> Fault {
        Fault::new(Status::InvalidHandle, format!("{handle:#x} is no {}", self.kind))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Arc<T>>> {
        self.by_handle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
