//! What a peer has been granted: pinned until it releases it, or is gone.

use super::machine::TransferId;
use crate::region::{RemoteSpan, Span};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one peer may have at a time; more is declined.
pub const LEASES_MAX: usize = 1024;

/// Bytes that aren't given to others meanwhile.
pub enum Lease {
    /// The peer has asked, and waits for the answer.
    Reserved,
    Read {
        span: Arc<Span>,
        wanted: RemoteSpan,
    },
    Push {
        span: Arc<Span>,
        slot: u16,
    },
}

/// The leases of one peer.
pub struct Leases {
    table: Mutex<Option<HashMap<TransferId, Lease>>>,
}

impl Leases {
    pub fn new() -> Self {
        Self { table: Mutex::new(Some(HashMap::new())) }
    }

    /// Makes room for a lease; false where there is none, or the number is taken.
    pub fn reserve(&self, id: TransferId) -> bool {
        let mut table = self.lock();
        let Some(table) = &mut *table else { return false };
        if table.len() >= LEASES_MAX || table.contains_key(&id) {
            return false;
        }
        table.insert(id, Lease::Reserved);
        true
    }

    /// Fills a lease's place. What was granted when all had ended is let go.
    pub fn put(&self, id: TransferId, lease: Lease) {
        if let Some(table) = &mut *self.lock() {
            table.insert(id, lease);
        }
    }

    /// Takes a lease out.
    pub fn take(&self, id: TransferId) -> Option<Lease> {
        self.lock().as_mut()?.remove(&id)
    }

    /// Lets all go; there will be no others.
    pub fn end(&self) {
        let ended = self.lock().take();
        drop(ended);
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<TransferId, Lease>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
