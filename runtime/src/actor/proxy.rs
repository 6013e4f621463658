//! An actor that lives in a worker of a node, as its driver sees it.
//!
//! ```text
//!  calls --> mailbox (their order, their arguments) --> lane --> the worker's mailbox, and its answers
//!                ^ opened when a life has begun, after the calls that an earlier life had left undone
//! ```
//! A call that was sent is answered once: with its value, its failure, or that it never began; then it is sent to the
//! next life, before all that came later. One that may have begun when the worker died fails.

use super::Actor;
use super::host::{Death, Host};
use crate::arg::{ArgList, Slots};
use crate::control::Packed;
use crate::data::Data;
use crate::error::{Error, ErrorKind, Result};
use crate::object::{ObjectRef, Outcome};
use crate::process::{Answered, Called, Lane, Life, LifeId, Unread, Waiting};
use crate::registry::{self, FunctionId};
use crate::runtime;
use crate::task::Unwatched;
use rayline_core::controller::{ActorEnd, Event};
use rayline_core::ids::{ActorId, Incarnation, LeaseId};
use rayline_core::resources::Grant;
use rayline_exec::{ActorHooks, ByMut, Mailbox, Method, Named, Promise, promise};
use rayline_store::{encode, encode_with};
use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// An actor of any type, in another process.
pub(crate) struct Proxy {
    id: ActorId,
    detached: bool,
    actor: TypeId,
    type_name: &'static str,
    number: FunctionId,
    /// How many methods may overlap, and how many calls there are between two checkpoints.
    options: (usize, u64),
    mailbox: Mailbox<Link>,
    state: Mutex<State>,
    keep: Mutex<Option<Weak<dyn Any + Send + Sync>>>,
}

#[derive(Default)]
struct State {
    /// The life that has begun last, and where.
    life: Option<(Incarnation, Arc<Lane>)>,
    /// Calls that were sent and have never begun, by the order in which they were sent.
    undone: Vec<(u64, Box<dyn Waiting>)>,
    sent: u64,
    /// How the last life failed.
    error: Option<Error>,
    /// Why it is dead for good.
    death: Option<Arc<Death>>,
    /// How a life begins: from when the constructor's arguments have come until there is no life to come.
    create: Option<Arc<Packed>>,
}

/// One life, as the mailbox knows it.
pub(crate) struct Link {
    proxy: Arc<Proxy>,
    life: LifeId,
    lane: Arc<Lane>,
}

impl Proxy {
    pub(super) fn new<A: Actor>(id: ActorId, detached: bool, options: (usize, u64)) -> Arc<Self> {
        Arc::new(Self {
            id,
            detached,
            actor: TypeId::of::<A>(),
            type_name: A::TYPE,
            number: registry::actor_number::<A>().expect("only actors with a number live apart"),
            options,
            mailbox: Mailbox::new(runtime::pool(), 1, Box::new(Quiet)),
            state: Mutex::default(),
            keep: Mutex::new(None),
        })
    }

    pub(super) fn id(&self) -> ActorId {
        self.id
    }

    pub(super) fn is_detached(&self) -> bool {
        self.detached
    }

    pub(super) fn is_of<A: Actor>(&self) -> bool {
        self.actor == TypeId::of::<A>()
    }

