//! Calls of methods: messages to the actor's mailbox.

use super::host::Life;
use super::{Actor, ActorRef, Body, Keep, Place, kept_unless};
use crate::arg::{ArgList, Slots};
use crate::context::{Assigned, assigned};
use crate::data::Data;
use crate::error::Result;
use crate::object::{ObjectRef, Outcome};
use crate::runtime;
use crate::task::Unwatched;
use rayline_exec::{AsyncMethod, BoxFuture, ByMut, ByRef, Method, Receiver};
use std::sync::Arc;

/// What keeps the actor of a call that waits for its arguments: it is to run though nobody refers to the actor any more.
pub(super) type Kept<A> = Option<Arc<Keep<A>>>;

/// Declares the trait of one kind of method, what runs it, and the function that sends it.
macro_rules! method_kind {
    ($(#[$doc:meta])* $kind:ident, $send:ident, $runner:ident, $receiver:ty, $is_exclusive:literal) => {
        $(#[$doc])*
        #[doc(hidden)]
        pub trait $kind: Send + Sync + 'static {
            type Actor: Actor;
            type Args: ArgList + Clone + Sync;
            type Output: Data;
            const NAME: &'static str;

            fn call(actor: $receiver, args: Self::Args) -> Result<Self::Output>;
        }

        struct $runner<M: $kind>(Kept<M::Actor>);

        #[doc(hidden)]
        pub fn $send<M: $kind, S: Slots<Args = M::Args>>(
            actor: &ActorRef<M::Actor>,
            slots: S,
        ) -> ObjectRef<M::Output> {
            match actor.place() {
                Place::Known { body: Body::Here(cell), keep } => {
                    let runner = $runner::<M>(kept_unless(keep, S::READY));
                    ObjectRef::from_handle(cell.mailbox().send(slots, runner))
                }
                Place::Known { body: Body::Apart(proxy), keep } => {
                    let kept = Box::new(kept_unless(keep, S::READY));
                    proxy.send::<M, _, _>(slots, M::NAME, ($is_exclusive, kept))
                }
                Place::Away(away) => away.send::<M, _, _>(slots, M::NAME),
            }
        }
    };
}

method_kind!(
    /// A method by `&mut self`.
    MutMethod, send_mut, RunMut, &mut Self::Actor, true
);
method_kind!(
    /// A method by `&self`.
    RefMethod, send_ref, RunRef, &Self::Actor, false
);

impl<M: MutMethod, S: Slots<Args = M::Args>> Method<Life<M::Actor>, S> for RunMut<M> {
    type Receiver = ByMut;
    type Outcome = Outcome<M::Output>;
    const NAME: &'static str = M::NAME;

    fn call(self, life: &mut Life<M::Actor>, slots: S) -> Self::Outcome {
        let Self(_kept) = self;
        Outcome::Here(run_mut::<M>(life, slots.into_args()))
    }
}

/// Runs a method, and notes it where there are checkpoints.
pub(super) fn run_mut<M: MutMethod>(life: &mut Life<M::Actor>, args: M::Args) -> Result<M::Output> {
    let Life { actor, given, cell } = life;
    let cell = cell.upgrade();
    let Some(journal) = cell.as_ref().and_then(|cell| cell.journal()) else {
        return assigned(given, || M::call(actor, args));
    };
    let again = args.clone();
    let result = assigned(given, || M::call(actor, args));
    journal.record(actor, Arc::new(move |actor| drop(M::call(actor, again.clone()))));
    result
}

impl<M: RefMethod, S: Slots<Args = M::Args>> Method<Life<M::Actor>, S> for RunRef<M> {
    type Receiver = ByRef;
    type Outcome = Outcome<M::Output>;
    const NAME: &'static str = M::NAME;

    fn call(self, life: &Life<M::Actor>, slots: S) -> Self::Outcome {
        let Self(_kept) = self;
        Outcome::Here(run_ref::<M>(life, slots.into_args()))
    }
}

/// Runs a method.
pub(super) fn run_ref<M: RefMethod>(life: &Life<M::Actor>, args: M::Args) -> Result<M::Output> {
    assigned(&life.given, || M::call(&life.actor, args))
}

/// An asynchronous method by `&mut self`.
#[doc(hidden)]
pub trait AsyncMutMethod: Send + Sync + 'static {
    type Actor: Actor;
    type Args: ArgList + Clone + Sync;
    type Output: Data;
    const NAME: &'static str;

    fn call(actor: &mut Self::Actor, args: Self::Args) -> BoxFuture<'_, Result<Self::Output>>;
}

/// An asynchronous method by `&self`.
#[doc(hidden)]
pub trait AsyncRefMethod: Send + Sync + 'static {
    type Actor: Actor;
    type Args: ArgList + Clone + Sync;
    type Output: Data;
    const NAME: &'static str;

    fn call(actor: &Self::Actor, args: Self::Args) -> BoxFuture<'_, Result<Self::Output>>;
}

