//! Values that stay on the node where they were made, until somebody here wants to read them.
//!
//! ```text
//!  ObjectRef --> cell --> Elsewhere --> Stored <-- Recipe: the task and its arguments, as the owner's driver keeps it
//!                         read once     where it is now         |  Start: it is made again, its arguments first
//!                         by this process                       '- Release, Forget: nobody needs it
//! ```
//! A call that takes such a value as an argument gets its encoding as it came, and reads what that names from where it is.
//! Whether a lost value is made again, and what must be before, is for the owner to say (`rayline_core::owner`).

mod recipe;
mod stored;

pub(crate) use recipe::Recipe;
pub(crate) use stored::Stored;

use crate::control::Control;
use crate::data::Data;
use crate::error::Result;
use crate::runtime;
use std::sync::{Arc, OnceLock};

/// The outcome of a task whose value is on a node.
pub(crate) struct Elsewhere<T> {
    stored: Arc<Stored>,
    read: fn(&Stored) -> Result<T>,
    here: OnceLock<Result<T>>,
}

impl<T> Elsewhere<T> {
    pub(crate) fn new(stored: Arc<Stored>) -> Self
    where
        T: Data,
    {
        Self { stored, read: Stored::read, here: OnceLock::new() }
    }

    /// The value, which is read if it hasn't been. Blocks meanwhile, and while it is made again.
    pub(crate) fn value(&self) -> &Result<T> {
        match self.here.get() {
            Some(here) => here,
            None => rayline_exec::blocking(|| self.here.get_or_init(|| (self.read)(&self.stored))),
        }
    }

    /// The value, moved.
    pub(crate) fn into_value(mut self) -> Result<T> {
        self.value();
        self.here.take().expect("it was just read")
    }

    /// Whether reading it takes no time.
    pub(crate) fn is_read(&self) -> bool {
        self.here.get().is_some()
    }

    pub(crate) fn stored(&self) -> &Arc<Stored> {
        &self.stored
    }
}

/// Nobody here refers to it any more.
impl<T> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        runtime::with_control(|control: &Control| control.drop_ref(self.stored.object()));
    }
}
