//! An actor that another process has referred to: its calls go there.

use super::ask::{Asked, Held, Unheard, lost, nothing};
use super::id::RefId;
use super::link::Link;
use crate::actor::{MethodName, Quiet};
use crate::arg::{ArgList, Slots};
use crate::control::Packed;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::object::{ObjectRef, Outcome};
use crate::process::{Answered, Called, Waiting};
use crate::registry::{self, FunctionId};
use crate::runtime;
use crate::task::Unwatched;
use rayline_core::ids::ActorId;
use rayline_exec::{ByMut, Mailbox, Method, Promise, promise};
use rayline_store::{Buf, Carrier, ImportError, Name, Region, encode_with};
use std::sync::Arc;

/// The actor, which its process keeps as long as this lives.
pub(crate) struct Away {
    pub(super) id: RefId,
    pub(super) about: About,
    /// How its calls get there; `None` where its process was gone from the start.
    held: Option<Held>,
    /// The order of the calls, some of whose arguments are late.
    mailbox: Mailbox<()>,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct About {
    pub(crate) actor: ActorId,
    /// Whether its calls are kept, to be made again after its checkpoint.
    pub(crate) is_saved: bool,
}

impl Away {
    /// Has its process keep it.
    pub(super) fn new(id: RefId, about: About) -> Arc<Self> {
        let held = Link::to(id.home).map(|link| Held::ask(&link, Asked::Hold(id)));
        let mailbox = Mailbox::new(runtime::pool(), 1, Box::new(Quiet));
        mailbox.open(());
        Arc::new(Self { id, about, held, mailbox })
    }

    pub(crate) fn actor(&self) -> ActorId {
        self.about.actor
    }

    /// Ends it, or this life of it.
    pub(crate) fn kill(&self, restart: bool) {
        if let Some(held) = &self.held {
            held.link().ask(Asked::Kill { actor: self.id, restart }, Box::new(Unheard(nothing())));
        }
    }

    /// Sends a call, after all that this process sent before by this reference.
    pub(crate) fn send<M: 'static, S: Slots<Args: ArgList>, T: Data>(
        self: &Arc<Self>,
        slots: S,
        name: &'static str,
    ) -> ObjectRef<T> {
        let (promise, handle) = promise::<MethodName, _>();
        let function = registry::method_number::<M>().expect("all methods are registered");
        drop(self.mailbox.send(slots, Sending { promise, away: self.clone(), name, function }));
        ObjectRef::from_handle(handle)
    }

    /// The way to its process, and the arguments as they go there. Those that are kept for later hold no memory of this
    /// process, which lets that go with the answer.
    fn pack<T: ArgList>(&self, args: &T, name: &'static str) -> Result<(&Link, Region)> {
        if let Some(error) = args.failure() {
            return Err(Error::argument(name, error));
        }
        let link = self.held.as_ref().ok_or_else(|| lost("the process that has the actor is gone"))?.link();
        let lent = link.lend();
        let args = if self.about.is_saved { encode_with(args, &Bare) } else { encode_with(args, &lent) };
        let args = args.map_err(|error| Error::codec(name, "arguments", error))?;
        lent.give_away();
        Ok((link, args))
    }
}

/// Sends a call on, once its arguments are there and its turn has come.
struct Sending<T: Send + Sync + 'static> {
    promise: Promise<Outcome<T>>,
    away: Arc<Away>,
    name: &'static str,
    function: FunctionId,
}

impl<T: Data, S: Slots<Args: ArgList>> Method<(), S> for Sending<T> {
    type Receiver = ByMut;
    type Outcome = Unwatched;
    const NAME: &'static str = "call of a method";

    fn call(self, (): &mut (), slots: S) -> Unwatched {
        let Self { promise, away, name, function } = self;
        match away.pack(&slots.into_args(), name) {
            Ok((link, args)) => {
                let packed = Packed { function, args, is_isolated: false };
                link.ask(Asked::Call(away.id), Box::new(AwayCall { promise, name, packed }));
            }
            Err(error) => drop(promise.complete(Outcome::Here(Err(error)))),
        }
        Unwatched
    }
}

/// A call that is under way.
struct AwayCall<T: Send + Sync + 'static> {
    promise: Promise<Outcome<T>>,
    name: &'static str,
    packed: Packed,
}

impl<T: Data> Waiting for AwayCall<T> {
    fn called(&self) -> Called {
        Called::Ask
    }

    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn answered(self: Box<Self>, answered: Answered) {
        let Self { promise, name, .. } = *self;
        let result = match answered {
            Answered::NotBegun => Err(Error::actor_died(name, "its life has ended".into(), None)),
            answered => answered.into_result(name),
        };
        promise.complete(Outcome::Here(result));
    }
}

/// Has buffers travel as bytes.
struct Bare;

impl Carrier for Bare {
    fn export(&self, _: &Buf<u8>) -> Option<Name> {
        None
    }

    fn import(&self, _: &[u8]) -> std::result::Result<Buf<u8>, ImportError> {
        Err(ImportError::Unreadable)
    }
}
