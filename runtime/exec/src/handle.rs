//! A counted reference to a cell: how the outcome is read.

use crate::cell::{self, Header};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A reference to the outcome, of type `O`, of a job that is queued, runs, or is done.
///
/// Eight bytes; cloning counts. The job runs whether or not a handle is left.
pub struct Handle<O> {
    cell: NonNull<Header>,
    outcome: PhantomData<O>,
}

/// The cell was cancelled before it started, so there is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

// SAFETY: handles share one outcome by reference and one of them drops it, on any thread; the header is atomic, or
// guarded by the claim.
unsafe impl<O: Send + Sync> Send for Handle<O> {}
// SAFETY: as above.
unsafe impl<O: Send + Sync> Sync for Handle<O> {}

impl<O> Handle<O> {
    /// # Safety
    /// The caller hands over one counted handle of a cell whose outcome is of type `O`.
    #[inline]
    pub(crate) unsafe fn from_cell(cell: NonNull<Header>) -> Self {
        Self { cell, outcome: PhantomData }
    }

    #[inline]
    pub(crate) fn cell(&self) -> NonNull<Header> {
        self.cell
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: this handle keeps the cell.
        unsafe { self.cell.as_ref() }
    }

    /// The name of the job.
    pub fn name(&self) -> &'static str {
        self.header().vtable.name
    }

    /// Whether `outcome` has an answer.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.header().state.is_done()
    }

    /// The outcome, if the job is done.
    ///
    /// # Errors
    /// `Cancelled` where it was cancelled before it started.
    #[inline]
    pub fn outcome(&self) -> Option<Result<&O, Cancelled>> {
        if !self.is_done() {
            return None;
        }
        // SAFETY: the cell is done, its outcome is an `O` by construction, and `self` keeps it.
        Some(unsafe { Header::outcome(self.cell) }.ok_or(Cancelled))
    }

    /// Moves the outcome out where the job is done and this is its only handle; gives the handle back otherwise.
    ///
    /// # Errors
    /// The handle itself, where the outcome isn't there or isn't this handle's alone.
    pub fn try_take(self) -> Result<O, Self> {
        if !self.is_done() {
            return Err(self);
        }
        // SAFETY: the cell is done, and `self`, if it is the only handle, is dropped right after.
        unsafe { Header::take_outcome(self.cell) }.ok_or(self)
    }

    /// Cancels the job: one that hasn't started never does, and is done at once; one that runs is told so.
    pub fn cancel(&self) {
        // SAFETY: `self` keeps the cell.
        unsafe { cell::cancel(self.cell) };
    }
}

impl<O> Clone for Handle<O> {
    #[inline]
    fn clone(&self) -> Self {
        self.header().retain();
        Self { cell: self.cell, outcome: PhantomData }
    }
}

impl<O> Drop for Handle<O> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this handle is counted once.
        unsafe { cell::drop_handle(self.cell) };
    }
}

impl<O> std::fmt::Debug for Handle<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.is_done() { "done" } else { "pending" };
        write!(f, "Handle({}, {state})", self.name())
    }
}
