//! The arguments of a job: values that are here, and outcomes of other jobs that it waits for.

use crate::cell::Header;
use crate::handle::Handle;
use crate::sync::Ordering;
use crate::waiter::Waiter;
use std::cell::Cell;
use std::ptr::NonNull;

/// A list of arguments: `()`, or a [`Slot`] and the rest of the list.
///
/// Sealed: linking relies on the arguments staying where they are in the cell.
pub trait Args: Send + 'static + sealed::Link {}

/// An argument that is here.
pub struct Ready<T>(pub T);

/// An argument that is another job's outcome; the job starts once it is there.
pub struct Awaited<O> {
    dependency: Dependency,
    handle: Handle<O>,
}

/// The node by which a cell waits for another.
#[repr(C)]
struct Dependency {
    waiter: Waiter,
    dependent: Cell<NonNull<Header>>,
}

// SAFETY: a dependency is touched by the thread that links it, then by the one that fires it, ordered by the state
// word; the pointers in it aren't followed by anybody else.
unsafe impl Send for Dependency {}

pub(crate) mod sealed {
    use super::{Header, NonNull};

    /// How arguments are linked to the cells that they wait for.
    pub trait Link {
        /// How many arguments are awaited.
        const AWAITED: u32;

        /// Registers each awaited argument; returns how many are ready already.
        ///
        /// # Safety
        /// `this` is valid, part of the cell `dependent`, and stays where it is until all dependencies fired.
        #[doc(hidden)]
        unsafe fn link(this: *mut Self, dependent: NonNull<()>) -> u32;
    }

    /// The same for one argument.
    pub trait LinkOne {
        /// Whether it is awaited: 0 or 1.
        const AWAITED: u32;

        /// # Safety
        /// As for [`Link::link`].
        #[doc(hidden)]
        unsafe fn link_one(this: *mut Self, dependent: NonNull<()>) -> u32;
    }

    pub(crate) fn cell_of(dependent: NonNull<()>) -> NonNull<Header> {
        dependent.cast()
    }
}

impl<O> Awaited<O> {
    /// Waits for the outcome behind `handle`.
    pub fn new(handle: Handle<O>) -> Self {
        let dependent = Cell::new(handle.cell());
        Self { dependency: Dependency { waiter: Waiter::new(fire), dependent }, handle }
    }

    /// Whether the outcome is there already.
    pub fn is_done(&self) -> bool {
        self.handle.is_done()
    }

    /// The handle, whose job is done once the job that has this argument runs.
    pub fn into_handle(self) -> Handle<O> {
        self.handle
    }
}

/// The awaited cell is done: counts it off, and queues the dependent with the last one.
unsafe fn fire(waiter: NonNull<Waiter>) {
    // SAFETY: `Dependency` begins with its waiter, which was registered by `link`; the cell that waits lives at least
    // until all its dependencies are counted off, and isn't touched after that.
    unsafe {
        let cell = waiter.cast::<Dependency>().as_ref().dependent.get();
        count_off(cell, 1);
    }
}

/// Counts off `ready` dependencies of a cell, and queues it with the last one.
///
/// # Safety
/// The caller owns that many counts of `cell`'s pending ones.
pub(crate) unsafe fn count_off(cell: NonNull<Header>, ready: u32) {
    // SAFETY: by the caller, the cell can't start, and so can't be gone, before this.
    unsafe {
        if cell.as_ref().pending.fetch_sub(ready, Ordering::AcqRel) == ready {
            (cell.as_ref().vtable.ready)(cell);
        }
    }
}

/// One argument: [`Ready`] or [`Awaited`]. Sealed, as `Args` is.
pub trait Slot: Send + 'static + sealed::LinkOne {}

impl<T: Send + 'static> Slot for Ready<T> {}

impl<T: Send + 'static> sealed::LinkOne for Ready<T> {
    const AWAITED: u32 = 0;

    unsafe fn link_one(_: *mut Self, _: NonNull<()>) -> u32 {
        0
    }
}

impl<O: Send + Sync + 'static> Slot for Awaited<O> {}

impl<O: Send + Sync + 'static> sealed::LinkOne for Awaited<O> {
    const AWAITED: u32 = 1;

    unsafe fn link_one(this: *mut Self, dependent: NonNull<()>) -> u32 {
        // SAFETY: by the caller, `this` is valid and stays in place until its node fires; nobody else reaches the
        // node before it is registered, and afterwards it is only read.
        unsafe {
            let dependency = &raw mut (*this).dependency;
            (*dependency).dependent.set(sealed::cell_of(dependent));
            u32::from(!(*this).handle.header().state.register(dependency.cast()))
        }
    }
}

impl Args for () {}

impl sealed::Link for () {
    const AWAITED: u32 = 0;

    unsafe fn link(_: *mut Self, _: NonNull<()>) -> u32 {
        0
    }
}

impl<First: Slot, Rest: Args> Args for (First, Rest) {}

impl<First: Slot, Rest: Args> sealed::Link for (First, Rest) {
    const AWAITED: u32 = First::AWAITED + Rest::AWAITED;

    unsafe fn link(this: *mut Self, dependent: NonNull<()>) -> u32 {
        // SAFETY: by the caller.
        unsafe { First::link_one(&raw mut (*this).0, dependent) + Rest::link(&raw mut (*this).1, dependent) }
    }
}
