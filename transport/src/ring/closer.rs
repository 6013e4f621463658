//! The end of a pair of rings.

use super::link::Link;
use std::sync::Arc;

/// Closes both rings, from any thread and also on behalf of a peer that died.
#[derive(Clone, Debug)]
pub struct Closer {
    link: Arc<Link>,
}

impl Closer {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// From now on nobody sends, on either side, and everybody who sleeps wakes. Frames that were published before can
    /// still be received. Harmless when repeated.
    pub fn close(&self) {
        self.link.close(0);
        self.link.close(1);
    }

    /// Whether either ring was closed, by either side.
    pub fn is_closed(&self) -> bool {
        self.link.is_closed(0) || self.link.is_closed(1)
    }
}
