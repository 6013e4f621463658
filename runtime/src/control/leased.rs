//! A task that runs on a lease: what the driver holds of it while the owner decides.

use super::command::Command;
use crate::context::{Assigned, Cancellation, assigned};
use crate::elsewhere::Stored;
use crate::error::{Error, ErrorKind, Result};
use crate::object::Outcome;
use crate::process::{Answered, Unread};
use crate::registry::FunctionId;
use crate::runtime;
use crate::task::Unwatched;
use rayline_core::ids::{Attempt, LeaseId, TaskId};
use rayline_core::owner::FailureKind;
use rayline_core::resources::Grant;
use rayline_exec::{CancelWatch, Function, Pool, Promise};
use rayline_store::Region;
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Wake, Waker};

/// A leased task of any type.
pub(crate) trait Leased: Send + Sync {
    /// It is known to the owner under this id: from now on a cancellation goes there.
    fn named(self: Arc<Self>, _: TaskId) {}
    /// Runs one attempt, or goes on with one that rests, on a thread of the pool.
    fn run(&self, run: &Run) -> Turn;
    /// The control thread knows that it rests: from now on it may be woken.
    fn rest(&self, _: TaskId) {}
    /// It failed for good: with the error of its last attempt, or with `error` where the system failed it.
    fn fail(&self, error: Option<Error>);
    /// Whether it runs in another process.
    fn is_apart(&self) -> bool {
        false
    }
    /// What another process needs to run it.
    ///
    /// # Errors
    /// Where an argument is lost, or can't be encoded.
    fn pack(&self) -> Result<Arc<Packed>> {
        unreachable!("only what runs apart is packed")
    }
    /// Where its value is, if that stays where it was made.
    fn stored(&self) -> Option<&Stored> {
        None
    }
    /// Nobody needs that value, of an attempt up to this one.
    fn release(&self, _: Attempt) {}
    /// Another process has answered an attempt of a packed task.
    fn ended(&self, _: &Run, _: Answered) -> std::result::Result<(), FailureKind> {
        unreachable!("only a packed task runs apart")
    }
    /// Wakes `waker` when it is cancelled while it runs apart, or now if it was.
    fn on_cancel(&self, _: &Waker) {}
    /// It was cancelled while it runs.
    fn tell_cancelled(&self) {}
    fn name(&self) -> &'static str;
}

/// How a thread's work on an attempt ended.
pub(crate) enum Turn {
    Ended(std::result::Result<(), FailureKind>),
    /// It goes on when it is woken, and keeps its lease.
    Rests,
}

/// One attempt, on a lease.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) task: TaskId,
    pub(crate) attempt: Attempt,
    pub(crate) lease: LeaseId,
    pub(crate) grant: Grant,
}

/// How a leased task runs.
pub(crate) enum Body<T> {
    /// On a thread of this process, given the number of the attempt.
    Here(Box<dyn Fn(u32) -> Result<T> + Send + Sync>),
    /// In another process, as it was encoded once.
    Apart(Arc<Packed>),
    /// In another process, encoded anew for each attempt: what it names may be elsewhere by then.
    Anew(Box<dyn Fn() -> Result<Packed> + Send + Sync>),
}

/// A call that any process of the program can run: its lineage.
pub(crate) struct Packed {
    pub(crate) function: FunctionId,
    /// The encoded arguments.
    pub(crate) args: Region,
    /// Whether it is to have a process of its own.
    pub(crate) is_isolated: bool,
}

impl Run {
    /// Which try it is, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt.0
    }

    /// What its task may know of it.
    pub(crate) fn assigned(&self, name: &'static str, cancellation: &Arc<Cancellation>) -> Assigned {
        Assigned {
            task: Some(name),
            task_id: Some(self.task),
            attempt: self.attempt.0,
            actor: None,
            lease: self.lease,
            grant: self.grant.clone(),
            cancellation: cancellation.clone(),
        }
    }
}

/// A leased task that makes a `T`.
pub(crate) struct LeasedTask<T: Send + Sync + 'static> {
    name: &'static str,
    body: Body<T>,
    retries_after: fn(&Error) -> bool,
    cancellation: Arc<Cancellation>,
    state: Mutex<State<T>>,
}

struct State<T: Send + Sync + 'static> {
    /// Until it is kept.
    promise: Option<Promise<Outcome<T>>>,
    watch: Option<CancelWatch>,
    last_error: Option<Error>,
}

