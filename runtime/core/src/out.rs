//! The buffer that a machine writes its actions to.

use alloc::vec::{Drain, Vec};

/// Actions of one machine, in the order in which they must be carried out. The driver keeps one, hands it to every
/// `handle`, and drains it; its memory is reused (a fresh vector for every event costs 23-50 %).
#[derive(Debug)]
pub struct Out<A> {
    actions: Vec<A>,
}

impl<A> Out<A> {
    /// An empty buffer.
    pub const fn new() -> Self {
        Out { actions: Vec::new() }
    }

    /// Appends an action. For machines; a driver has nothing to push.
    pub fn push(&mut self, action: A) {
        self.actions.push(action);
    }

    /// Takes all actions out, oldest first, and keeps the memory.
    pub fn drain(&mut self) -> Drain<'_, A> {
        self.actions.drain(..)
    }

    /// The actions not yet drained, oldest first.
    pub fn as_slice(&self) -> &[A] {
        &self.actions
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }
}

impl<A> Default for Out<A> {
    fn default() -> Self {
        Out::new()
    }
}
