//! References to actors, inside values.

use super::away::{About, Away};
use super::exports::{Actor as Export, Exported, What};
use super::id::Name;
use crate::actor::{Actor, ActorRef, Body, Place};
use crate::error::Error;
use crate::process::Reply;
use crate::registry::{self, FunctionId};
use rayline_store::Region;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A reference to an actor as it stands in a value.
#[derive(Serialize, Deserialize)]
struct Told {
    about: About,
    name: Name,
}

/// Within a process values aren't encoded, and a reference travels as it is. Another process gets one of its own, whose
/// calls come to where the actor lives; it keeps the actor as any other does.
///
/// # Errors
/// Any encoder but the runtime's: it means nothing outside.
impl<A: Actor> Serialize for ActorRef<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let told = match self.place() {
            Place::Known { body, .. } => {
                let about = About { actor: self.id(), is_saved: body.is_saved_apart() };
                Told { about, name: Exported::name(What::Actor(Box::new(self.clone()))) }
            }
            Place::Away(away) => Told { about: away.about, name: Name { id: away.id, keep: Some(away.clone()) } },
        };
        told.serialize(serializer)
    }
}

impl<'de, A: Actor> Deserialize<'de> for ActorRef<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Told { about, name: Name { id, .. } } = Told::deserialize(deserializer)?;
        let own = Exported::find(id).and_then(|exported| exported.downcast::<Self>().cloned());
        Ok(own.unwrap_or_else(|| Self::of_away(Away::new(id, about))))
    }
}

impl<A: Actor> Export for ActorRef<A> {
    fn call(&self, function: FunctionId, args: Region, reply: Reply) {
        let Some(entry) = registry::method_entry(function) else { return reply.fail(Error::unregistered()) };
        match self.place() {
            Place::Known { body: Body::Here(cell), .. } => (entry.call)(&cell.clone().into(), args, reply),
            Place::Known { body: Body::Apart(proxy), .. } => proxy.send_encoded(entry, function, args, reply),
            Place::Away(_) => unreachable!("it is named as whoever has it names it"),
        }
    }

    fn kill(&self, restart: bool) {
        if restart { self.kill_and_restart() } else { ActorRef::kill(self) }
    }
}
