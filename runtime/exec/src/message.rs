//! The messages of a mailbox: calls of methods, as jobs that its runner runs.

use crate::args::Args;
use crate::cell::{Env, Header, Job};
use crate::future::{Unwatched, launch};
use crate::mailbox::Inner;
use crate::method::{AsyncMethod, BoxFuture, Method, Receiver};
use crate::outcome::{Fault, Outcome, panicked};
use crate::promise::{Named, Promise};
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

/// A job that the runner of a mailbox with state `S` runs, with the mailbox as `env`.
///
/// # Safety
/// `args` points into `this`.
pub(crate) unsafe trait Message<S>: Job {
    type Args: Args;

    /// # Safety
    /// `this` is valid.
    unsafe fn args(this: *mut Self) -> *mut Self::Args;
}

pub(crate) struct Call<S, A, M> {
    pub(crate) args: A,
    pub(crate) method: M,
    pub(crate) state: PhantomData<fn(S)>,
}

// SAFETY: `env` is the `Inner<S>` whose runner runs this.
unsafe impl<S: Send + Sync + 'static, A: Args, M: Method<S, A>> Job for Call<S, A, M> {
    type Outcome = M::Outcome;
    const NAME: &'static str = M::NAME;
    const EXCLUSIVE: bool = M::Receiver::EXCLUSIVE;

    unsafe fn run(self, env: Env) -> M::Outcome {
        // SAFETY: by the caller.
        let inner = unsafe { &*env.cast::<Inner<S>>() };
        // SAFETY: the runner waits for this call, or counts it.
        let call = || self.method.call(unsafe { inner.actor::<M::Receiver>() }, self.args);
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
            inner.crash(M::NAME, &*payload);
            panicked(M::NAME, payload)
        })
    }

    unsafe fn ready(_: *mut Self, _: NonNull<Header>) {
        unreachable!("a message without awaited arguments is queued when it is sent");
    }
}

// SAFETY: a field.
unsafe impl<S: Send + Sync + 'static, A: Args, M: Method<S, A>> Message<S> for Call<S, A, M> {
    type Args = A;

    unsafe fn args(this: *mut Self) -> *mut A {
        // SAFETY: by the caller, `this` is valid.
        unsafe { &raw mut (*this).args }
    }
}

pub(crate) struct AsyncCall<S, A, M: AsyncMethod<S, A>> {
    pub(crate) args: A,
    pub(crate) method: M,
    pub(crate) promise: Promise<M::Outcome>,
    pub(crate) state: PhantomData<fn(S)>,
}

/// The name of a method, for its promises.
pub(crate) struct MethodName<S, A, M>(PhantomData<Types<S, A, M>>);

type Types<S, A, M> = fn() -> (S, A, M);

impl<S: 'static, A: 'static, M: AsyncMethod<S, A>> Named for MethodName<S, A, M> {
    const NAME: &'static str = M::NAME;
}

// SAFETY: `env` is the `Inner<S>` whose runner runs this.
unsafe impl<S: Send + Sync + 'static, A: Args, M: AsyncMethod<S, A>> Job for AsyncCall<S, A, M> {
    type Outcome = Unwatched;
    const NAME: &'static str = M::NAME;
    const EXCLUSIVE: bool = M::Receiver::EXCLUSIVE;

    unsafe fn run(self, env: Env) -> Unwatched {
        // SAFETY: by the caller, `env` is the inside of an `Arc`, of which this makes one more count.
        let inner = unsafe {
            Arc::increment_strong_count(env.cast::<Inner<S>>());
            Arc::from_raw(env.cast::<Inner<S>>())
        };
        inner.turn.start_method();
        inner.taken.store(Self::EXCLUSIVE, Ordering::SeqCst);
        let ended = Ended(inner.clone());
        let Self { args, method, promise, .. } = self;
        let future = async move {
            // Dropped last, when the future is done or was cancelled.
            let ended = ended;
            // SAFETY: the runner counts this method until `ended` is dropped.
            let actor = unsafe { ended.0.actor::<M::Receiver>() };
            let call = crash_if_it_panics(&*ended.0, M::NAME, || method.call(actor, args));
            Watched { inner: &*ended.0, name: M::NAME, call }.await
        };
        launch::<MethodName<S, A, M>, M::Outcome>(inner.pool, promise, Box::pin(future));
        Unwatched
    }

    fn fail(self, fault: Fault) -> Unwatched {
        self.promise.complete(M::Outcome::from_fault(M::NAME, fault));
        Unwatched
    }

    unsafe fn ready(_: *mut Self, _: NonNull<Header>) {
        unreachable!("a message without awaited arguments is queued when it is sent");
    }
}

// SAFETY: a field.
unsafe impl<S: Send + Sync + 'static, A: Args, M: AsyncMethod<S, A>> Message<S> for AsyncCall<S, A, M> {
    type Args = A;

    unsafe fn args(this: *mut Self) -> *mut A {
        // SAFETY: by the caller, `this` is valid.
        unsafe { &raw mut (*this).args }
    }
}

/// Ends an asynchronous method in its mailbox when dropped.
struct Ended<S: Send + Sync + 'static>(Arc<Inner<S>>);

impl<S: Send + Sync + 'static> Drop for Ended<S> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::SeqCst);
        self.0.end_method();
    }
}

/// Runs a part of an asynchronous method; a panic pauses the mailbox before it goes on.
fn crash_if_it_panics<S: Send + Sync + 'static, T>(inner: &Inner<S>, name: &'static str, f: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        inner.crash(name, &*payload);
        std::panic::resume_unwind(payload)
    })
}

/// The future of an asynchronous method.
struct Watched<'a, S, O> {
    inner: &'a Inner<S>,
    name: &'static str,
    call: BoxFuture<'a, O>,
}

impl<S: Send + Sync + 'static, O> Future for Watched<'_, S, O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<O> {
        let this = &mut *self;
        crash_if_it_panics(this.inner, this.name, || this.call.as_mut().poll(context))
    }
}

/// A message that waits for its arguments, or behind one that does.
pub(crate) struct Waiting<S, J> {
    pub(crate) inner: Arc<Inner<S>>,
    pub(crate) caller: u64,
    pub(crate) message: J,
}

// SAFETY: hands `env` on.
unsafe impl<S: Send + Sync + 'static, J: Message<S>> Job for Waiting<S, J> {
    type Outcome = J::Outcome;
    const NAME: &'static str = J::NAME;
    const EXCLUSIVE: bool = J::EXCLUSIVE;

    unsafe fn run(self, env: Env) -> J::Outcome {
        // SAFETY: by the caller.
        unsafe { self.message.run(env) }
    }

    fn fail(self, fault: Fault) -> J::Outcome {
        self.message.fail(fault)
    }

    unsafe fn ready(this: *mut Self, cell: NonNull<Header>) {
        // SAFETY: by the caller; what is needed is cloned before the message is delivered.
        let (inner, caller) = unsafe { ((*this).inner.clone(), (*this).caller) };
        inner.inbox.deliver(caller, cell);
        inner.call();
    }
}
