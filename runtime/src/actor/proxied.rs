//! What goes to an actor in another process: the beginning of a life, and calls.

use super::proxy::Proxy;
use crate::arg::{ArgList, Slots};
use crate::control::Packed;
use crate::data::Data;
use crate::error::{Error, ErrorKind};
use crate::object::Outcome;
use crate::process::{Answered, Called, Lane, LifeId, Unread, Waiting};
use crate::registry::FunctionId;
use crate::runtime;
use crate::task::Unwatched;
use rayline_core::controller::{ActorEnd, Event};
use rayline_core::ids::Incarnation;
use rayline_exec::{ByMut, Method, Named, Promise};
use rayline_store::{Region, encode, encode_with};
use std::any::Any;
use std::sync::Arc;

/// One life, as the mailbox knows it.
pub(crate) struct Link {
    pub(super) proxy: Arc<Proxy>,
    /// Its id, encoded: it goes with each call.
    pub(super) to: Region,
    pub(super) lane: Arc<Lane>,
}

/// A call that is not its own task.
pub(super) struct MethodName;

impl Named for MethodName {
    const NAME: &'static str = "method of an actor on a node";
}

/// Sends a call on, once its arguments are there and its turn has come.
pub(super) struct Forward<T: Send + Sync + 'static> {
    /// Until it is sent.
    pub(super) promise: Option<Promise<Outcome<T>>>,
    pub(super) proxy: Arc<Proxy>,
    pub(super) name: &'static str,
    pub(super) function: FunctionId,
    pub(super) is_exclusive: bool,
    /// What keeps the actor until then.
    pub(super) kept: Option<Box<dyn Any + Send>>,
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
            Ok(args) => {
                let call = Call {
                    promise,
                    name,
                    packed: Arc::new(Packed { function, args, is_isolated: false }),
                    is_exclusive: self.is_exclusive,
                    proxy: link.proxy.clone(),
                    order: link.proxy.next_order(),
                };
                link.lane.call(Box::new(call), &link.to);
            }
            Err(error) => drop(promise.complete(Outcome(Err(error)))),
        }
        Unwatched
    }
}

/// The last message of an actor that nobody refers to.
pub(super) struct Last;

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
pub(super) struct Call<T: Send + Sync + 'static> {
    pub(super) promise: Promise<Outcome<T>>,
    pub(super) name: &'static str,
    pub(super) packed: Arc<Packed>,
    pub(super) is_exclusive: bool,
    pub(super) proxy: Arc<Proxy>,
    pub(super) order: u64,
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

    fn came(&self, answered: &Answered) {
        self.note(answered);
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

impl<T: Data> Call<T> {
    /// One that has ended is made again in the next life, from the last checkpoint on.
    fn note(&self, answered: &Answered) {
        let has_ended = match answered {
            Answered::Value(_) => true,
            Answered::Failed { error, .. } => !error.is_panic(),
            Answered::Died(_) | Answered::Refused(_) | Answered::NotBegun => false,
        };
        if has_ended && self.is_exclusive && self.proxy.is_saved() {
            self.proxy.lock().since.push(self.packed.clone());
        }
    }
}

/// A call that an earlier life has answered.
pub(super) struct Replay(pub(super) Arc<Packed>);

impl Waiting for Replay {
    fn called(&self) -> Called {
        Called::Method
    }

    fn packed(&self) -> &Packed {
        &self.0
    }

    fn attempt(&self) -> u32 {
        1
    }

    // What it gave was delivered. Where it can't end this time, neither can the life that it is for.
    fn answered(self: Box<Self>, _: Answered) {}
}

/// The beginning of a life, in another process.
pub(super) struct Begin {
    pub(super) proxy: Arc<Proxy>,
    pub(super) packed: Arc<Packed>,
    pub(super) incarnation: Incarnation,
    pub(super) lane: Arc<Lane>,
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
        let Self { proxy, incarnation, lane, packed: _ } = *self;
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
