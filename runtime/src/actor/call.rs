//! Calls of methods: messages to the actor's mailbox.

use super::host::Life;
use super::{Actor, ActorRef, Keep};
use crate::arg::Slots;
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
    ($(#[$doc:meta])* $kind:ident, $send:ident, $runner:ident, $receiver:ty) => {
        $(#[$doc])*
        #[doc(hidden)]
        pub trait $kind: Send + Sync + 'static {
            type Actor: Actor;
            type Args: Clone + Send + Sync + 'static;
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
            ObjectRef::from_handle(actor.cell().mailbox().send(slots, $runner::<M>(actor.kept_unless(S::READY))))
        }
    };
}

method_kind!(
    /// A method by `&mut self`.
    MutMethod, send_mut, RunMut, &mut Self::Actor
);
method_kind!(
    /// A method by `&self`.
    RefMethod, send_ref, RunRef, &Self::Actor
);

impl<M: MutMethod, S: Slots<Args = M::Args>> Method<Life<M::Actor>, S> for RunMut<M> {
    type Receiver = ByMut;
    type Outcome = Outcome<M::Output>;
    const NAME: &'static str = M::NAME;

    fn call(self, life: &mut Life<M::Actor>, slots: S) -> Self::Outcome {
        let Self(_kept) = self;
        let args = slots.into_args();
        let Life { actor, given, cell } = life;
        let cell = cell.upgrade();
        let Some(journal) = cell.as_ref().and_then(|cell| cell.journal()) else {
            return Outcome(assigned(given, || M::call(actor, args)));
        };
        let again = args.clone();
        let result = assigned(given, || M::call(actor, args));
        journal.record(actor, Arc::new(move |actor| drop(M::call(actor, again.clone()))));
        Outcome(result)
    }
}

impl<M: RefMethod, S: Slots<Args = M::Args>> Method<Life<M::Actor>, S> for RunRef<M> {
    type Receiver = ByRef;
    type Outcome = Outcome<M::Output>;
    const NAME: &'static str = M::NAME;

    fn call(self, life: &Life<M::Actor>, slots: S) -> Self::Outcome {
        let Self(_kept) = self;
        Outcome(assigned(&life.given, || M::call(&life.actor, slots.into_args())))
    }
}

/// An asynchronous method by `&mut self`.
#[doc(hidden)]
pub trait AsyncMutMethod: Send + Sync + 'static {
    type Actor: Actor;
    type Args: Clone + Send + Sync + 'static;
    type Output: Data;
    const NAME: &'static str;

    fn call(actor: &mut Self::Actor, args: Self::Args) -> BoxFuture<'_, Result<Self::Output>>;
}

/// An asynchronous method by `&self`.
#[doc(hidden)]
pub trait AsyncRefMethod: Send + Sync + 'static {
    type Actor: Actor;
    type Args: Clone + Send + Sync + 'static;
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
            let cell = life.cell.upgrade();
            let given = life.given.clone();
            let Some(journal) = cell.as_ref().and_then(|cell| cell.journal()) else {
                return Outcome(assigned_async(&given, M::call(&mut life.actor, args)).await);
            };
            let again = args.clone();
            let result = assigned_async(&given, M::call(&mut life.actor, args)).await;
            let replay = move |actor: &mut M::Actor| drop(runtime::block_on(M::call(actor, again.clone())));
            journal.record(&life.actor, Arc::new(replay));
            Outcome(result)
        })
    }
}

impl<M: AsyncRefMethod, S: Slots<Args = M::Args>> AsyncMethod<Life<M::Actor>, S> for RunAsyncRef<M> {
    type Receiver = ByRef;
    type Outcome = Outcome<M::Output>;
    const NAME: &'static str = M::NAME;

    fn call<'a>(self, life: <ByRef as Receiver>::Of<'a, Life<M::Actor>>, slots: S) -> BoxFuture<'a, Self::Outcome> {
        let Self(kept) = self;
        Box::pin(async move {
            let _kept = kept;
            Outcome(assigned_async(&life.given, M::call(&life.actor, slots.into_args())).await)
        })
    }
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
    ObjectRef::from_handle(actor.cell().mailbox().send_async(slots, RunAsyncMut::<M>(actor.kept_unless(S::READY))))
}

#[doc(hidden)]
pub fn send_async_ref<M: AsyncRefMethod, S: Slots<Args = M::Args>>(
    actor: &ActorRef<M::Actor>,
    slots: S,
) -> ObjectRef<M::Output> {
    ObjectRef::from_handle(actor.cell().mailbox().send_async(slots, RunAsyncRef::<M>(actor.kept_unless(S::READY))))
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
