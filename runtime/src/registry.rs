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
    /// Whether it is by `&mut self`.
    pub is_exclusive: bool,
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

/// What is registered, in the order of its names, and where each type is in it.
struct Table<E> {
    entries: Vec<E>,
    numbers: HashMap<TypeId, FunctionId>,
}

/// Something that is registered under a name.
trait Named: Copy {
    /// Its name, and where that is declared.
    fn named(&self) -> (&'static str, &'static str);
    /// The type that stands for it.
    fn stands_for(&self) -> TypeId;
}

impl<E: Named> Table<E> {
    fn of(entries: &[E]) -> Self {
        let mut entries = entries.to_vec();
        entries.sort_by_key(E::named);
        entries.dedup_by_key(|entry| entry.stands_for());
        let number = |(index, entry): (usize, &E)| (entry.stands_for(), FunctionId(index as u32));
        let numbers = entries.iter().enumerate().map(number).collect();
        Self { entries, numbers }
    }

    fn number<T: 'static>(&self) -> Option<FunctionId> {
        self.numbers.get(&TypeId::of::<T>()).copied()
    }

    fn get(&self, number: FunctionId) -> Option<&E> {
        self.entries.get(number.0 as usize)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|entry| entry.named().0)
    }
}

macro_rules! named {
    ($entry:ty, $stands_for:ident) => {
        impl Named for $entry {
            fn named(&self) -> (&'static str, &'static str) {
                (self.name, self.place)
            }

            fn stands_for(&self) -> TypeId {
                (self.$stands_for)()
            }
        }
    };
}
named!(Entry, task);
named!(ActorEntry, actor);
named!(MethodEntry, method);

static TASK_TABLE: LazyLock<Table<Entry>> = LazyLock::new(|| Table::of(&TASKS));
static ACTOR_TABLE: LazyLock<Table<ActorEntry>> = LazyLock::new(|| Table::of(&ACTORS));
static METHOD_TABLE: LazyLock<Table<MethodEntry>> = LazyLock::new(|| Table::of(&METHODS));

/// The number of an actor's type.
pub(crate) fn actor_number<A: 'static>() -> Option<FunctionId> {
    ACTOR_TABLE.number::<A>()
}

/// The number of a method.
pub(crate) fn method_number<M: 'static>() -> Option<FunctionId> {
    METHOD_TABLE.number::<M>()
}

/// The actor's type of that number.
pub(crate) fn actor_entry(actor: FunctionId) -> Option<&'static ActorEntry> {
    ACTOR_TABLE.get(actor)
}

/// The method of that number.
pub(crate) fn method_entry(method: FunctionId) -> Option<&'static MethodEntry> {
    METHOD_TABLE.get(method)
}

/// The number of a task; `None` for an instance of a generic one that `instantiate!` doesn't name.
pub(crate) fn number<T: Task>() -> Option<FunctionId> {
    TASK_TABLE.number::<T>()
}

/// The task of that number.
pub(crate) fn entry(function: FunctionId) -> Option<&'static Entry> {
    TASK_TABLE.get(function)
}

/// A hash of the names of all tasks, actors and methods: processes that differ in it don't run the same program.
pub(crate) fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    let names = TASK_TABLE.names().chain(ACTOR_TABLE.names()).chain(METHOD_TABLE.names());
    names.for_each(|name| name.hash(&mut hasher));
    hasher.finish()
}

/// The same name for as long as the process runs: a task's own, or one that another process told of.
pub(crate) fn interned(name: &str) -> &'static str {
    static TOLD: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let tasks = &TASK_TABLE.entries;
    if let Ok(index) = tasks.binary_search_by_key(&name, |entry| entry.name) {
        return tasks[index].name;
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
