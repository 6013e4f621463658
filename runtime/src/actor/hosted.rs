//! An actor in a worker: made and called by what its driver sends.

use super::call::{run_async_mut, run_async_ref, run_mut, run_ref};
use super::host::{ActorCell, Host, Life, Witness};
use super::{Actor, AsyncMutMethod, AsyncRefMethod, MutMethod, RefMethod};
use crate::arg::ArgList;
use crate::error::{Error, Result};
use crate::process::Reply;
use crate::task::Unwatched;
use rayline_core::ids::ActorId;
use rayline_exec::{AsyncMethod, BoxFuture, ByMut, ByRef, Method, Receiver};
use rayline_store::{Carrier, Region, decode_with};
use serde::de::DeserializeOwned;
use std::any::Any;
use std::sync::Arc;

/// An actor of any type that its driver has had made here.
#[derive(Clone)]
#[doc(hidden)]
pub struct Hosted(pub(crate) Arc<dyn Host>);

impl<H: Host> From<Arc<H>> for Hosted {
    fn from(host: Arc<H>) -> Self {
        Self(host)
    }
}

/// How an actor is to be made.
#[doc(hidden)]
pub struct Hosting {
    pub(crate) id: ActorId,
    pub(crate) options: (usize, u64),
    /// Its last checkpoint.
    pub(crate) saved: Option<Vec<u8>>,
    pub(crate) witness: Box<dyn Witness>,
}

/// Prepares an actor whose constructor is `new`.
///
/// # Errors
/// Where its arguments can't be decoded.
#[doc(hidden)]
pub fn host<A: Actor, T: ArgList + Clone + Sync>(
    hosting: Hosting,
    args: &Region,
    carrier: &dyn Carrier,
    new: fn(T) -> Result<A>,
) -> Result<Hosted> {
    let args: T = decode_with(args, carrier).map_err(|error| Error::codec(A::TYPE, "arguments", error))?;
    let make = Box::new(move || new(args.clone()));
    Ok(ActorCell::hosted(hosting, make)?.into())
}

fn cell<A: Actor>(Hosted(host): &Hosted) -> Option<&ActorCell<A>> {
    (&**host as &dyn Any).downcast_ref()
}

/// Sends an encoded call of a method by `&mut self`.
#[doc(hidden)]
pub fn call_mut<M: MutMethod>(actor: &Hosted, args: Region, reply: Reply) {
    if let Some(cell) = cell::<M::Actor>(actor) {
        drop(cell.mailbox().send((), Encoded::<M> { args, reply, method: std::marker::PhantomData }));
    }
}

/// Sends an encoded call of a method by `&self`.
#[doc(hidden)]
pub fn call_ref<M: RefMethod>(actor: &Hosted, args: Region, reply: Reply) {
    if let Some(cell) = cell::<M::Actor>(actor) {
        drop(cell.mailbox().send((), EncodedRef::<M> { args, reply, method: std::marker::PhantomData }));
    }
}

/// Sends an encoded call of an asynchronous method by `&mut self`.
#[doc(hidden)]
pub fn call_async_mut<M: AsyncMutMethod>(actor: &Hosted, args: Region, reply: Reply) {
    if let Some(cell) = cell::<M::Actor>(actor) {
        drop(cell.mailbox().send_async((), EncodedAsyncMut::<M> { args, reply, method: std::marker::PhantomData }));
    }
}

/// Sends an encoded call of an asynchronous method by `&self`.
#[doc(hidden)]
pub fn call_async_ref<M: AsyncRefMethod>(actor: &Hosted, args: Region, reply: Reply) {
    if let Some(cell) = cell::<M::Actor>(actor) {
        drop(cell.mailbox().send_async((), EncodedAsyncRef::<M> { args, reply, method: std::marker::PhantomData }));
    }
}

macro_rules! encoded {
    ($name:ident) => {
        struct $name<M> {
            args: Region,
            reply: Reply,
            method: std::marker::PhantomData<fn() -> M>,
        }
    };
}
encoded!(Encoded);
encoded!(EncodedRef);
encoded!(EncodedAsyncMut);
encoded!(EncodedAsyncRef);

/// The arguments of a call.
fn decoded<T: DeserializeOwned>(name: &'static str, args: &Region, reply: &Reply) -> Result<T> {
    decode_with(args, &reply.carrier()).map_err(|error| Error::codec(name, "arguments", error))
}

impl<M: MutMethod> Method<Life<M::Actor>, ()> for Encoded<M> {
    type Receiver = ByMut;
    type Outcome = Unwatched;
    const NAME: &'static str = M::NAME;

    fn call(self, life: &mut Life<M::Actor>, (): ()) -> Unwatched {
        let Self { args, mut reply, .. } = self;
        let result = decoded(M::NAME, &args, &reply);
        let result = result.and_then(|args| reply.watch(M::NAME, || run_mut::<M>(life, args)));
        reply.answer_and_save(M::NAME, result, life.unsent());
        Unwatched
    }
}

impl<M: RefMethod> Method<Life<M::Actor>, ()> for EncodedRef<M> {
    type Receiver = ByRef;
    type Outcome = Unwatched;
    const NAME: &'static str = M::NAME;

    fn call(self, life: &Life<M::Actor>, (): ()) -> Unwatched {
        let Self { args, mut reply, .. } = self;
        let result = decoded(M::NAME, &args, &reply);
        let result = result.and_then(|args| reply.watch(M::NAME, || run_ref::<M>(life, args)));
        reply.answer(M::NAME, result);
        Unwatched
    }
}

impl<M: AsyncMutMethod> AsyncMethod<Life<M::Actor>, ()> for EncodedAsyncMut<M> {
    type Receiver = ByMut;
    type Outcome = Unwatched;
    const NAME: &'static str = M::NAME;

    fn call<'a>(self, life: <ByMut as Receiver>::Of<'a, Life<M::Actor>>, (): ()) -> BoxFuture<'a, Unwatched> {
        let Self { args, mut reply, .. } = self;
        Box::pin(async move {
            let result = match decoded(M::NAME, &args, &reply) {
                Ok(args) => reply.watch_async(M::NAME, run_async_mut::<M>(life, args)).await,
                Err(error) => Err(error),
            };
            reply.answer_and_save(M::NAME, result, life.unsent());
            Unwatched
        })
    }
}

impl<M: AsyncRefMethod> AsyncMethod<Life<M::Actor>, ()> for EncodedAsyncRef<M> {
    type Receiver = ByRef;
    type Outcome = Unwatched;
    const NAME: &'static str = M::NAME;

    fn call<'a>(self, life: <ByRef as Receiver>::Of<'a, Life<M::Actor>>, (): ()) -> BoxFuture<'a, Unwatched> {
        let Self { args, mut reply, .. } = self;
        Box::pin(async move {
            let result = match decoded(M::NAME, &args, &reply) {
                Ok(args) => reply.watch_async(M::NAME, run_async_ref::<M>(life, args)).await,
                Err(error) => Err(error),
            };
            reply.answer(M::NAME, result);
            Unwatched
        })
    }
}
