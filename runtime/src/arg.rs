//! Arguments: values, and references to values that may still be made.

use crate::data::Data;
use crate::elsewhere::{Elsewhere, Stored};
use crate::error::{Error, Result};
use crate::object::{ObjectRef, Outcome};
use rayline_core::ids::ObjectId;
use rayline_exec::{Args, Awaited, Ready};
use rayline_store::{Region, align, encode_part, realign};
use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// What may stand for an argument of type `T`: a `T`, an `ObjectRef<T>` or a `&ObjectRef<T>`.
///
/// The task runs once all references among its arguments have their values. A parameter `&T` reads the shared value in
/// place; a parameter `T` gets its own (moved if nobody else refers to it, else cloned). A parameter of type
/// `ObjectRef<T>` gets the reference itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't stand for an argument of type `{T}`",
    label = "expected `{T}`, `ObjectRef<{T}>` or `&ObjectRef<{T}>`",
    note = "to pass a large value to several tasks, `put` it once and pass the reference"
)]
pub trait IntoArg<T> {
    /// How it waits in a task.
    #[doc(hidden)]
    type Slot: Slot<Value = T>;

    #[doc(hidden)]
    fn into_slot(self) -> Self::Slot;
}

#[diagnostic::do_not_recommend]
impl<T: Data> IntoArg<T> for T {
    type Slot = Ready<T>;

    fn into_slot(self) -> Ready<T> {
        Ready(self)
    }
}

impl<T: Data> IntoArg<T> for ObjectRef<T> {
    type Slot = Awaited<Outcome<T>>;

    fn into_slot(self) -> Awaited<Outcome<T>> {
        Awaited::new(self.into_handle())
    }
}

impl<T: Data> IntoArg<T> for &ObjectRef<T> {
    type Slot = Awaited<Outcome<T>>;

    fn into_slot(self) -> Awaited<Outcome<T>> {
        Awaited::new(self.clone().into_handle())
    }
}

/// An argument when the task runs.
#[doc(hidden)]
#[expect(private_interfaces, reason = "users meet it as a name in bounds only")]
pub enum Arg<T> {
    Value(T),
    Ref(ObjectRef<T>),
    /// A value that is elsewhere, and isn't kept by this: in the lineage of another.
    Stored(Arc<Stored>),
}

// By `Data`, not `Clone` alone: what a type lacks is then said in its words.
impl<T: Data> Clone for Arg<T> {
    fn clone(&self) -> Self {
        match self {
            Arg::Value(value) => Arg::Value(value.clone()),
            Arg::Ref(object) => Arg::Ref(object.clone()),
            Arg::Stored(stored) => Arg::Stored(stored.clone()),
        }
    }
}

impl<T> Arg<T> {
    /// Where its value is, if that is on a node.
    fn stored(&self) -> Option<&Arc<Stored>> {
        match self {
            Arg::Value(_) => None,
            Arg::Ref(object) => object.elsewhere().map(Elsewhere::stored),
            Arg::Stored(stored) => Some(stored),
        }
    }
}

/// Encoded as its value, which must be there: another process gets a copy of its own.
impl<T: Data> Serialize for Arg<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if let Some(encoded) = self.encoded().map_err(S::Error::custom)? {
            let outside = |_| Err(S::Error::custom("what is on a node can't be encoded outside the runtime"));
            return encode_part(&encoded, serializer).unwrap_or_else(outside);
        }
        let serializer = align(serializer);
        match self {
            Arg::Value(value) => value.serialize(serializer),
            Arg::Ref(object) => object.peek().map_err(S::Error::custom)?.serialize(serializer),
            Arg::Stored(_) => unreachable!("it has an encoding, or is lost"),
        }
    }
}

impl<T> Arg<T> {
    /// A value that is on a node as it came from there; what that names is read from where it is. Blocks while a reference's
    /// is made again, unless it has been read here.
    fn encoded(&self) -> Result<Option<Region>> {
        match self {
            Arg::Value(_) => Ok(None),
            Arg::Ref(object) => match object.elsewhere() {
                Some(elsewhere) if elsewhere.is_read() => Ok(elsewhere.stored().encoded_now().ok()),
                Some(elsewhere) => elsewhere.stored().encoded().map(Some),
                None => Ok(None),
            },
            Arg::Stored(stored) => stored.encoded_now().map(Some),
        }
    }
}

impl<'de, T: Data> Deserialize<'de> for Arg<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        T::deserialize(realign(deserializer)?).map(Arg::Value)
    }
}