    pub(super) fn set_keep(&self, keep: Arc<dyn Any + Send + Sync>) {
        *self.keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(&keep));
    }

    pub(super) fn keep(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.keep.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }

    /// The constructor's arguments have come.
    ///
    /// # Errors
    /// Where one of them failed, or can't be encoded.
    pub(super) fn set_args<A: Actor, T: ArgList>(&self, args: &T) -> Result<()> {
        if let Some(error) = args.failure() {
            return Err(Error::argument(A::TYPE, error));
        }
        let args = encode_with(args, runtime::control().values());
        let args = args.map_err(|error| Error::codec(A::TYPE, "arguments", error))?;
        self.lock().create = Some(Arc::new(Packed { function: self.number, args, is_isolated: false }));
        Ok(())
    }

    /// Sends a call, after all that the same caller sent before.
    pub(super) fn send<M: 'static, S: Slots<Args: ArgList>, T: Data>(
        self: &Arc<Self>,
        slots: S,
        name: &'static str,
        kept: Box<dyn Any + Send>,
    ) -> ObjectRef<T> {
        let (promise, handle) = promise::<MethodName, _>();
        let function = registry::method_number::<M>().expect("the methods of a registered actor are registered");
        drop(
            self.mailbox
                .send(slots, Forward { promise: Some(promise), proxy: self.clone(), name, function, kept: Some(kept) }),
        );
        ObjectRef::from_handle(handle)
    }

    /// Nobody refers to it any more: it ends after the calls that were sent.
    pub(super) fn release(&self) {
        drop(self.mailbox.send((), Last));
    }

    /// Begins a life in the process at the end of a lane, and tells the controller how that went.
    pub(crate) fn start_on(self: Arc<Self>, lane: &Arc<Lane>, incarnation: Incarnation, lease: LeaseId, grant: Grant) {
        let (concurrency, checkpoint_every) = self.options;
        let id = LifeId { actor: self.id, incarnation };
        let life = Life { id, concurrency: concurrency as u64, checkpoint_every, lease, grant };
        let life = encode(&life).expect("ids and amounts can be encoded");
        let packed = self.lock().create.clone();
        let Some(packed) = packed else { return self.refused(incarnation, "it is dead") };
        lane.call(Box::new(Begin { proxy: self, packed, incarnation, lane: lane.clone() }), &life);
    }

    /// A life has ended, as its worker says or as the worker has.
    pub(crate) fn life_ended(&self, incarnation: Incarnation, end: ActorEnd, error: Option<Error>) {
        let mut state = self.lock();
        if state.life.take_if(|(life, _)| *life == incarnation).is_none() {
            return;
        }
        state.error = error.or(state.error.take());
        drop(state);
        self.mailbox.stop();
        runtime::control().actor_event(Event::ActorEnded { actor: self.id, incarnation, end });
    }

    /// A life can't begin where it was to.
    pub(crate) fn refused(&self, incarnation: Incarnation, why: &str) {
        self.lock().error = Some(Error::in_task(ErrorKind::Lost(why.to_owned()), self.type_name));
        let (actor, end) = (self.id, ActorEnd::Crashed);
        runtime::control().actor_event(Event::ActorEnded { actor, incarnation, end });
    }

    /// Lets calls go to the life that has begun, first those that have waited for it.
    fn open(self: &Arc<Self>, incarnation: Incarnation, lane: &Arc<Lane>) {
        let life = LifeId { actor: self.id, incarnation };
        let mut state = self.lock();
        state.life = Some((incarnation, lane.clone()));
        let mut undone = std::mem::take(&mut state.undone);
        drop(state);
        undone.sort_by_key(|(order, _)| *order);
        let to = encode(&life).expect("ids can be encoded");
        for (_, call) in undone {
            lane.call(call, &to);
        }
        self.mailbox.open(Link { proxy: self.clone(), life, lane: lane.clone() });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for Proxy {
    fn id(&self) -> ActorId {
        self.id
    }

    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn start(self: Arc<Self>, _: Incarnation, _: LeaseId, _: Grant) {
        unreachable!("it lives in another process")
    }

    fn apart(self: Arc<Self>) -> Option<Arc<Proxy>> {
        Some(self)
    }

    fn stop(&self, incarnation: Incarnation) {
        if let Some((life, lane)) = &self.lock().life
            && *life == incarnation
        {
            lane.stop_actor(LifeId { actor: self.id, incarnation });
        }
    }

    fn close(&self, cause: String, failed: bool) {
        let mut state = self.lock();
        let error = state.error.take().filter(|_| failed);
        let death = Arc::new(Death { cause, error });
        state.death = Some(death.clone());
        let (life, undone) = (state.life.take(), std::mem::take(&mut state.undone));
        // There is no other life that needs the constructor's arguments, which may be large.
        let create = state.create.take();
        drop(state);
        drop(create);
        self.mailbox.close(death);
        if let Some((incarnation, lane)) = life {
            lane.stop_actor(LifeId { actor: self.id, incarnation });
        }
        undone.into_iter().for_each(|(_, call)| call.answered(Answered::NotBegun));
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// The mailbox of a proxy runs no code of the user's, which alone could fail.
struct Quiet;

impl ActorHooks for Quiet {
    fn crashed(&self, method: &'static str, message: &str) {
        tracing::error!(method, message, "a call could not be sent");
    }

    fn stopped(&self) {}
}

/// A call that is not its own task.
struct MethodName;

impl Named for MethodName {
    const NAME: &'static str = "method of an actor on a node";
}

/// Sends a call on, once its arguments are there and its turn has come.
struct Forward<T: Send + Sync + 'static> {
    /// Until it is sent.
    promise: Option<Promise<Outcome<T>>>,
    proxy: Arc<Proxy>,
    name: &'static str,
    function: FunctionId,
    /// What keeps the actor until then.
    kept: Option<Box<dyn Any + Send>>,
}

impl<T: Send + Sync + 'static> Drop for Forward<T> {
    /// The mailbox was closed before its turn came.
    fn drop(&mut self) {
        if let Some(promise) = self.promise.take() {
            let error = self.proxy.death(self.name).unwrap_or_else(|| Error::in_task(ErrorKind::Shutdown, self.name));
            promise.complete(Outcome(Err(error)));
        }
    }
}

impl<T: Data, S: Slots<Args: ArgList>> Method<Link, S> for Forward<T> {
    type Receiver = ByMut;
    type Outcome = Unwatched;
    const NAME: &'static str = "call of a method";

    fn call(mut self, link: &mut Link, slots: S) -> Unwatched {
        let (promise, name, function) = (self.promise.take().expect("it is sent once"), self.name, self.function);
        let _kept = self.kept.take();
        let args = slots.into_args();
        let packed = match args.failure() {
            Some(error) => Err(Error::argument(name, error)),
            None => {
                encode_with(&args, runtime::control().values()).map_err(|error| Error::codec(name, "arguments", error))
            }
        };
        match packed {
            Ok(args) => link.send(Box::new(Call {
                promise,
                name,
                packed: Packed { function, args, is_isolated: false },
                proxy: link.proxy.clone(),
                order: link.proxy.next_order(),
            })),
            Err(error) => drop(promise.complete(Outcome(Err(error)))),
        }
        Unwatched
    }
}

impl Proxy {
    /// Why a call of a dead actor can't run.
    fn death(&self, name: &'static str) -> Option<Error> {
        let death = self.lock().death.clone()?;
        Some(Error::actor_died(name, death.cause.clone(), death.error.clone()))
    }

    fn next_order(&self) -> u64 {
        let mut state = self.lock();
        state.sent += 1;
        state.sent
    }
}

impl Link {
    fn send(&self, call: Box<dyn Waiting>) {
        let to = encode(&self.life).expect("ids can be encoded");
        self.lane.call(call, &to);
    }
}

/// The last message of an actor that nobody refers to.
struct Last;

impl Method<Link, ()> for Last {
    type Receiver = ByMut;
    type Outcome = Unwatched;
    const NAME: &'static str = "end of an actor";

    fn call(self, link: &mut Link, (): ()) -> Unwatched {
        // The worker hears of it after the calls.
        runtime::control().kill_actor(link.proxy.id, false);
        Unwatched
    }
}

/// The call of a method, in another process.
struct Call<T: Send + Sync + 'static> {
    promise: Promise<Outcome<T>>,
    name: &'static str,
    packed: Packed,
    proxy: Arc<Proxy>,
    order: u64,
}

