//! What a mailbox has the pool do: run its turn, run a method beside that, refuse what is queued.

use super::Inner;
use crate::cell::{Env, Header, Job};
use crate::future::Unwatched;
use crate::outcome::Fault;
use std::ptr::NonNull;
use std::sync::Arc;

/// The job that runs a mailbox's turn. Dropped unrun, it ends what waits there: the pool is shut down.
pub(super) struct Turnstile<S: Send + Sync + 'static>(pub(super) Option<Arc<Inner<S>>>);

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

/// The job that refuses what is queued in a mailbox that closes; dropped unrun, too.
pub(super) struct Refusal<S: Send + Sync + 'static>(pub(super) Arc<Inner<S>>);

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
        self.0.refuse_ready();
    }
}

/// The job that runs a method by `&` beside the runner. Dropped unrun, it ends the message.
pub(super) struct Beside<S: Send + Sync + 'static> {
    inner: Arc<Inner<S>>,
    cell: Option<NonNull<Header>>,
}

impl<S: Send + Sync + 'static> Beside<S> {
    /// `cell` is a message that was taken from the inbox, and is counted as a method that goes on.
    pub(super) fn new(inner: Arc<Inner<S>>, cell: NonNull<Header>) -> Self {
        Self { inner, cell: Some(cell) }
    }
}

// SAFETY: the cell is the executor's share, which may be used on any one thread.
unsafe impl<S: Send + Sync + 'static> Send for Beside<S> {}

// SAFETY: doesn't use `env`.
unsafe impl<S: Send + Sync + 'static> Job for Beside<S> {
    type Outcome = Unwatched;
    const NAME: &'static str = "mailbox";

    unsafe fn run(mut self, _: Env) -> Unwatched {
        if let Some(cell) = self.cell.take() {
            self.inner.run_method(cell, 0);
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
