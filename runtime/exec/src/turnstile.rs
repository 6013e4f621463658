//! The jobs by which a mailbox gets a pool's threads.

use crate::cell::{Env, Header, Job, JobCell};
use crate::future::Unwatched;
use crate::handle::Handle;
use crate::mailbox::Inner;
use crate::outcome::Fault;
use crate::pool::Pool;
use std::ptr::NonNull;
use std::sync::Arc;

/// Queues a job that nobody waits for.
pub(crate) fn queue<J: Job<Outcome = Unwatched>>(pool: &Pool, job: J) {
    pool.shared().queue(cell_of(job));
}

fn cell_of<J: Job<Outcome = Unwatched>>(job: J) -> NonNull<Header> {
    let cell = JobCell::allocate(job, 0);
    // SAFETY: the new cell's one handle, which nobody needs.
    drop(unsafe { Handle::<Unwatched>::from_cell(cell) });
    cell
}

/// The job that runs a mailbox's turn. Dropped unrun, it ends what waits there: the pool is shut down.
pub(crate) struct Turnstile<S: Send + Sync + 'static>(pub(crate) Option<Arc<Inner<S>>>);

// SAFETY: doesn't use `env`.
unsafe impl<S: Send + Sync + 'static> Job for Turnstile<S> {
    type Outcome = Unwatched;
    const NAME: &'static str = "mailbox";

    unsafe fn run(mut self, _: Env) -> Unwatched {
        if let Some(inner) = self.0.take() {
            inner.run_turn();
        }
        Unwatched
    }

    unsafe fn ready(_: *mut Self, _: NonNull<Header>) {
        unreachable!("queued when it is made");
    }
}

impl<S: Send + Sync + 'static> Drop for Turnstile<S> {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            inner.end_all();
        }
    }
}

/// The job that runs a method by `&` beside the runner. Dropped unrun, it ends the message.
pub(crate) struct Beside<S: Send + Sync + 'static> {
    pub(crate) inner: Arc<Inner<S>>,
    pub(crate) cell: Option<NonNull<Header>>,
}

// SAFETY: the cell is the executor's share, which may be used on any one thread.
unsafe impl<S: Send + Sync + 'static> Send for Beside<S> {}

// SAFETY: doesn't use `env`.
unsafe impl<S: Send + Sync + 'static> Job for Beside<S> {
    type Outcome = Unwatched;
    const NAME: &'static str = "mailbox";

    unsafe fn run(mut self, _: Env) -> Unwatched {
        if let Some(cell) = self.cell.take() {
            self.inner.run_method(cell);
        }
        Unwatched
    }

    unsafe fn ready(_: *mut Self, _: NonNull<Header>) {
        unreachable!("queued when it is made");
    }
}

impl<S: Send + Sync + 'static> Drop for Beside<S> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            self.inner.refuse(cell, Fault::Shutdown);
        }
        self.inner.end_method();
    }
}

/// The job that refuses what is queued in a closed mailbox, while its runner may be kept by a method. Dropped unrun, it
/// does the same: the pool is shut down.
pub(crate) struct Refusal<S: Send + Sync + 'static>(pub(crate) Arc<Inner<S>>);

// SAFETY: doesn't use `env`.
unsafe impl<S: Send + Sync + 'static> Job for Refusal<S> {
    type Outcome = Unwatched;
    const NAME: &'static str = "mailbox";

    unsafe fn run(self, _: Env) -> Unwatched {
        Unwatched
    }

    unsafe fn ready(_: *mut Self, _: NonNull<Header>) {
        unreachable!("queued when it is made");
    }
}

impl<S: Send + Sync + 'static> Drop for Refusal<S> {
    fn drop(&mut self) {
        self.0.refuse_queued();
    }
}
