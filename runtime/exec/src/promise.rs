//! A cell that is completed by whoever holds the promise, not by the pool.

use crate::cell::{self, Env, Header, Job, JobCell, complete};
use crate::handle::Handle;
use crate::hub::{self, Subscription};
use crate::outcome::{Fault, Outcome};
use crate::worker::Worker;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::task::Waker;

/// What a cell without a function of its own is called in errors and logs.
pub trait Named: 'static {
    /// The name.
    const NAME: &'static str;
}

/// The duty to complete a cell. Dropped, it completes it with [`Fault::Dropped`].
pub struct Promise<O: Outcome> {
    /// A promise isn't counted as a handle: it is the executor's share. Reading through it makes no outcome public.
    cell: NonNull<Header>,
    outcome: PhantomData<fn(O)>,
}

/// The job of a cell that has none.
struct NoJob<N, O>(PhantomData<fn() -> (N, O)>);

// SAFETY: never runs.
unsafe impl<N: Named, O: Outcome> Job for NoJob<N, O> {
    type Outcome = O;
    const NAME: &'static str = N::NAME;

    unsafe fn run(self, _: Env) -> O {
        unreachable!("a promised cell is never queued");
    }

    unsafe fn ready(_: *mut Self, _: NonNull<Header>) {
        unreachable!("a promised cell has no dependencies");
    }
}

// SAFETY: a promise is used by one thread at a time, and moves an `O`, which is `Send`, into the cell.
unsafe impl<O: Outcome> Send for Promise<O> {}
// SAFETY: by reference it reads atomics only.
unsafe impl<O: Outcome> Sync for Promise<O> {}

/// A cell to be completed later, under the name of `N`.
pub fn promise<N: Named, O: Outcome>() -> (Promise<O>, Handle<O>) {
    let cell = JobCell::<NoJob<N, O>>::promised();
    // SAFETY: the new cell's one handle.
    (Promise { cell, outcome: PhantomData }, unsafe { Handle::from_cell(cell) })
}

/// A cell that is done with `outcome`, under the name of `N`.
pub fn done<N: Named, O: Outcome>(outcome: O) -> Handle<O> {
    // SAFETY: the new cell's one handle.
    unsafe { Handle::from_cell(JobCell::<NoJob<N, O>>::done(outcome)) }
}

impl<O: Outcome> Promise<O> {
    /// Completes the cell; `false` where it was cancelled first, and the outcome is dropped.
    pub fn complete(self, outcome: O) -> bool {
        let cell = self.cell;
        std::mem::forget(self);
        Worker::forget_job(cell);
        // SAFETY: the promise is the executor's share of the cell, and ends here; with the claim, this thread alone
        // completes it; the body holds nothing yet.
        unsafe {
            let won = cell.as_ref().claim.start();
            if won {
                complete(cell, outcome)
            } else {
                cell::let_go(cell)
            }
            won
        }
    }

    /// Whether the cell was cancelled, so that its outcome isn't wanted any more.
    pub fn is_cancelled(&self) -> bool {
        self.header().claim.is_cancelled()
    }

    /// Asks for `waker` to be woken when the cell is cancelled; `None` where it is.
    pub fn on_cancel(&self, waker: &Waker) -> Option<CancelWatch> {
        self.header().retain();
        // SAFETY: counted by the line above.
        let handle = unsafe { Handle::<O>::from_cell(self.cell) };
        hub::subscribe(&handle, waker).map(CancelWatch)
    }

    pub(crate) fn cell(&self) -> NonNull<Header> {
        self.cell
    }

    fn header(&self) -> &Header {
        // SAFETY: the executor's share keeps the cell until it is done, and `HELD` beyond that.
        unsafe { self.cell.as_ref() }
    }
}

/// A waker's place among those who hear of a cancellation; leaves when dropped.
pub struct CancelWatch(Subscription);

impl CancelWatch {
    /// Replaces the waker; `false` where it was woken already.
    pub fn update(&self, waker: &Waker) -> bool {
        self.0.update(waker)
    }
}

impl<O: Outcome> Drop for Promise<O> {
    fn drop(&mut self) {
        Worker::forget_job(self.cell);
        // SAFETY: as for `complete`.
        unsafe { cell::fail(self.cell, Fault::Dropped) };
    }
}
