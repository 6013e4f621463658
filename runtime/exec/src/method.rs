//! Methods: functions that a mailbox runs on its actor's state.

use crate::outcome::Outcome;
use std::future::Future;
use std::pin::Pin;

/// How a method takes its actor: by `&mut`, alone, or by `&`, beside others of its kind. Sealed.
pub trait Receiver: sealed::Sealed + 'static {
    /// Whether it needs the actor for itself.
    const EXCLUSIVE: bool;
    /// What it gets.
    type Of<'a, S: 'a>;

    /// # Safety
    /// `state` is valid for `'a`, and used by nobody else if `EXCLUSIVE`, or else by nobody exclusively.
    #[doc(hidden)]
    unsafe fn of<'a, S>(state: *mut S) -> Self::Of<'a, S>;
}

/// Takes the actor by `&mut`.
pub struct ByMut;

/// Takes the actor by `&`.
pub struct ByRef;

/// A method of actors with state `S`: `A` is its list of arguments.
pub trait Method<S, A>: Send + 'static {
    /// How it takes the actor.
    type Receiver: Receiver;
    /// What it ends with.
    type Outcome: Outcome;
    /// Its name in errors and logs.
    const NAME: &'static str;

    /// Runs it. A panic becomes [`Fault::Panicked`](crate::Fault::Panicked), and pauses the actor.
    fn call(self, actor: <Self::Receiver as Receiver>::Of<'_, S>, args: A) -> Self::Outcome;
}

/// A boxed future that borrows its actor.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A method that may await.
pub trait AsyncMethod<S, A>: Send + 'static {
    /// How it takes the actor, which it holds across its await points.
    type Receiver: Receiver;
    /// What it ends with.
    type Outcome: Outcome;
    /// Its name in errors and logs.
    const NAME: &'static str;

    /// The future that runs it.
    fn call<'a>(self, actor: <Self::Receiver as Receiver>::Of<'a, S>, args: A) -> BoxFuture<'a, Self::Outcome>;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for ByMut {}
impl sealed::Sealed for ByRef {}

impl Receiver for ByMut {
    const EXCLUSIVE: bool = true;
    type Of<'a, S: 'a> = &'a mut S;

    unsafe fn of<'a, S>(state: *mut S) -> &'a mut S {
        // SAFETY: by the caller.
        unsafe { &mut *state }
    }
}

impl Receiver for ByRef {
    const EXCLUSIVE: bool = false;
    type Of<'a, S: 'a> = &'a S;

    unsafe fn of<'a, S>(state: *mut S) -> &'a S {
        // SAFETY: by the caller.
        unsafe { &*state }
    }
}
