//! The arguments of a job: values that are here, and outcomes of other jobs that it waits for.

use crate::cell::Header;
use crate::handle::Handle;
use crate::sync::Ordering;
use crate::waiter::Waiter;
use std::cell::Cell;
use std::ptr::NonNull;

/// A list of arguments: `()`, or a [`Ready`] or [`Awaited`] argument and the rest of the list.
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

impl Args for () {}

impl sealed::Link for () {
    const AWAITED: u32 = 0;

    unsafe fn link(_: *mut Self, _: NonNull<()>) -> u32 {
        0
    }
}

impl<T: Send + 'static, Rest: Args> Args for (Ready<T>, Rest) {}

impl<T: Send + 'static, Rest: Args> sealed::Link for (Ready<T>, Rest) {
    const AWAITED: u32 = Rest::AWAITED;

    unsafe fn link(this: *mut Self, dependent: NonNull<()>) -> u32 {
        // SAFETY: by the caller.
        unsafe { Rest::link(&raw mut (*this).1, dependent) }
    }
}

impl<O: Send + Sync + 'static, Rest: Args> Args for (Awaited<O>, Rest) {}

impl<O: Send + Sync + 'static, Rest: Args> sealed::Link for (Awaited<O>, Rest) {
    const AWAITED: u32 = Rest::AWAITED + 1;

    unsafe fn link(this: *mut Self, dependent: NonNull<()>) -> u32 {
        // SAFETY: by the caller, `this` is valid and stays in place until its node fires; nobody else reaches the
        // node before it is registered, and afterwards it is only read.
        unsafe {
            let dependency = &raw mut (*this).0.dependency;
            (*dependency).dependent.set(sealed::cell_of(dependent));
            let waits = (*this).0.handle.header().state.register(dependency.cast());
            u32::from(!waits) + Rest::link(&raw mut (*this).1, dependent)
        }
    }
}
