//! Every task of the program, collected when it is linked.

use crate::actor::{Hosted, Hosting};
use crate::error::{Error, Result};
use crate::process::Reply;
use crate::task::Task;
use rayline_store::{Carrier, Region};
use std::any::TypeId;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{LazyLock, Mutex, PoisonError};

/// One task, by name.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub name: &'static str,
    /// Where its name is declared, to tell two tasks of one name apart.
    pub place: &'static str,
    /// The type that stands for it.
    pub task: fn() -> TypeId,
    /// How a process runs it that was sent its arguments; `None` where it can't be sent.
    pub run: Option<RunEncoded>,
}

/// Runs one attempt of a task on encoded arguments. Large buffers of them and of the value are named by `carrier`.
#[doc(hidden)]
pub type RunEncoded = fn(args: &Region, attempt: u32, carrier: &dyn Carrier) -> Answer;

/// An actor's type, by name.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct ActorEntry {
    pub name: &'static str,
    pub place: &'static str,
    pub actor: fn() -> TypeId,
    /// How another process makes one.
    pub host: HostEncoded,
}

/// Prepares an actor in this process by its encoded arguments.
#[doc(hidden)]
pub type HostEncoded = fn(hosting: Hosting, args: &Region, carrier: &dyn Carrier) -> Result<Hosted>;

/// An actor's method, by name.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct MethodEntry {
    pub name: &'static str,
    pub place: &'static str,
    /// The type that stands for it.
    pub method: fn() -> TypeId,
    /// How the process of the actor calls it.
    pub call: CallEncoded,
}

/// Sends an encoded call to the mailbox of an actor of this process.
#[doc(hidden)]
pub type CallEncoded = fn(actor: &Hosted, args: Region, reply: Reply);

/// What an attempt on encoded arguments ends with.
#[doc(hidden)]
pub enum Answer {
    /// The encoded value.
    Value(Region),
    Failed {
        error: Error,
        /// Whether `retry_on` names such errors.
        retryable: bool,
    },
    /// The process of its own died that ran it, as said.
    Died(String),
    /// The actor's life ended before.
    NotBegun,
}

/// The number of a task in this program: the same in all processes that run the same binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FunctionId(pub(crate) u32);

#[doc(hidden)]
#[linkme::distributed_slice]
#[allow(unsafe_code)]
pub static TASKS: [Entry];

#[doc(hidden)]
#[linkme::distributed_slice]
#[allow(unsafe_code)]
pub static ACTORS: [ActorEntry];

#[doc(hidden)]
#[linkme::distributed_slice]
#[allow(unsafe_code)]
pub static METHODS: [MethodEntry];

/// The actors' types, and the methods, in the order of their names.
static SORTED_ACTORS: LazyLock<Vec<ActorEntry>> = LazyLock::new(|| {
    let mut entries = ACTORS.to_vec();
    entries.sort_by_key(|entry| (entry.name, entry.place));
    entries
});
static SORTED_METHODS: LazyLock<Vec<MethodEntry>> = LazyLock::new(|| {
    let mut entries = METHODS.to_vec();
    entries.sort_by_key(|entry| (entry.name, entry.place));
    entries
});

/// Where each type is among them.
static ACTOR_NUMBERS: LazyLock<HashMap<TypeId, FunctionId>> = LazyLock::new(|| {
    let number = |(index, entry): (usize, &ActorEntry)| ((entry.actor)(), FunctionId(index as u32));
    SORTED_ACTORS.iter().enumerate().map(number).collect()
});
static METHOD_NUMBERS: LazyLock<HashMap<TypeId, FunctionId>> = LazyLock::new(|| {
    let number = |(index, entry): (usize, &MethodEntry)| ((entry.method)(), FunctionId(index as u32));
    SORTED_METHODS.iter().enumerate().map(number).collect()
});

/// The number of an actor's type.
pub(crate) fn actor_number<A: 'static>() -> Option<FunctionId> {
    ACTOR_NUMBERS.get(&TypeId::of::<A>()).copied()
}

/// The number of a method.
pub(crate) fn method_number<M: 'static>() -> Option<FunctionId> {
    METHOD_NUMBERS.get(&TypeId::of::<M>()).copied()
}

/// The actor's type of that number.
pub(crate) fn actor_entry(actor: FunctionId) -> Option<&'static ActorEntry> {
    SORTED_ACTORS.get(actor.0 as usize)
}

/// The method of that number.
pub(crate) fn method_entry(method: FunctionId) -> Option<&'static MethodEntry> {
    SORTED_METHODS.get(method.0 as usize)
}

/// The tasks in the order of their names.
static SORTED: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut entries = TASKS.to_vec();
    entries.sort_by_key(|entry| (entry.name, entry.place));
    entries.dedup_by_key(|entry| (entry.task)());
    entries
});

/// Where each task's type is in `SORTED`.
static NUMBERS: LazyLock<HashMap<TypeId, FunctionId>> = LazyLock::new(|| {
    let number = |(index, entry): (usize, &Entry)| ((entry.task)(), FunctionId(index as u32));
    SORTED.iter().enumerate().map(number).collect()
});

/// The number of a task; `None` for an instance of a generic one that `instantiate!` doesn't name.
pub(crate) fn number<T: Task>() -> Option<FunctionId> {
    NUMBERS.get(&TypeId::of::<T>()).copied()
}

/// The task of that number.
pub(crate) fn entry(function: FunctionId) -> Option<&'static Entry> {
    SORTED.get(function.0 as usize)
}

/// A hash of the names of all tasks, actors and methods: processes that differ in it don't run the same program.
pub(crate) fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    let actors = SORTED_ACTORS.iter().map(|entry| entry.name);
    let methods = SORTED_METHODS.iter().map(|entry| entry.name);
    SORTED.iter().map(|entry| entry.name).chain(actors).chain(methods).for_each(|name| name.hash(&mut hasher));
    hasher.finish()
}

/// The same name for as long as the process runs: a task's own, or one that another process told of.
pub(crate) fn interned(name: &str) -> &'static str {
    static TOLD: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    if let Ok(index) = SORTED.binary_search_by_key(&name, |entry| entry.name) {
        return SORTED[index].name;
    }
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = told.get(name) {
        return same;
    }
    let name: &'static str = Box::leak(name.into());
    told.insert(name);
    name
}

/// The two places of each name that is declared twice.
static CLASHES: LazyLock<Vec<(Entry, Entry)>> = LazyLock::new(|| {
    let mut entries = TASKS.to_vec();
    entries.sort_by_key(|entry| entry.name);
    let clashes = entries.windows(2).filter(|pair| pair[0].name == pair[1].name && pair[0].place != pair[1].place);
    clashes.map(|pair| (pair[0], pair[1])).collect()
});

/// What is wrong with the program's tasks, in words; `None` where nothing is.
pub(crate) fn complaint() -> Option<String> {
    let (first, second) = CLASHES.first()?;
    Some(format!("two tasks are called {}: at {} and at {}; rename one", first.name, first.place, second.place))
}
