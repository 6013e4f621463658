//! Tasks: functions that run once on the pool, when their arguments are there.

use crate::args::{Args, count_off};
use crate::cell::{Env, Header, Job, JobCell};
use crate::handle::Handle;
use crate::outcome::Outcome;
use crate::pool::Pool;
use std::ptr::NonNull;

/// A function that can be submitted: `A` is its list of arguments.
pub trait Function<A>: Send + 'static {
    /// What it ends with.
    type Outcome: Outcome;
    /// Its name in errors and logs.
    const NAME: &'static str;

    /// Runs it. A panic becomes [`Fault::Panicked`](crate::Fault::Panicked).
    fn call(self, args: A) -> Self::Outcome;
}

/// A task whose arguments are all here: nothing in its cell but them and the function.
struct Task<A, F> {
    args: A,
    function: F,
}

/// A task that waits for arguments.
struct WaitingTask<A, F> {
    pool: Pool,
    task: Task<A, F>,
}

// SAFETY: doesn't use `env`.
unsafe impl<A: Args, F: Function<A>> Job for Task<A, F> {
    type Outcome = F::Outcome;
    const NAME: &'static str = F::NAME;

    #[inline]
    unsafe fn run(self, _: Env) -> F::Outcome {
        self.function.call(self.args)
    }

    unsafe fn ready(_: *mut Self, _: NonNull<Header>) {
        unreachable!("a task without awaited arguments is queued when it is submitted");
    }
}

// SAFETY: doesn't use `env`.
unsafe impl<A: Args, F: Function<A>> Job for WaitingTask<A, F> {
    type Outcome = F::Outcome;
    const NAME: &'static str = F::NAME;

    unsafe fn run(self, _: Env) -> F::Outcome {
        self.task.function.call(self.task.args)
    }

    unsafe fn ready(this: *mut Self, cell: NonNull<Header>) {
        // SAFETY: by the caller, the job is there; the pool's share of the cell goes to its queue.
        unsafe { (*this).pool.shared().queue(cell) };
    }
}

impl Pool {
    /// Submits a task; it runs when its awaited arguments are there.
    ///
    /// Never fails: a pool that is shut down gives the outcome of [`Fault::Shutdown`](crate::Fault::Shutdown).
    #[inline]
    pub fn submit<A: Args, F: Function<A>>(&self, args: A, function: F) -> Handle<F::Outcome> {
        let task = Task { args, function };
        if A::AWAITED == 0 {
            let cell = JobCell::allocate(task, 0);
            // SAFETY: the new cell's one handle.
            let handle = unsafe { Handle::from_cell(cell) };
            self.shared().queue(cell);
            return handle;
        }
        submit_waiting(WaitingTask { pool: *self, task })
    }

    /// Submits a task that goes before all that is queued.
    pub fn submit_urgent<F: Function<()>>(&self, function: F) -> Handle<F::Outcome> {
        let cell = JobCell::allocate(Task { args: (), function }, 0);
        // SAFETY: the new cell's one handle.
        let handle = unsafe { Handle::from_cell(cell) };
        self.shared().queue_urgent(cell);
        handle
    }
}

fn submit_waiting<A: Args, F: Function<A>>(task: WaitingTask<A, F>) -> Handle<F::Outcome> {
    let cell = JobCell::allocate(task, A::AWAITED + 1);
    // SAFETY: the new cell's one handle.
    let handle = unsafe { Handle::from_cell(cell) };
    // SAFETY: the count for the set-up keeps the cell from starting until the last line.
    unsafe {
        let job = JobCell::<WaitingTask<A, F>>::job(cell);
        let ready = A::link(&raw mut (*job).task.args, cell.cast());
        count_off(cell, ready + 1);
    }
    handle
}
