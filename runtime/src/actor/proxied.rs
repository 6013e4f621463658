//! What goes to an actor in another process: the beginning of a life, and calls.

use super::proxy::Proxy;
use crate::arg::{ArgList, Slots};
use crate::control::Packed;
use crate::data::Data;
use crate::error::{Error, ErrorKind, Result};
use crate::object::Outcome;
use crate::process::{Answered, Called, Lane, LifeId, Reply, Waiting};
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
pub(crate) struct MethodName;

impl Named for MethodName {
    const NAME: &'static str = "method of an actor on a node";
}

/// Who waits for the outcome of a call.
pub(super) trait Recipient: Send + 'static {
    fn answered(self, answered: Answered, name: &'static str);
    fn failed(self, error: Error);
}

impl<T: Data> Recipient for Promise<Outcome<T>> {
    fn answered(self, answered: Answered, name: &'static str) {
        self.complete(Outcome::Here(answered.into_result(name)));
    }

    fn failed(self, error: Error) {
        self.complete(Outcome::Here(Err(error)));
    }
}

/// Another process.
impl Recipient for Reply {
    fn answered(self, answered: Answered, name: &'static str) {
        self.relay(answered, name);
    }

    fn failed(self, error: Error) {
        self.fail(error);
    }
}

/// A call that has yet to be sent on.
pub(super) struct Outgoing<R: Recipient> {
    /// Until it is sent.
    recipient: Option<R>,
    proxy: Arc<Proxy>,
    name: &'static str,
    function: FunctionId,
    is_exclusive: bool,
}

impl<R: Recipient> Outgoing<R> {
    pub(super) fn new(
        proxy: &Arc<Proxy>,
        recipient: R,
        (function, name, is_exclusive): (FunctionId, &'static str, bool),
    ) -> Self {
        Self { recipient: Some(recipient), proxy: proxy.clone(), name, function, is_exclusive }
    }

    fn send(mut self, link: &Link, args: Result<Region>) {
        let recipient = self.recipient.take().expect("it is sent once");
        let args = match args {
            Ok(args) => args,
            Err(error) => return recipient.failed(error),
        };
        let packed = Arc::new(Packed { function: self.function, args, is_isolated: false });
        let (proxy, order) = (link.proxy.clone(), link.proxy.next_order());
        let call = Call { recipient, name: self.name, packed, is_exclusive: self.is_exclusive, proxy, order };
        link.lane.call(Box::new(call), &link.to);
    }
}

impl<R: Recipient> Drop for Outgoing<R> {
    /// The mailbox was closed before its turn came.
    fn drop(&mut self) {
        if let Some(recipient) = self.recipient.take() {
            let error = self.proxy.death(self.name).unwrap_or_else(|| Error::in_task(ErrorKind::Shutdown, self.name));
            recipient.failed(error);
        }
    }
}

/// Sends a call on, once its arguments are there and its turn has come.
pub(super) struct Forward<R: Recipient> {
    pub(super) outgoing: Outgoing<R>,
    /// What keeps the actor until then.
    pub(super) _kept: Box<dyn Any + Send>,
}

impl<R: Recipient, S: Slots<Args: ArgList>> Method<Link, S> for Forward<R> {
    type Receiver = ByMut;
    type Outcome = Unwatched;
    const NAME: &'static str = "call of a method";

    fn call(self, link: &mut Link, slots: S) -> Unwatched {
        let (mut args, name) = (slots.into_args(), self.outgoing.name);
        if link.proxy.is_saved() {
            // They are kept, to be sent again.
            args = args.into_here();
        }
        let packed = match args.failure() {
            Some(error) => Err(Error::argument(name, error)),
            None => {
                encode_with(&args, runtime::control().values()).map_err(|error| Error::codec(name, "arguments", error))
            }
        };
        self.outgoing.send(link, packed);
        Unwatched
    }
}

/// Sends a call on that has come from another process, once its turn has come.
pub(super) struct Pass {
    pub(super) outgoing: Outgoing<Reply>,
    pub(super) args: Region,
}

impl Method<Link, ()> for Pass {
    type Receiver = ByMut;
    type Outcome = Unwatched;
    const NAME: &'static str = "call of a method, from another process";

    fn call(self, link: &mut Link, (): ()) -> Unwatched {
        self.outgoing.send(link, Ok(self.args));
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
struct Call<R: Recipient> {
    recipient: R,
    name: &'static str,
    packed: Arc<Packed>,
    is_exclusive: bool,
    proxy: Arc<Proxy>,
    order: u64,
}

impl<R: Recipient> Waiting for Call<R> {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn called(&self) -> Called {
        Called::Method
    }

    fn came(&self, answered: &Answered) {
        self.note(answered);
    }

    fn answered(self: Box<Self>, answered: Answered) {
        if let Answered::NotBegun = answered {
            return self.send_again();
        }
        self.recipient.answered(answered, self.name);
    }
}

impl<R: Recipient> Call<R> {
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

    /// It has not begun: it goes to the next life, if there will be one.
    fn send_again(self: Box<Self>) {
        let proxy = self.proxy.clone();
        let mut state = proxy.lock();
        if let Some(death) = state.death.clone() {
            drop(state);
            return self.recipient.failed(Error::actor_died(self.name, death.cause.clone(), death.error.clone()));
        }
        // The next life may have begun meanwhile.
        if let Some((incarnation, lane)) = state.life.clone() {
            drop(state);
            let life = LifeId { actor: proxy.id, incarnation };
            lane.call(self, &encode(&life).expect("ids can be encoded"));
        } else {
            state.undone.push((self.order, self));
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
