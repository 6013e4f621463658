//! Futures on the pool: each poll is a job.

use crate::caller;
use crate::outcome::{Fault, Outcome};
use crate::pool::Pool;
use crate::promise::{CancelWatch, Named, Promise, promise};
use crate::task::Function;
use crate::worker::Worker;
use async_task::Runnable;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::PoisonError;
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
    let listed = Listed { pool, key: caller };
    pool.shared().futures.lock().unwrap_or_else(PoisonError::into_inner).insert(caller, promise.share());
    let driven = Driven { name: N::NAME, promise: Some(promise), watch: None, caller, future, _listed: listed };
    let (runnable, task) = async_task::spawn(driven, move |runnable| {
        drop(pool.submit((), PollOnce::<N>(runnable, pool, PhantomData)));
    });
    task.detach();
    runnable.schedule();
}

/// A future with the promise that it fulfils.
struct Driven<O: Outcome> {
    name: &'static str,
    promise: Option<Promise<O>>,
    watch: Option<CancelWatch>,
    caller: u64,
    future: Pin<Box<dyn Future<Output = O> + Send>>,
    _listed: Listed,
}

/// A future's place on the list of those that a shutdown cancels: what it waits for may keep it for ever.
struct Listed {
    pool: Pool,
    key: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut futures = self.pool.shared().futures.lock().unwrap_or_else(PoisonError::into_inner);
        let share = futures.remove(&self.key);
        drop(futures);
        drop(share);
    }
}

impl<O: Outcome> Future for Driven<O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(promise) = &this.promise else { return Poll::Ready(()) };
        if !this.watch.as_ref().is_some_and(|watch| watch.update(context.waker())) {
            this.watch = promise.on_cancel(context.waker());
            if this.watch.is_none() {
                return Poll::Ready(());
            }
        }
        let (future, name) = (&mut this.future, this.name);
        let polled = Worker::with_job(promise.cell(), this.caller, || {
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)))
        });
        let outcome = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(payload) => O::from_fault(name, Fault::Panicked(payload)),
        };
        this.watch = None;
        if let Some(promise) = this.promise.take() {
            promise.complete(outcome);
        }
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
