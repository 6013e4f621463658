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
use super::proxied::{Begin, Forward, Last, Link, MethodName, Outgoing, Pass, Replay};
use crate::arg::{ArgList, Slots};
use crate::control::Packed;
use crate::data::Data;
use crate::error::{Error, ErrorKind, Result};
use crate::object::ObjectRef;
use crate::process::{Answered, Keeper, Lane, Life, LifeId, Reply, Waiting};
use crate::registry::{self, FunctionId, MethodEntry};
use crate::runtime;
use rayline_core::controller::{ActorEnd, Event};
use rayline_core::ids::{ActorId, Incarnation, LeaseId};
use rayline_core::resources::Grant;
use rayline_exec::{ActorHooks, Mailbox, promise};
use rayline_store::{Region, encode, encode_with};
use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// An actor of any type, in another process.
pub(crate) struct Proxy {
    pub(super) id: ActorId,
    detached: bool,
    actor: TypeId,
    pub(super) type_name: &'static str,
    number: FunctionId,
    /// How many methods may overlap, and how many calls there are between two checkpoints.
    options: (usize, u64),
    mailbox: Mailbox<Link>,
    state: Mutex<State>,
    keep: Mutex<Option<Weak<dyn Any + Send + Sync>>>,
}

#[derive(Default)]
pub(super) struct State {
    /// The life that has begun last, and where.
    pub(super) life: Option<(Incarnation, Arc<Lane>)>,
    /// The last checkpoint, where the actor is saved.
    pub(super) saved: Option<Vec<u8>>,
    /// The exclusive calls that ended since, in their order.
    pub(super) since: Vec<Arc<Packed>>,
    /// Calls that were sent and have never begun, by the order in which they were sent.
    pub(super) undone: Vec<(u64, Box<dyn Waiting>)>,
    pub(super) sent: u64,
    /// How the last life failed.
    pub(super) error: Option<Error>,
    /// Why it is dead for good.
    pub(super) death: Option<Arc<Death>>,
    /// How a life begins: from when the constructor's arguments have come until there is no life to come.
    pub(super) create: Option<Arc<Packed>>,
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
    pub(super) fn set_args<A: Actor, T: ArgList>(&self, args: T) -> Result<()> {
        if let Some(error) = args.failure() {
            return Err(Error::argument(A::TYPE, error));
        }
        // Each life needs them.
        let args = encode_with(&args.into_here(), runtime::control().values());
        let args = args.map_err(|error| Error::codec(A::TYPE, "arguments", error))?;
        self.lock().create = Some(Arc::new(Packed { function: self.number, args, is_isolated: false }));
        Ok(())
    }

    /// Sends a call, after all that the same caller sent before.
    pub(super) fn send<M: 'static, S: Slots<Args: ArgList>, T: Data>(
        self: &Arc<Self>,
        slots: S,
        name: &'static str,
        (is_exclusive, kept): (bool, Box<dyn Any + Send>),
    ) -> ObjectRef<T> {
        let (promise, handle) = promise::<MethodName, _>();
        let function = registry::method_number::<M>().expect("the methods of a registered actor are registered");
        let outgoing = Outgoing::new(self, promise, (function, name, is_exclusive));
        drop(self.mailbox.send(slots, Forward { outgoing, _kept: kept }));
        ObjectRef::from_handle(handle)
    }

    /// Sends a call of another process, as it came from there.
    pub(crate) fn send_encoded(
        self: &Arc<Self>,
        entry: &MethodEntry,
        function: FunctionId,
        args: Region,
        reply: Reply,
    ) {
        let outgoing = Outgoing::new(self, reply, (function, entry.name, entry.is_exclusive));
        drop(self.mailbox.send((), Pass { outgoing, args }));
    }

    /// Nobody refers to it any more: it ends after the calls that were sent.
    pub(super) fn release(&self) {
        drop(self.mailbox.send((), Last));
    }

    /// Begins a life in the process at the end of a lane, and tells the controller how that went.
    pub(crate) fn start_on(self: Arc<Self>, lane: &Arc<Lane>, incarnation: Incarnation, lease: LeaseId, grant: Grant) {
        let (concurrency, checkpoint_every) = self.options;
        let id = LifeId { actor: self.id, incarnation };
        let state = self.lock();
        let (saved, create) = (state.saved.clone(), state.create.clone());
        drop(state);
        let Some(packed) = create else { return self.refused(incarnation, "it is dead") };
        let life = Life { id, concurrency: concurrency as u64, checkpoint_every, lease, grant, saved };
        let life = encode(&life).expect("ids and amounts can be encoded");
        lane.call(Box::new(Begin { proxy: self, packed, incarnation, lane: lane.clone() }), &life);
    }

    /// A life has ended, as its worker says or as the worker has.
    pub(crate) fn life_ended(&self, incarnation: Incarnation, end: ActorEnd, error: Option<Error>) {
        let mut state = self.lock();
        let Some((_, lane)) = state.life.take_if(|(life, _)| *life == incarnation) else { return };
        state.error = error.or(state.error.take());
        drop(state);
        lane.forget(self.id);
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
    pub(super) fn open(self: &Arc<Self>, incarnation: Incarnation, lane: &Arc<Lane>) {
        let life = LifeId { actor: self.id, incarnation };
        let mut state = self.lock();
        state.life = Some((incarnation, lane.clone()));
        let (mut undone, since) = (std::mem::take(&mut state.undone), state.since.clone());
        drop(state);
        undone.sort_by_key(|(order, _)| *order);
        let to = encode(&life).expect("ids can be encoded");
        if self.is_saved() {
            lane.keep_for(self.id, self.clone());
        }
        for packed in since {
            lane.call(Box::new(Replay(packed)), &to);
        }
        for (_, call) in undone {
            lane.call(call, &to);
        }
        self.mailbox.open(Link { proxy: self.clone(), to, lane: lane.clone() });
    }

    /// Why a call of a dead actor can't run.
    pub(super) fn death(&self, name: &'static str) -> Option<Error> {
        let death = self.lock().death.clone()?;
        Some(Error::actor_died(name, death.cause.clone(), death.error.clone()))
    }

    pub(super) fn next_order(&self) -> u64 {
        let mut state = self.lock();
        state.sent += 1;
        state.sent
    }

    /// Whether there are checkpoints of it.
    pub(crate) fn is_saved(&self) -> bool {
        self.options.1 > 0
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper for Proxy {
    fn keep(&self, saved: Vec<u8>) {
        let mut state = self.lock();
        state.saved = Some(saved);
        state.since.clear();
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
}

/// The mailbox of a proxy runs no code of the user's, which alone could fail.
pub(crate) struct Quiet;

impl ActorHooks for Quiet {
    fn crashed(&self, method: &'static str, message: &str) {
        tracing::error!(method, message, "a call could not be sent");
    }

    fn stopped(&self) {}
}
