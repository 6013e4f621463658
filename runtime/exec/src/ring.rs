//! The growing ring of pointers below [`Deque`](crate::deque::Deque) and [`Outbox`](crate::outbox::Outbox).

use crate::sync::{AtomicPtr, Ordering};
use std::sync::Mutex;

/// A power-of-two array of pointers, indexed by ever-growing positions.
pub(crate) struct Ring<T> {
    slots: Box<[AtomicPtr<T>]>,
}

impl<T> Ring<T> {
    pub(crate) fn with_capacity(capacity: usize) -> Box<Self> {
        debug_assert!(capacity.is_power_of_two());
        Box::new(Self { slots: (0..capacity).map(|_| AtomicPtr::new(std::ptr::null_mut())).collect() })
    }

    pub(crate) fn capacity(&self) -> isize {
        self.slots.len() as isize
    }

    #[inline]
    fn slot(&self, position: isize) -> &AtomicPtr<T> {
        &self.slots[position as usize & (self.slots.len() - 1)]
    }

    #[inline]
    pub(crate) fn get(&self, position: isize) -> *mut T {
        self.slot(position).load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, position: isize, item: *mut T) {
        self.slot(position).store(item, Ordering::Relaxed);
    }

    /// A ring of twice the capacity with the items of `front..back` at the same positions.
    fn doubled(&self, front: isize, back: isize) -> Box<Self> {
        let larger = Self::with_capacity(self.slots.len() * 2);
        for position in front..back {
            larger.set(position, self.get(position));
        }
        larger
    }
}

/// The current ring, which its owner replaces by a larger one when it is full.
///
/// A thief may still read a replaced ring, so old rings live until the queue goes; together they are smaller than the
/// last one.
pub(crate) struct Rings<T> {
    current: AtomicPtr<Ring<T>>,
    /// All rings there have been. Raw pointers, as a `Box` that is moved takes the right to read from those who have its
    /// address.
    all: Mutex<Vec<*mut Ring<T>>>,
}

impl<T> Rings<T> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let first = Box::into_raw(Ring::with_capacity(capacity));
        Self { current: AtomicPtr::new(first), all: Mutex::new(vec![first]) }
    }

    #[inline]
    pub(crate) fn current(&self) -> &Ring<T> {
        // SAFETY: every ring lives until `self` is dropped, and is only read through shared references.
        unsafe { &*self.current.load(Ordering::Acquire) }
    }

    /// Replaces the ring by one of twice the capacity. Only the owner of the queue calls this.
    #[cold]
    pub(crate) fn grow(&self, front: isize, back: isize) -> &Ring<T> {
        let larger = Box::into_raw(self.current().doubled(front, back));
        self.all.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(larger);
        self.current.store(larger, Ordering::Release);
        self.current()
    }
}

impl<T> Drop for Rings<T> {
    fn drop(&mut self) {
        for ring in self.all.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()).drain(..) {
            // SAFETY: made by `Box::into_raw`, kept here once, and no thief is left.
            drop(unsafe { Box::from_raw(ring) });
        }
    }
}