impl<T: Send + Sync + 'static> LeasedTask<T> {
    pub(crate) fn shared(
        name: &'static str,
        promise: Promise<Outcome<T>>,
        body: Body<T>,
        retries_after: fn(&Error) -> bool,
    ) -> Arc<dyn Leased>
    where
        T: DeserializeOwned,
    {
        let state = Mutex::new(State { promise: Some(promise), watch: None, last_error: None });
        Arc::new(Self { name, body, retries_after, cancellation: Arc::default(), state })
    }

    /// Whether its reference was cancelled, or has its outcome.
    fn is_cancelled(&self) -> bool {
        self.lock().promise.as_ref().is_none_or(Promise::is_cancelled)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Keeps the error for whoever asks, should this have been the last attempt.
    fn failed(&self, error: Error, kind: FailureKind) -> FailureKind {
        self.lock().last_error = Some(error);
        kind
    }

    /// Its worker process died.
    fn died(&self, run: &Run, how: String) -> FailureKind {
        let died = ErrorKind::WorkerDied { how, attempt: run.attempt.0 };
        let error = Error::in_task(died, self.name);
        tracing::warn!(task = self.name, attempt = run.attempt.0, %error, "worker process died");
        self.failed(error, FailureKind::System)
    }

    fn keep_promise(&self, result: Result<T>) {
        let mut state = self.lock();
        let (promise, watch) = (state.promise.take(), state.watch.take());
        drop(state);
        drop(watch);
        if let Some(promise) = promise {
            promise.complete(Outcome::Here(result));
        }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Leased for LeasedTask<T> {
    fn named(self: Arc<Self>, id: TaskId) {
        let waker = Waker::from(Arc::new(Cancel { id, task: Arc::downgrade(&self) }));
        let mut state = self.lock();
        let watch = state.promise.as_ref().and_then(|promise| promise.on_cancel(&waker));
        let is_over = watch.is_none();
        let before = std::mem::replace(&mut state.watch, watch);
        drop(state);
        drop(before);
        if is_over {
            waker.wake();
        }
    }

    fn run(&self, run: &Run) -> Turn {
        let given = Arc::new(run.assigned(self.name, &self.cancellation));
        let Body::Here(attempt) = &self.body else { unreachable!("a packed task runs apart") };
        match assigned(&given, || attempt(run.attempt.0)) {
            Ok(value) => {
                self.keep_promise(Ok(value));
                Turn::Ended(Ok(()))
            }
            Err(error) => {
                let retryable = (self.retries_after)(&error);
                Turn::Ended(Err(self.failed(error, FailureKind::Application { retryable })))
            }
        }
    }

    fn is_apart(&self) -> bool {
        !matches!(self.body, Body::Here(_))
    }

    fn pack(&self) -> Result<Arc<Packed>> {
        match &self.body {
            Body::Here(_) => unreachable!("only what runs apart is packed"),
            Body::Apart(packed) => Ok(packed.clone()),
            Body::Anew(pack) => pack().map(Arc::new),
        }
    }

    fn ended(&self, run: &Run, answered: Answered) -> std::result::Result<(), FailureKind> {
        match answered {
            Answered::Value(value) => match value.decode() {
                Ok(value) => {
                    self.keep_promise(Ok(value));
                    Ok(())
                }
                Err(Unread::Codec(error)) => {
                    let error = Error::codec(self.name, "value", error);
                    Err(self.failed(error, FailureKind::Application { retryable: false }))
                }
                Err(Unread::Gone(how)) => Err(self.died(run, how)),
            },
            Answered::Failed { error, retryable } => Err(self.failed(error, FailureKind::Application { retryable })),
            Answered::Refused(why) => {
                let error = Error::in_task(ErrorKind::Lost(why), self.name);
                Err(self.failed(error, FailureKind::Application { retryable: false }))
            }
            Answered::NotBegun => Err(self.died(run, "has not begun it".into())),
            Answered::Died(how) => Err(self.died(run, how)),
        }
    }

    fn on_cancel(&self, waker: &Waker) {
        if self.cancellation.poll(waker) {
            waker.wake_by_ref();
        }
    }

    fn fail(&self, error: Option<Error>) {
        let last = self.lock().last_error.take();
        // How the worker died says more than that the system failed the task.
        let system = error.as_ref().is_some_and(|error| matches!(error.kind(), ErrorKind::Lost(_)));
        let error = if system { last.or(error) } else { error.or(last) };
        if let Some(error) = error {
            self.keep_promise(Err(error));
        }
    }

    fn tell_cancelled(&self) {
        self.cancellation.tell();
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

/// Tells the owner that an attempt in another process has ended.
pub(crate) fn tell_ended(run: &Run, result: std::result::Result<(), FailureKind>) {
    send_ended(run, result, false);
}

fn send_ended(run: &Run, result: std::result::Result<(), FailureKind>, here: bool) {
    let Run { task, attempt, lease, .. } = *run;
    runtime::control().send(Command::Ended { task, attempt, lease, result, here });
}

/// Tells the owner that the reference of a task was cancelled.
struct Cancel<T: Send + Sync + 'static> {
    id: TaskId,
    task: Weak<LeasedTask<T>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Wake for Cancel<T> {
    fn wake(self: Arc<Self>) {
        let Some(task) = self.task.upgrade() else { return };
        if task.is_cancelled() {
            runtime::control().send(Command::Cancel(self.id));
        } else {
            // Wakers are woken by mistake now and then: it goes on listening.
            task.named(self.id);
        }
    }
}

/// The job of one attempt. Dropped unrun, as the pool was shut down, it fails the task.
struct RunLeased {
    task: Option<Arc<dyn Leased>>,
    run: Run,
}

impl Drop for RunLeased {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.fail(Some(Error::in_task(ErrorKind::Shutdown, task.name())));
        }
    }
}

/// Starts an attempt: it goes before all that is queued, as a thread was added for it.
pub(super) fn start(pool: Pool, task: Arc<dyn Leased>, run: Run) {
    drop(pool.submit_urgent(RunLeased { task: Some(task), run }));
}

impl Function<()> for RunLeased {
    type Outcome = Unwatched;
    const NAME: &'static str = "leased task";

    fn call(mut self, (): ()) -> Unwatched {
        if let Some(leased) = self.task.take() {
            match leased.run(&self.run) {
                Turn::Ended(result) => send_ended(&self.run, result, true),
                Turn::Rests => {
                    runtime::control().send(Command::Rest { task: leased.clone(), run: self.run.clone() });
                    leased.rest(self.run.task);
                }
            }
        }
        Unwatched
    }
}
