//! References to values, inside values.

use super::ask::{Asked, REFERENCE, lost, nothing};
use super::exports::{Exported, Object, What};
use super::id::{Name, RefId};
use super::link::Link;
use crate::control::Packed;
use crate::data::Data;
use crate::object::{ObjectRef, Outcome};
use crate::process::{Answered, Called, Reply, Waiting};
use crate::runtime;
use crate::task::Unwatched;
use rayline_exec::{Awaited, Function, Named, Promise, promise};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::marker::PhantomData;

/// Within a process values aren't encoded, and a reference travels as it is. Another process gets one of its own, whose
/// value comes when it is there.
///
/// # Errors
/// Any encoder but the runtime's: a reference means nothing outside. Encode its value, after a `get`.
impl<T: Data> Serialize for ObjectRef<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Exported::name(What::Object(Box::new(self.clone()))).serialize(serializer)
    }
}

impl<'de, T: Data> Deserialize<'de> for ObjectRef<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Name::deserialize(deserializer).map(|name| import(name.id))
    }
}

impl<T: Data> Object for ObjectRef<T> {
    fn give(&self, reply: Reply) {
        match self.elsewhere().map(|elsewhere| elsewhere.stored().encoded_now()) {
            Some(Ok(encoded)) => return reply.pass_on(encoded),
            // It is waited for, but not by this thread, which others need.
            Some(Err(_)) => {}
            None if self.is_ready() => return reply.answer(self.handle().name(), self.peek()),
            None => {}
        }
        let awaited = Awaited::new(self.clone().into_handle());
        drop(runtime::pool().submit((awaited, ()), Give { reply, value: PhantomData::<fn() -> T> }));
    }
}

/// Answers with a value that has come.
struct Give<T> {
    reply: Reply,
    value: PhantomData<fn() -> T>,
}

impl<T: Data> Function<(Awaited<Outcome<T>>, ())> for Give<T> {
    type Outcome = Unwatched;
    const NAME: &'static str = REFERENCE;

    fn call(self, (object, ()): (Awaited<Outcome<T>>, ())) -> Unwatched {
        let object = ObjectRef::from_handle(object.into_handle());
        match object.elsewhere().map(|elsewhere| elsewhere.stored().encoded()) {
            Some(Ok(encoded)) => self.reply.pass_on(encoded),
            Some(Err(error)) => self.reply.fail(error),
            None => self.reply.answer(object.handle().name(), object.peek()),
        }
        Unwatched
    }
}

/// What is referred to under that name.
fn import<T: Data>(id: RefId) -> ObjectRef<T> {
    if let Some(own) = Exported::find(id).and_then(|exported| exported.downcast::<ObjectRef<T>>().cloned()) {
        return own;
    }
    let (promise, handle) = promise::<Imported, _>();
    match Link::to(id.home) {
        Some(link) => drop(link.ask(Asked::Value(id), Box::new(Fetch { promise, packed: nothing() }))),
        None => drop(promise.complete(Outcome::Here(Err(lost("the process that has it is gone"))))),
    }
    ObjectRef::from_handle(handle)
}

/// A value that is in another process.
struct Imported;

impl Named for Imported {
    const NAME: &'static str = REFERENCE;
}

/// Waits for a value.
struct Fetch<T: Data> {
    promise: Promise<Outcome<T>>,
    packed: Packed,
}

impl<T: Data> Waiting for Fetch<T> {
    fn called(&self) -> Called {
        Called::Ask
    }

    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn answered(self: Box<Self>, answered: Answered) {
        self.promise.complete(Outcome::Here(answered.into_result(REFERENCE)));
    }
}
