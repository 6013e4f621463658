//! What the handles of one process share.

use super::control::Control;
use super::map::Map;
use crate::sync::{AtomicBool, Ordering};

/// A pair of rings as one process has it.
#[derive(Debug)]
pub(crate) struct Link {
    map: Map,
    /// What this process knows to be closed, by ring: no peer can open it again.
    closed: [AtomicBool; 2],
}

impl Link {
    pub(crate) fn new(map: Map) -> Self {
        Self { map, closed: Default::default() }
    }

    #[inline]
    pub(crate) fn control(&self, ring: usize) -> &Control {
        self.map.control(ring)
    }

    pub(crate) fn map(&self) -> &Map {
        &self.map
    }

    pub(crate) fn close(&self, ring: usize) {
        self.closed[ring].store(true, Ordering::SeqCst);
        self.control(ring).close();
    }

    #[inline]
    pub(crate) fn is_closed(&self, ring: usize) -> bool {
        self.closed[ring].load(Ordering::Acquire) || self.control(ring).is_closed()
    }
}
