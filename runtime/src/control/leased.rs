//! A task that runs on a lease: what the driver holds of it while the owner decides.

use super::command::Command;
use crate::context::{Assigned, Cancellation, assigned};
use crate::error::{Error, ErrorKind, Result};
use crate::object::Outcome;
use crate::runtime;
use crate::task::Unwatched;
use rayline_core::ids::{Attempt, LeaseId, TaskId};
use rayline_core::owner::FailureKind;
use rayline_core::resources::Grant;
use rayline_exec::{CancelWatch, Function, Pool, Promise};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Wake, Waker};

/// A leased task of any type.
pub(crate) trait Leased: Send + Sync {
    /// It is known to the owner under this id: from now on a cancellation goes there.
    fn named(&self, id: TaskId);
    /// Runs one attempt, or goes on with one that rests, on a thread of the pool.
    fn run(&self, run: &Run) -> Turn;
    /// The control thread knows that it rests: from now on it may be woken.
    fn rest(&self, _: TaskId) {}
    /// It failed for good: with the error of its last attempt, or with `error` where the system failed it.
    fn fail(&self, error: Option<Error>);
    /// It was cancelled while it runs.
    fn tell_cancelled(&self);
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
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    pub(super) lease: LeaseId,
    pub(super) grant: Grant,
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
    attempt: Box<dyn Fn(u32) -> Result<T> + Send + Sync>,
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
        attempt: Box<dyn Fn(u32) -> Result<T> + Send + Sync>,
        retries_after: fn(&Error) -> bool,
    ) -> Arc<dyn Leased> {
        let state = Mutex::new(State { promise: Some(promise), watch: None, last_error: None });
        Arc::new(Self { name, attempt, retries_after, cancellation: Arc::default(), state })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn keep_promise(&self, result: Result<T>) {
        let mut state = self.lock();
        let (promise, watch) = (state.promise.take(), state.watch.take());
        drop(state);
        drop(watch);
        if let Some(promise) = promise {
            promise.complete(Outcome(result));
        }
    }
}

impl<T: Send + Sync + 'static> Leased for LeasedTask<T> {
    fn named(&self, id: TaskId) {
        let waker = Waker::from(Arc::new(Cancel(id)));
        let mut state = self.lock();
        state.watch = state.promise.as_ref().and_then(|promise| promise.on_cancel(&waker));
        if state.watch.is_none() {
            waker.wake();
        }
    }

    fn run(&self, run: &Run) -> Turn {
        let given = Arc::new(run.assigned(self.name, &self.cancellation));
        match assigned(&given, || (self.attempt)(run.attempt.0)) {
            Ok(value) => {
                self.keep_promise(Ok(value));
                Turn::Ended(Ok(()))
            }
            Err(error) => {
                let retryable = (self.retries_after)(&error);
                self.lock().last_error = Some(error);
                Turn::Ended(Err(FailureKind::Application { retryable }))
            }
        }
    }

    fn fail(&self, error: Option<Error>) {
        let last = self.lock().last_error.take();
        if let Some(error) = error.or(last) {
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

/// Tells the owner that the reference of a task was cancelled.
struct Cancel(TaskId);

impl Wake for Cancel {
    fn wake(self: Arc<Self>) {
        runtime::control().send(Command::Cancel(self.0));
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
            let control = runtime::control();
            let Run { task, attempt, lease, .. } = self.run;
            match leased.run(&self.run) {
                Turn::Ended(result) => control.send(Command::Ended { task, attempt, lease, result }),
                Turn::Rests => {
                    control.send(Command::Rest { task: leased.clone(), run: self.run.clone() });
                    leased.rest(task);
                }
            }
        }
        Unwatched
    }
}
