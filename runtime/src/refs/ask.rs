//! What a process asks of another, and how it is answered.

use super::exports::{Exported, What, is_here};
use super::id::RefId;
use super::link::Link;
use crate::control::Packed;
use crate::error::{Error, ErrorKind};
use crate::process::{Answered, Called, Reply, Waiting};
use crate::registry::FunctionId;
use rayline_store::{CodecError, Region};
use serde::{Deserialize, Serialize};

/// A question about something that the other process has referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Asked {
    /// Its value, once it is there.
    Value(RefId),
    /// To keep it until the question is released.
    Hold(RefId),
    /// To call the method that the message names, with its arguments.
    Call(RefId),
    /// To end the actor, or this life of it.
    Kill { actor: RefId, restart: bool },
}

/// The name of what is asked for values, in errors.
pub(super) const REFERENCE: &str = "reference inside a value";

impl Asked {
    fn of(self) -> RefId {
        match self {
            Self::Value(id) | Self::Hold(id) | Self::Call(id) | Self::Kill { actor: id, .. } => id,
        }
    }
}

/// Answers a question that has come, or hands it on to the process that it is for.
pub(crate) fn serve(asked: Result<Asked, CodecError>, function: FunctionId, args: Region, reply: Reply) {
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return reply.fail(Error::codec(REFERENCE, "name", error)),
    };
    let id = asked.of();
    if !is_here(id.home) {
        return match Link::to(id.home) {
            Some(link) => hand_on(&link, asked, function, args, reply),
            None => reply.fail(lost("the process that has it is gone")),
        };
    }
    let Some(exported) = Exported::find(id) else { return reply.fail(lost("its process no longer has it")) };
    match (asked, &exported.what) {
        (Asked::Hold(_), _) => reply.keep(Box::new(exported)),
        (Asked::Value(_), What::Object(object)) => object.give(reply),
        (Asked::Call(_), What::Actor(actor)) => actor.call(function, args, reply),
        (Asked::Kill { restart, .. }, What::Actor(actor)) => {
            actor.kill(restart);
            reply.answer("kill", Ok(()));
        }
        _ => reply.fail(lost("it is of another kind")),
    }
}

fn hand_on(link: &Link, asked: Asked, function: FunctionId, args: Region, reply: Reply) {
    let packed = Packed { function, args, is_isolated: false };
    if let Asked::Hold(_) = asked {
        return reply.keep(Box::new(Held::ask(link, asked)));
    }
    link.ask(asked, Box::new(Relayed { packed, reply }));
}

/// The error of a reference that leads nowhere.
pub(super) fn lost(why: &str) -> Error {
    Error::in_task(ErrorKind::Lost(why.to_owned()), REFERENCE)
}

/// A question that holds something, until it is dropped.
pub(super) struct Held {
    link: Link,
    number: u64,
}

impl Held {
    pub(super) fn ask(link: &Link, asked: Asked) -> Self {
        Self { link: link.clone(), number: link.ask(asked, Box::new(Unheard(nothing()))) }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.link.release(self.number);
    }
}

/// No arguments.
pub(super) fn nothing() -> Packed {
    Packed { function: FunctionId(0), args: Region::copy_of(&[]), is_isolated: false }
}

/// A question whose answer says nothing.
pub(super) struct Unheard(pub(super) Packed);

impl Waiting for Unheard {
    fn called(&self) -> Called {
        Called::Ask
    }

    fn packed(&self) -> &Packed {
        &self.0
    }

    fn answered(self: Box<Self>, _: Answered) {}
}

/// A question of another process.
struct Relayed {
    packed: Packed,
    reply: Reply,
}

impl Waiting for Relayed {
    fn called(&self) -> Called {
        Called::Ask
    }

    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn answered(self: Box<Self>, answered: Answered) {
        self.reply.relay(answered, REFERENCE);
    }
}