impl<T: Data> Waiting for Call<T> {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn attempt(&self) -> u32 {
        1
    }

    fn called(&self) -> Called {
        Called::Method
    }

    fn answered(self: Box<Self>, answered: Answered) {
        let name = self.name;
        let died = |how| Error::in_task(ErrorKind::WorkerDied { how, attempt: 1 }, name);
        let result = match answered {
            Answered::Value(value) => value.decode().map_err(|error| match error {
                Unread::Codec(error) => Error::codec(name, "value", error),
                Unread::Gone(how) => died(how),
            }),
            Answered::Failed { error, .. } => Err(error),
            Answered::Died(how) => Err(died(how)),
            Answered::Refused(why) => Err(Error::in_task(ErrorKind::Lost(why), name)),
            Answered::NotBegun => {
                let proxy = self.proxy.clone();
                let mut state = proxy.lock();
                let Some(death) = state.death.clone() else {
                    // The next life may have begun meanwhile.
                    if let Some((incarnation, lane)) = state.life.clone() {
                        drop(state);
                        let life = LifeId { actor: proxy.id, incarnation };
                        lane.call(self, &encode(&life).expect("ids can be encoded"));
                    } else {
                        state.undone.push((self.order, self));
                    }
                    return;
                };
                Err(Error::actor_died(name, death.cause.clone(), death.error.clone()))
            }
        };
        self.promise.complete(Outcome(result));
    }
}

/// The beginning of a life, in another process.
struct Begin {
    proxy: Arc<Proxy>,
    packed: Arc<Packed>,
    incarnation: Incarnation,
    lane: Arc<Lane>,
}

impl Waiting for Begin {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn attempt(&self) -> u32 {
        1
    }

    fn called(&self) -> Called {
        Called::Constructor
    }

    fn answered(self: Box<Self>, answered: Answered) {
        let Self { proxy, incarnation, lane, .. } = *self;
        let actor = proxy.id;
        let (end, error) = match answered {
            Answered::Value(_) => {
                proxy.open(incarnation, &lane);
                return runtime::control().actor_event(Event::ActorStarted { actor, incarnation });
            }
            Answered::Failed { error, .. } => (ActorEnd::ConstructorFailed, error),
            Answered::Died(how) => {
                (ActorEnd::Crashed, Error::in_task(ErrorKind::WorkerDied { how, attempt: 1 }, proxy.type_name))
            }
            Answered::Refused(why) => (ActorEnd::Crashed, Error::in_task(ErrorKind::Lost(why), proxy.type_name)),
            Answered::NotBegun => (ActorEnd::Crashed, Error::in_task(ErrorKind::Shutdown, proxy.type_name)),
        };
        tracing::warn!(actor_id = %actor, incarnation = incarnation.0, %error, "actor failed to start");
        proxy.lock().error = Some(error);
        runtime::control().actor_event(Event::ActorEnded { actor, incarnation, end });
    }
}
