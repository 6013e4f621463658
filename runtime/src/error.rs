//! Why there is no value.

mod told;

pub(crate) use told::chain;

use rayline_store::CodecError;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a task, an actor's method, or an operation on the runtime has no value.
///
/// A cheap clone (one pointer). Says what failed and in which attempt, keeps its source, and can be downcast to the
/// error that the task returned ([`downcast_ref`](Self::downcast_ref)).
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    /// The task or method that failed, if one did.
    task: Option<&'static str>,
    source: Option<Source>,
}

enum Source {
    Boxed(Box<dyn std::error::Error + Send + Sync>),
    Same(Error),
}

/// What kind of failure it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The task returned an `Err`; [`Error::downcast_ref`] finds it. Where that is an error of this crate, of another task
    /// or of an operation, it is the source.
    Failed {
        /// Which try it was, from 1.
        attempt: u32,
    },
    /// The task panicked.
    Panicked {
        /// The panic's message.
        message: String,
        /// Which try it was, from 1.
        attempt: u32,
    },
    /// An argument of the task failed; the source says how.
    Argument,
    /// The task was cancelled.
    Cancelled,
    /// Nothing came within the given time.
    Timeout(Duration),
    /// All threads are taken, and what was waited for can't go on before the task that waits ends: the value may still
    /// come, after that.
    ThreadsExhausted {
        /// How many threads there may be: [`Config::threads_max`](crate::Config::threads_max).
        threads_max: usize,
    },
    /// What the task or actor needs is more than there is.
    Infeasible(String),
    /// The actor is dead; where it failed, the source says how.
    ActorDied {
        /// Why.
        cause: String,
    },
    /// The actor couldn't be created.
    ActorRefused(String),
    /// No live actor has that name.
    NoSuchActor {
        /// The name asked for.
        name: String,
    },
    /// The named actor is of another type.
    WrongActorType {
        /// The name asked for.
        name: String,
        /// The type asked for.
        asked: String,
        /// The type it has.
        found: String,
    },
    /// The placement group couldn't be reserved, or was removed.
    Group(String),
    /// The stream ended because its task failed; the source says how.
    Stream,
    /// The runtime was shut down before the task ran.
    Shutdown,
    /// There is a runtime already.
    AlreadyRunning,
    /// The cluster can't be joined: why, and what to do.
    Cluster(String),
    /// A setting makes no sense.
    Config(String),
    /// The system failed the task in its last permitted try, or lost its value.
    Lost(String),
    /// The worker process that ran the task died.
    WorkerDied {
        /// How: the signal or exit code, and the last lines that it wrote.
        how: String,
        /// Which try it was, from 1.
        attempt: u32,
    },
    /// What was to go to another process, or came from there, can't be encoded or decoded; the source says why.
    Codec {
        /// The task's arguments, or its value.
        what: String,
    },
    /// An instance of a generic task that no `instantiate!` names, so that another process can't find it.
    Unregistered,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Arc::new(Inner { kind, task: None, source: None }))
    }

    pub(crate) fn in_task(kind: ErrorKind, task: &'static str) -> Self {
        Self(Arc::new(Inner { kind, task: Some(task), source: None }))
    }

    /// The task returned `error`.
    pub(crate) fn failed(
        task: &'static str,
        attempt: u32,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        // An error of this crate stays in the chain, where a task hands on what another failed with.
        let source = match error.into().downcast::<Error>() {
            Ok(same) => Some(Source::Same(*same)),
            Err(error) => Some(Source::Boxed(error)),
        };
        Self(Arc::new(Inner { kind: ErrorKind::Failed { attempt }, task: Some(task), source }))
    }

    pub(crate) fn panicked(task: &'static str, attempt: u32, payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("a panic without a message").to_owned();
        Self::in_task(ErrorKind::Panicked { message, attempt }, task)
    }

    /// The actor whose method `task` is died of `cause`, and of `source` where it failed.
    pub(crate) fn actor_died(task: &'static str, cause: String, source: Option<Error>) -> Self {
        let (kind, source) = (ErrorKind::ActorDied { cause }, source.map(Source::Same));
        Self(Arc::new(Inner { kind, task: Some(task), source }))
    }

    /// `source` failed, and `task` needed it.
    pub(crate) fn argument(task: &'static str, source: Error) -> Self {
        Self(Arc::new(Inner { kind: ErrorKind::Argument, task: Some(task), source: Some(Source::Same(source)) }))
    }

    /// `what` of the task can't be encoded or decoded.
    pub(crate) fn codec(task: &'static str, what: &str, error: CodecError) -> Self {
        let (kind, source) = (ErrorKind::Codec { what: what.to_owned() }, Some(Source::Boxed(Box::new(error))));
        Self(Arc::new(Inner { kind, task: Some(task), source }))
    }

    /// The driver asked for a task that this program doesn't have, or that can't be sent.
    pub(crate) fn unregistered() -> Self {
        Self::new(ErrorKind::Unregistered)
    }

    pub(crate) fn stream(task: &'static str, source: Error) -> Self {
        Self(Arc::new(Inner { kind: ErrorKind::Stream, task: Some(task), source: Some(Source::Same(source)) }))
    }

    /// The same, of a later try.
    pub(crate) fn in_attempt(self, attempt: u32) -> Self {
        if attempt <= 1 {
            return self;
        }
        match Arc::try_unwrap(self.0) {
            Ok(Inner { kind: ErrorKind::Failed { .. }, task, source }) => {
                Self(Arc::new(Inner { kind: ErrorKind::Failed { attempt }, task, source }))
            }
            Ok(inner) => Self(Arc::new(inner)),
            Err(shared) => Self(shared),
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The name of the task or method that failed, if one did.
    pub fn task(&self) -> Option<&'static str> {
        self.0.task
    }

    /// The error at the root: what failed first, where this one only depends on it.
    pub fn root(&self) -> &Error {
        match &self.0.source {
            Some(Source::Same(source)) => source.root(),
            _ => self,
        }
    }

    /// The error of type `E` that a task returned, if that is why it failed; also where an argument failed so, or where
    /// a task handed on what another failed with.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match &self.0.source {
            Some(Source::Boxed(error)) => error.downcast_ref(),
            Some(Source::Same(source)) => source.downcast_ref(),
            None => None,
        }
    }

    /// Whether the task panicked, or what it needed: an argument, its actor.
    pub fn is_panic(&self) -> bool {
        matches!(self.root().kind(), ErrorKind::Panicked { .. })
    }

    /// Whether the task was cancelled, or an argument that it needed.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.root().kind(), ErrorKind::Cancelled)
    }

    /// Whether the time ran out.
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind(), ErrorKind::Timeout(_))
    }

    fn write_kind(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            ErrorKind::Failed { attempt } => write!(f, "failed{}", Attempt(*attempt)),
            ErrorKind::Panicked { message, attempt } => write!(f, "panicked{}: {message}", Attempt(*attempt)),
            ErrorKind::Argument => f.write_str("didn't run, as an argument failed"),
            ErrorKind::Cancelled => f.write_str("was cancelled"),
            ErrorKind::Timeout(after) => write!(f, "isn't done after {after:?}"),
            ErrorKind::ThreadsExhausted { threads_max } => {
                write!(
                    f,
                    "can't go on before the task that waits for it ends, as all {threads_max} threads are taken; "
                )?;
                f.write_str("raise `threads_max`")
            }
            ErrorKind::Infeasible(why) | ErrorKind::Lost(why) => f.write_str(why),
            ErrorKind::ActorDied { cause } => write!(f, "can't run, as its actor is dead: {cause}"),
            ErrorKind::ActorRefused(why) => write!(f, "the actor can't be created: {why}"),
            ErrorKind::NoSuchActor { name } => {
                write!(f, "there is no live actor named \"{name}\"; create it with `.name(\"{name}\")` first")
            }
            ErrorKind::WrongActorType { name, asked, found } => {
                write!(f, "the actor named \"{name}\" is a {found}, not a {asked}")
            }
            ErrorKind::Group(why) => write!(f, "placement group: {why}"),
            ErrorKind::Stream => f.write_str("ended its stream early"),
            ErrorKind::Shutdown if self.0.task.is_none() => f.write_str("the runtime was shut down"),
            ErrorKind::Shutdown => f.write_str("didn't run, as the runtime was shut down"),
            ErrorKind::AlreadyRunning => {
                f.write_str("a runtime is running already; shut it down before starting another")
            }
            ErrorKind::Cluster(why) => write!(f, "cluster: {why}"),
            ErrorKind::Config(why) => write!(f, "configuration: {why}"),
            ErrorKind::WorkerDied { how, attempt } => {
                write!(f, "didn't finish{}, as its worker process {how}", Attempt(*attempt))
            }
            ErrorKind::Codec { what } => write!(f, "couldn't run in another process: its {what} can't travel"),
            ErrorKind::Unregistered => f.write_str(
                "can't run in another process, as it isn't registered there; name its types once: \
                 `rayline::instantiate!(task<Type>);`",
            ),
        }
    }
}

/// `" in attempt 3"`, or nothing for the first.
struct Attempt(u32);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 1 { write!(f, " in attempt {}", self.0) } else { Ok(()) }
    }
}

impl fmt::Display for Error {
    /// One line with the whole chain of sources.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(task) = self.0.task {
            write!(f, "{task} ")?;
        }
        self.write_kind(f)?;
        match &self.0.source {
            Some(Source::Boxed(error)) => write!(f, ": {error}"),
            Some(Source::Same(error)) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    /// As `Display`: `main` prints the `Debug` of the error that it returns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.source {
            Some(Source::Boxed(error)) => Some(&**error),
            Some(Source::Same(error)) => Some(error),
            None => None,
        }
    }
}
