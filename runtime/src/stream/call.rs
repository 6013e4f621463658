//! A prepared call of a task that returns an iterator.

use super::{ObjectStream, StreamTask, leased, plain};
use crate::arg::Slots;
use crate::options::{Options, option_methods};
use std::marker::PhantomData;

/// A call of a task that returns an iterator, prepared but not submitted: its options may still be changed.
#[must_use = "a call does nothing until `remote` submits it"]
pub struct StreamCall<T, S> {
    slots: S,
    options: Options,
    task: PhantomData<fn() -> T>,
}

impl<T: StreamTask, S: Slots<Args = T::Args>> StreamCall<T, S> {
    #[doc(hidden)]
    pub fn new(slots: S) -> Self {
        Self { slots, options: Options::new(T::OPTIONS), task: PhantomData }
    }

    option_methods!();

    /// Tries after the first. A later one skips the items that were handed out before.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.declared.retries = retries;
        self
    }

    /// Items that may wait for their consumer: 1 at the least.
    pub fn buffer(mut self, items: u32) -> Self {
        self.options.declared.buffer = items;
        self
    }

    /// Submits it. Never fails: an error is the stream's last item.
    pub fn remote(self) -> ObjectStream<T::Item>
    where
        T::Args: Clone + Sync,
    {
        if self.options.is_plain() {
            plain::submit::<T, S>(self.slots, self.options.declared.buffer)
        } else {
            leased::submit::<T, S>(self.slots, self.options)
        }
    }
}
