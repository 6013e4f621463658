//! A value that is published for all threads, and may be replaced by another, but never goes.

use std::sync::atomic::{AtomicPtr, Ordering};

/// The last value that was published, if any. Reading it is one load. A value that was replaced is never freed, as a
/// reader may still hold it: publish rarely, and small values.
#[derive(Debug)]
pub struct Published<T: Send + Sync + 'static>(AtomicPtr<T>);

impl<T: Send + Sync + 'static> Published<T> {
    /// Nothing yet.
    pub const fn nothing() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Publishes `value`, in place of the one before.
    pub fn publish(&self, value: T) -> &'static T {
        let value = Box::leak(Box::new(value));
        self.0.store(value, Ordering::Release);
        value
    }

    /// The last value.
    #[inline]
    pub fn get(&self) -> Option<&'static T> {
        // SAFETY: only pointers to leaked values are stored, and nobody has them by `&mut`.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_last_value_and_keeps_the_first() {
        let published = Published::<i32>::nothing();
        assert_eq!(published.get(), None);
        let first = published.publish(1);
        assert_eq!(published.get(), Some(&1));
        published.publish(2);
        assert_eq!((first, published.get()), (&1, Some(&2)));
    }
}
