//! Futures on the pool: each poll is a job.

use crate::caller;
use crate::cell::calmly;
use crate::outcome::{Fault, Outcome, panicked};
use crate::pool::Pool;
use crate::promise::{CancelWatch, Named, Promise, promise};
use crate::task::Function;
use crate::worker::Worker;
use async_task::Runnable;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::handle::Handle;

/// Runs a future on the pool under the name of `N`. Cancelling the handle drops it at its next await point.
pub fn spawn<N: Named, O: Outcome>(pool: Pool, future: impl Future<Output = O> + Send + 'static) -> Handle<O> {
    let (promise, handle) = promise::<N, O>();
    launch::<N, O>(pool, promise, Box::pin(future));
    handle
}

/// As [`spawn`], for a promise that is there.
pub fn fulfil<N: Named, O: Outcome>(pool: Pool, promise: Promise<O>, future: impl Future<Output = O> + Send + 'static) {
    launch::<N, O>(pool, promise, Box::pin(future));
}

pub(crate) fn launch<N: Named, O: Outcome>(
    pool: Pool,
    promise: Promise<O>,
    future: Pin<Box<dyn Future<Output = O> + Send>>,
) {
    let caller = caller::fresh();
    // SAFETY: `Driven` takes it off the list before it lets go of the promise.
    unsafe { pool.shared().list_future(caller, promise.cell()) };
    let driven = Driven { pool, name: N::NAME, promise: Some(promise), watch: None, caller, future: Some(future) };
    let (runnable, task) = async_task::spawn(driven, move |runnable| {
        drop(pool.submit((), PollOnce::<N>(runnable, pool, PhantomData)));
    });
    task.detach();
    runnable.schedule();
}

/// A future with the promise that it fulfils.
///
/// Both are there until it ends; as long as the promise is, it is on the pool's list (FUTURE-1).
struct Driven<O: Outcome> {
    pool: Pool,
    name: &'static str,
    promise: Option<Promise<O>>,
    watch: Option<CancelWatch>,
    caller: u64,
    future: Option<Pin<Box<dyn Future<Output = O> + Send>>>,
}

impl<O: Outcome> Driven<O> {
    /// Ends with `outcome`, or without one.
    fn end(&mut self, outcome: Option<O>) {
        let Some(promise) = self.promise.take() else { return };
        self.watch = None;
        self.pool.shared().unlist_future(self.caller);
        match outcome {
            Some(outcome) => drop(promise.complete(outcome)),
            None => drop(promise),
        }
        // The user's `drop` may panic, which `async_task` would make an abort.
        let future = self.future.take();
        calmly(|| drop(future));
    }
}

impl<O: Outcome> Drop for Driven<O> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl<O: Outcome> Future for Driven<O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let (Some(promise), Some(future)) = (&this.promise, &mut this.future) else { return Poll::Ready(()) };
        if !this.watch.as_ref().is_some_and(|watch| watch.update(context.waker())) {
            this.watch = promise.on_cancel(context.waker());
            if this.watch.is_none() {
                this.end(None);
                return Poll::Ready(());
            }
        }
        let polled = Worker::with_job(promise.cell(), this.caller, 0, || {
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)))
        });
        let outcome = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(payload) => panicked(this.name, payload),
        };
        this.end(Some(outcome));
        Poll::Ready(())
    }
}

/// The job that polls a future once.
struct PollOnce<N>(Runnable, Pool, PhantomData<fn() -> N>);

/// The outcome of a job that nobody waits for.
pub(crate) struct Unwatched;

impl Outcome for Unwatched {
    fn from_fault(_: &'static str, _: Fault) -> Self {
        Self
    }
}

impl<N: Named> Function<()> for PollOnce<N> {
    type Outcome = Unwatched;
    const NAME: &'static str = N::NAME;

    fn call(self, (): ()) -> Unwatched {
        let Self(runnable, pool, _) = self;
        let mut runnable = Some(runnable);
        (pool.options().poll_in)(&mut || {
            if let Some(runnable) = runnable.take() {
                runnable.run();
            }
        });
        Unwatched
    }
}