/// A list of arguments when the task runs; it can go to another process.
#[doc(hidden)]
pub trait ArgList: Serialize + DeserializeOwned + Send + 'static {
    /// The error of the first argument that has one.
    fn failure(&self) -> Option<Error>;
    /// The same, for lineage: without a hold on what is elsewhere.
    fn as_lineage(&self) -> Self;
    /// The same, with what is elsewhere read here: for those who keep them for longer than that may be there.
    fn into_here(self) -> Self;
    /// The objects among them that are elsewhere.
    fn objects(&self, objects: &mut Vec<ObjectId>);
}

impl ArgList for () {
    fn failure(&self) -> Option<Error> {
        None
    }

    fn as_lineage(&self) {}

    fn into_here(self) {}

    fn objects(&self, _: &mut Vec<ObjectId>) {}
}

impl<First: Data, Rest: ArgList> ArgList for (Arg<First>, Rest) {
    fn failure(&self) -> Option<Error> {
        let failure = match &self.0 {
            Arg::Ref(object) => object.failure(),
            Arg::Stored(stored) => stored.failure(),
            Arg::Value(_) => None,
        };
        failure.or_else(|| self.1.failure())
    }

    fn as_lineage(&self) -> Self {
        let first = self.0.stored().map_or_else(|| self.0.clone(), |stored| Arg::Stored(stored.clone()));
        (first, self.1.as_lineage())
    }

    fn into_here(self) -> Self {
        let first = match self.0 {
            // One that can't be read says so when it is encoded.
            Arg::Ref(object) if object.elsewhere().is_some() => {
                object.peek().cloned().map(Arg::Value).unwrap_or(Arg::Ref(object))
            }
            first => first,
        };
        (first, self.1.into_here())
    }

    fn objects(&self, objects: &mut Vec<ObjectId>) {
        objects.extend(self.0.stored().map(|stored| stored.object()));
        self.1.objects(objects);
    }
}

/// What a parameter `&T` borrows.
#[doc(hidden)]
#[inline]
pub fn shared<'a, T>(arg: &'a Arg<T>, task: &'static str) -> Result<&'a T> {
    match arg {
        Arg::Value(value) => Ok(value),
        Arg::Ref(object) => object.peek().map_err(|error| Error::argument(task, error)),
        Arg::Stored(_) => unreachable!("lineage runs on nodes"),
    }
}

/// What a parameter `T` takes.
#[doc(hidden)]
#[inline]
pub fn owned<T: Data>(arg: Arg<T>, task: &'static str) -> Result<T> {
    match arg {
        Arg::Value(value) => Ok(value),
        Arg::Ref(object) => object.take_ready().map_err(|error| Error::argument(task, error)),
        Arg::Stored(_) => unreachable!("lineage runs on nodes"),
    }
}

/// One argument as it waits, and what becomes of it when the task runs.
#[doc(hidden)]
pub trait Slot: rayline_exec::Slot {
    type Value;
    const READY: bool;

    /// Whether its value, or its failure, is there.
    fn is_there(&self) -> bool;
    fn into_arg(self) -> Arg<Self::Value>;
}

impl<T: Send + 'static> Slot for Ready<T> {
    type Value = T;
    const READY: bool = true;

    #[inline]
    fn is_there(&self) -> bool {
        true
    }

    #[inline]
    fn into_arg(self) -> Arg<T> {
        Arg::Value(self.0)
    }
}

impl<T: Send + Sync + 'static> Slot for Awaited<Outcome<T>> {
    type Value = T;
    const READY: bool = false;

    #[inline]
    fn is_there(&self) -> bool {
        self.is_done()
    }

    #[inline]
    fn into_arg(self) -> Arg<T> {
        Arg::Ref(ObjectRef::from_handle(self.into_handle()))
    }
}

/// A list of arguments as they wait.
#[doc(hidden)]
pub trait Slots: Args {
    /// Whether nothing is awaited.
    const READY: bool;
    type Args: Send + 'static;

    /// Whether all values, or failures, are there.
    fn are_there(&self) -> bool;
    fn into_args(self) -> Self::Args;
}

impl Slots for () {
    const READY: bool = true;
    type Args = ();

    #[inline]
    fn are_there(&self) -> bool {
        true
    }

    fn into_args(self) {}
}

impl<First: Slot<Value: Send + Sync + 'static>, Rest: Slots> Slots for (First, Rest) {
    const READY: bool = First::READY && Rest::READY;
    type Args = (Arg<First::Value>, Rest::Args);

    #[inline]
    fn are_there(&self) -> bool {
        self.0.is_there() && self.1.are_there()
    }

    #[inline]
    fn into_args(self) -> Self::Args {
        (self.0.into_arg(), self.1.into_args())
    }
}