struct RunAsyncMut<M: AsyncMutMethod>(Kept<M::Actor>);
struct RunAsyncRef<M: AsyncRefMethod>(Kept<M::Actor>);

impl<M: AsyncMutMethod, S: Slots<Args = M::Args>> AsyncMethod<Life<M::Actor>, S> for RunAsyncMut<M> {
    type Receiver = ByMut;
    type Outcome = Outcome<M::Output>;
    const NAME: &'static str = M::NAME;

    fn call<'a>(self, life: <ByMut as Receiver>::Of<'a, Life<M::Actor>>, slots: S) -> BoxFuture<'a, Self::Outcome> {
        let args = slots.into_args();
        let Self(kept) = self;
        Box::pin(async move {
            let _kept = kept;
            Outcome::Here(run_async_mut::<M>(life, args).await)
        })
    }
}

/// Runs a method, and notes it where there are checkpoints.
pub(super) async fn run_async_mut<M: AsyncMutMethod>(life: &mut Life<M::Actor>, args: M::Args) -> Result<M::Output> {
    let cell = life.cell.upgrade();
    let given = life.given.clone();
    let Some(journal) = cell.as_ref().and_then(|cell| cell.journal()) else {
        return assigned_async(&given, M::call(&mut life.actor, args)).await;
    };
    let again = args.clone();
    let result = assigned_async(&given, M::call(&mut life.actor, args)).await;
    let replay = move |actor: &mut M::Actor| drop(runtime::block_on(M::call(actor, again.clone())));
    journal.record(&life.actor, Arc::new(replay));
    result
}

impl<M: AsyncRefMethod, S: Slots<Args = M::Args>> AsyncMethod<Life<M::Actor>, S> for RunAsyncRef<M> {
    type Receiver = ByRef;
    type Outcome = Outcome<M::Output>;
    const NAME: &'static str = M::NAME;

    fn call<'a>(self, life: <ByRef as Receiver>::Of<'a, Life<M::Actor>>, slots: S) -> BoxFuture<'a, Self::Outcome> {
        let args = slots.into_args();
        let Self(kept) = self;
        Box::pin(async move {
            let _kept = kept;
            Outcome::Here(run_async_ref::<M>(life, args).await)
        })
    }
}

/// Runs a method.
pub(super) async fn run_async_ref<M: AsyncRefMethod>(life: &Life<M::Actor>, args: M::Args) -> Result<M::Output> {
    assigned_async(&life.given, M::call(&life.actor, args)).await
}

/// Polls a method's future as one of the actor that was given `given`.
async fn assigned_async<T>(given: &Arc<Assigned>, mut call: BoxFuture<'_, T>) -> T {
    std::future::poll_fn(|context| assigned(given, || call.as_mut().poll(context))).await
}

#[doc(hidden)]
pub fn send_async_mut<M: AsyncMutMethod, S: Slots<Args = M::Args>>(
    actor: &ActorRef<M::Actor>,
    slots: S,
) -> ObjectRef<M::Output> {
    match actor.place() {
        Place::Known { body: Body::Here(cell), keep } => {
            let runner = RunAsyncMut::<M>(kept_unless(keep, S::READY));
            ObjectRef::from_handle(cell.mailbox().send_async(slots, runner))
        }
        Place::Known { body: Body::Apart(proxy), keep } => {
            proxy.send::<M, _, _>(slots, M::NAME, (true, Box::new(kept_unless(keep, S::READY))))
        }
        Place::Away(away) => away.send::<M, _, _>(slots, M::NAME),
    }
}

#[doc(hidden)]
pub fn send_async_ref<M: AsyncRefMethod, S: Slots<Args = M::Args>>(
    actor: &ActorRef<M::Actor>,
    slots: S,
) -> ObjectRef<M::Output> {
    match actor.place() {
        Place::Known { body: Body::Here(cell), keep } => {
            let runner = RunAsyncRef::<M>(kept_unless(keep, S::READY));
            ObjectRef::from_handle(cell.mailbox().send_async(slots, runner))
        }
        Place::Known { body: Body::Apart(proxy), keep } => {
            proxy.send::<M, _, _>(slots, M::NAME, (false, Box::new(kept_unless(keep, S::READY))))
        }
        Place::Away(away) => away.send::<M, _, _>(slots, M::NAME),
    }
}

/// The last message of an actor that nobody refers to: it ends itself.
pub(super) struct Last;

impl<A: Actor> Method<Life<A>, ()> for Last {
    type Receiver = ByMut;
    type Outcome = Unwatched;
    const NAME: &'static str = "end of an actor";

    fn call(self, life: &mut Life<A>, (): ()) -> Unwatched {
        if let Some((actor, _)) = life.given.actor {
            runtime::control().kill_actor(actor, false);
        }
        Unwatched
    }
}
