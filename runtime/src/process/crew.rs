//! The crew: worker processes that run the plain tasks, each on threads of its own.
//!
//! A call goes from the thread that submits it straight into a ring, and its answer to the thread that waits, if one
//! does. The control thread has no part in it.

use super::fleet::Request;
use super::lane::{Answered, Lane, Waiting};
use super::values::Unread;
use crate::arg::Slots;
use crate::control::Packed;
use crate::error::{Error, ErrorKind};
use crate::object::{ObjectRef, Outcome};
use crate::runtime;
use crate::task::{Task, TaskName, Unwatched, pack};
use rayline_exec::{Function, Look, Promise, promise};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock};

/// The lanes to the processes of the crew.
pub(crate) struct Crew {
    lanes: RwLock<Vec<Arc<Lane>>>,
    requests: Sender<Request>,
    is_dismissed: AtomicBool,
}

impl Crew {
    pub(super) fn new(lanes: Vec<Arc<Lane>>, requests: Sender<Request>) -> Self {
        Self { lanes: RwLock::new(lanes), requests, is_dismissed: AtomicBool::new(false) }
    }

    /// Sends a call to the process with the fewest calls under way.
    fn send(&self, call: Box<dyn Waiting>) {
        match self.least_busy() {
            Some(lane) if !self.is_dismissed() => {
                lane.call(call, None);
            }
            _ => self.send_later(call),
        }
    }

    fn least_busy(&self) -> Option<Arc<Lane>> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().filter(|lane| lane.is_open()).min_by_key(|lane| lane.under_way()).cloned()
    }

    /// Sends a call, now that the processes are replaced that had died.
    pub(super) fn send_now(&self, call: Box<dyn Waiting>) {
        match self.least_busy() {
            Some(lane) => {
                lane.call(call, None);
            }
            None => call.answered(Answered::Died("has died, as its successor has".into())),
        }
    }

    /// Sends a call once the processes that have died are replaced.
    fn send_later(&self, call: Box<dyn Waiting>) {
        if let Err(refused) = self.requests.send(Request::Again(call))
            && let Request::Again(call) = refused.0
        {
            call.answered(Answered::Died("is gone, as the runtime was shut down".into()));
        }
    }

    /// Puts `lane` in the place of the first whose process has died; `false` where none has.
    pub(super) fn replace_dead(&self, launch: impl FnOnce() -> Option<Arc<Lane>>) -> bool {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let Some(dead) = lanes.iter_mut().find(|lane| !lane.is_open()) else { return false };
        let Some(lane) = launch() else { return false };
        *dead = lane;
        true
    }

    /// From now on a process that ends is no death.
    pub(super) fn dismiss(&self) {
        self.is_dismissed.store(true, Ordering::Release);
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).iter().for_each(|lane| lane.dismiss());
    }

    fn is_dismissed(&self) -> bool {
        self.is_dismissed.load(Ordering::Acquire)
    }

    /// Shares the CPUs that plain tasks may use out among the processes.
    pub(crate) fn set_threads(&self, cpus: u32) {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        let each = cpus.div_ceil(lanes.len() as u32).max(1);
        lanes.iter().for_each(|lane| lane.set_threads(each));
    }

    /// What a thread does that waits for an outcome before it sleeps: it takes answers.
    pub(crate) fn look(&self, look: Look) {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().for_each(|lane| lane.look(look));
    }
}

/// Submits a plain task to the crew.
pub(crate) fn submit<T: Task, S: Slots<Args = T::Args>>(crew: &Crew, slots: S) -> ObjectRef<T::Output> {
    let (promise, handle) = promise::<TaskName<T>, _>();
    if slots.are_there() {
        send::<T>(crew, promise, &slots.into_args());
    } else {
        drop(runtime::pool().submit(slots, Send::<T> { promise }));
    }
    ObjectRef::from_handle(handle)
}

/// Sends a call once its arguments are there.
struct Send<T: Task> {
    promise: Promise<Outcome<T::Output>>,
}

impl<T: Task, S: Slots<Args = T::Args>> Function<S> for Send<T> {
    type Outcome = Unwatched;
    const NAME: &'static str = T::NAME;

    fn call(self, slots: S) -> Unwatched {
        match runtime::crew() {
            Some(crew) => send::<T>(crew, self.promise, &slots.into_args()),
            None => drop(self.promise),
        }
        Unwatched
    }
}

fn send<T: Task>(crew: &Crew, promise: Promise<Outcome<T::Output>>, args: &T::Args) {
    match pack::<T>(args) {
        Ok(packed) => crew.send(Box::new(Sent::<T> { promise, packed, attempt: 1 })),
        Err(error) => drop(promise.complete(Outcome(Err(error)))),
    }
}

/// A call of a plain task that a process of the crew runs.
struct Sent<T: Task> {
    promise: Promise<Outcome<T::Output>>,
    packed: Packed,
    attempt: u32,
}

impl<T: Task> Waiting for Sent<T> {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn answered(self: Box<Self>, answered: Answered) {
        let result = match answered {
            Answered::Value(value) => match value.decode() {
                Ok(value) => Ok(value),
                Err(Unread::Codec(error)) => Err(Error::codec(T::NAME, "value", error)),
                Err(Unread::Gone(how)) => return self.died(how),
            },
            Answered::Failed { error, .. } => Err(error),
            Answered::Died(how) => return self.died(how),
        };
        self.promise.complete(Outcome(result));
    }
}

impl<T: Task> Sent<T> {
    /// Tries again, as often as it may.
    fn died(mut self: Box<Self>, how: String) {
        let error = match runtime::crew().filter(|crew| !crew.is_dismissed()) {
            None => ErrorKind::Shutdown,
            Some(crew) if self.attempt <= T::OPTIONS.retries => {
                self.attempt += 1;
                return crew.send_later(self);
            }
            Some(_) => ErrorKind::WorkerDied { how, attempt: self.attempt },
        };
        self.promise.complete(Outcome(Err(Error::in_task(error, T::NAME))));
    }
}
