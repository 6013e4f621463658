//! Arguments: values, and references to values that may still be made.

use crate::data::Data;
use crate::error::{Error, Result};
use crate::object::{ObjectRef, Outcome};
use rayline_exec::{Args, Awaited, Ready};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
pub enum Arg<T> {
    Value(T),
    Ref(ObjectRef<T>),
}

// By `Data`, not `Clone` alone: what a type lacks is then said in its words.
impl<T: Data> Clone for Arg<T> {
    fn clone(&self) -> Self {
        match self {
            Arg::Value(value) => Arg::Value(value.clone()),
            Arg::Ref(object) => Arg::Ref(object.clone()),
        }
    }
}

/// Encoded as its value, which must be there: another process gets a copy of its own.
impl<T: Data> Serialize for Arg<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Arg::Value(value) => value.serialize(serializer),
            Arg::Ref(object) => object.peek().map_err(serde::ser::Error::custom)?.serialize(serializer),
        }
    }
}

impl<'de, T: Data> Deserialize<'de> for Arg<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        T::deserialize(deserializer).map(Arg::Value)
    }
}

/// A list of arguments when the task runs; it can go to another process.
#[doc(hidden)]
pub trait ArgList: Serialize + DeserializeOwned + Send + 'static {
    /// The error of the first argument that has one.
    fn failure(&self) -> Option<Error>;
}

impl ArgList for () {
    fn failure(&self) -> Option<Error> {
        None
    }
}

impl<First: Data, Rest: ArgList> ArgList for (Arg<First>, Rest) {
    fn failure(&self) -> Option<Error> {
        match &self.0 {
            Arg::Ref(object) => object.peek().err().or_else(|| self.1.failure()),
            Arg::Value(_) => self.1.failure(),
        }
    }
}

/// What a parameter `&T` borrows.
#[doc(hidden)]
#[inline]
pub fn shared<'a, T>(arg: &'a Arg<T>, task: &'static str) -> Result<&'a T> {
    match arg {
        Arg::Value(value) => Ok(value),
        Arg::Ref(object) => object.peek().map_err(|error| Error::argument(task, error)),
    }
}

/// What a parameter `T` takes.
#[doc(hidden)]
#[inline]
pub fn owned<T: Data>(arg: Arg<T>, task: &'static str) -> Result<T> {
    match arg {
        Arg::Value(value) => Ok(value),
        Arg::Ref(object) => object.take_ready().map_err(|error| Error::argument(task, error)),
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
