//! What waits for a cell: a node of the intrusive list in its state word.

use std::cell::Cell;
use std::ptr::NonNull;

/// Head of every kind of waiter; the kind's own data follow it in memory.
///
/// Aligned to 8, so that the low three bits of its address are free for the state word.
#[repr(C, align(8))]
pub(crate) struct Waiter {
    pub(crate) next: Cell<*mut Waiter>,
    fire: unsafe fn(NonNull<Waiter>),
}

impl Waiter {
    /// `fire` is called once, when the cell is done, with a pointer to this very waiter, which it may free.
    pub(crate) const fn new(fire: unsafe fn(NonNull<Waiter>)) -> Self {
        Self { next: Cell::new(std::ptr::null_mut()), fire }
    }

    /// Fires a whole list.
    ///
    /// # Safety
    /// `head` is what `State::complete` handed out, and is fired once.
    #[inline]
    pub(crate) unsafe fn fire_all(head: *mut Waiter) {
        let mut at = head;
        while let Some(waiter) = NonNull::new(at) {
            // SAFETY: CELL-2: each node of the list is valid until fired, and this is the only firing. `next` is read
            // first, because firing may free the node.
            unsafe {
                at = waiter.as_ref().next.get();
                (waiter.as_ref().fire)(waiter);
            }
        }
    }
}
