//! References to values that are, or will be, somewhere.

use crate::actor::Death;
use crate::data::Data;
use crate::elsewhere::Elsewhere;
use crate::error::{Error, ErrorKind, Result};
use crate::wait::deadline;
use rayline_exec::{Cancelled, Exhausted, Fault, Handle, Named};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::time::Duration;

/// A reference to a value that is, or will be, there. Cheap to clone (eight bytes and a count).
///
/// Dropping the last reference releases the value. The task runs whether or not anybody still refers to its value.
pub struct ObjectRef<T> {
    handle: Handle<Outcome<T>>,
}

/// What a job ends with.
#[expect(private_interfaces, reason = "users meet it as a name in bounds only")]
pub enum Outcome<T> {
    /// Its value, or why there is none.
    Here(Result<T>),
    /// Its value, on a node.
    Elsewhere(Box<Elsewhere<T>>),
}

/// A value read in place: derefs to `T`, and keeps it.
pub struct Shared<T> {
    object: ObjectRef<T>,
}

/// Puts a value where tasks can refer to it, without a copy.
///
/// ```
/// # use rayline::prelude::*;
/// # fn main() -> rayline::Result<()> {
/// let policy = put(vec![0.5f32; 1000]);
/// assert_eq!(policy.read()?.len(), 1000);
/// # Ok(()) }
/// ```
pub fn put<T: Data>(value: T) -> ObjectRef<T> {
    ObjectRef { handle: rayline_exec::done::<Put, _>(Outcome::Here(Ok(value))) }
}

struct Put;

impl Named for Put {
    const NAME: &'static str = "put";
}

impl<T> ObjectRef<T> {
    pub(crate) fn from_handle(handle: Handle<Outcome<T>>) -> Self {
        Self { handle }
    }

    pub(crate) fn handle(&self) -> &Handle<Outcome<T>> {
        &self.handle
    }

    pub(crate) fn into_handle(self) -> Handle<Outcome<T>> {
        self.handle
    }

    /// Whether the value, or its failure, is there.
    pub fn is_ready(&self) -> bool {
        self.handle.is_done()
    }

    /// Cancels the task: one that hasn't started never runs, and its reference fails at once; one that runs is told
    /// through [`Context::cancelled`](crate::Context::cancelled), and an asynchronous one is dropped at its next await
    /// point.
    pub fn cancel(self) {
        self.handle.cancel();
    }

    /// Blocks until the value is there, and reads it in place.
    ///
    /// # Errors
    /// What the task failed with.
    pub fn read(&self) -> Result<Shared<T>> {
        self.wait_or_give_up()?;
        self.peek()?;
        Ok(Shared { object: self.clone() })
    }

    /// Blocks until the value is there, or its failure; not where it could only hang, which [`get`](Self::get) then says
    /// ([`ErrorKind::ThreadsExhausted`]).
    pub fn wait(&self) {
        let _ = self.handle.wait();
    }

    fn wait_or_give_up(&self) -> Result<()> {
        self.handle.wait().map_err(|Exhausted { threads_max }| {
            Error::in_task(ErrorKind::ThreadsExhausted { threads_max }, self.handle.name())
        })
    }

    /// Blocks for at most `timeout`; whether the value, or its failure, is there.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        match deadline(timeout) {
            Some(deadline) => self.handle.wait_until(deadline),
            None => self.handle.wait().is_ok(),
        }
    }

    /// The value of a job that is done.
    pub(crate) fn peek(&self) -> Result<&T> {
        let result = match self.handle.outcome() {
            Some(Ok(Outcome::Here(result))) => result,
            Some(Ok(Outcome::Elsewhere(elsewhere))) => elsewhere.value(),
            Some(Err(Cancelled)) | None => return Err(self.cancelled()),
        };
        result.as_ref().map_err(Error::clone)
    }

    /// Why a job that is done has no value, as far as that is known without reading it.
    pub(crate) fn failure(&self) -> Option<Error> {
        match self.elsewhere() {
            Some(elsewhere) if !elsewhere.is_read() => elsewhere.stored().failure(),
            _ => self.peek().err(),
        }
    }

    /// Where the value is, if that is on a node.
    pub(crate) fn elsewhere(&self) -> Option<&Elsewhere<T>> {
        match self.handle.outcome() {
            Some(Ok(Outcome::Elsewhere(elsewhere))) => Some(elsewhere),
            _ => None,
        }
    }

    fn cancelled(&self) -> Error {
        Error::in_task(ErrorKind::Cancelled, self.handle.name())
    }
}

impl<T: Clone + Send + Sync + 'static> ObjectRef<T> {
    /// As [`get`](Self::get), for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] where nothing came within the time; what the task failed with.
    pub fn get_timeout(&self, timeout: Duration) -> Result<T> {
        let until = deadline(timeout);
        let is_in_time = self.wait_timeout(timeout)
            && match (self.read_apart(), until) {
                (Some(read), Some(until)) => read.wait_until(until),
                _ => true,
            };
        if !is_in_time {
            return Err(Error::in_task(ErrorKind::Timeout(timeout), self.handle.name()));
        }
        self.peek().cloned()
    }
}

impl<T: Send + Sync + 'static> ObjectRef<T> {
    /// Has a value that is on a node read by a thread of its own, which tells when it has; `None` where it is here.
    fn read_apart(&self) -> Option<Handle<Outcome<()>>> {
        if self.elsewhere().is_none_or(Elsewhere::is_read) {
            return None;
        }
        let (promise, read) = rayline_exec::promise::<Put, Outcome<()>>();
        let object = self.clone();
        let reading = move || {
            // Whoever waits finds the outcome, whatever it is.
            let _ = object.peek();
            drop(object);
            promise.complete(Outcome::Here(Ok(())));
        };
        // Where there is no thread, the promise is broken, and who waits reads it.
        drop(std::thread::Builder::new().name("rayline-fetch".into()).spawn(reading));
        Some(read)
    }
}

impl<T: Clone> ObjectRef<T> {
    /// Blocks until the value is there, and clones it. Inside a task this runs the awaited task itself where it was
    /// just submitted, and else lends the CPU to others.
    ///
    /// # Errors
    /// What the task failed with.
    pub fn get(&self) -> Result<T> {
        self.wait_or_give_up()?;
        self.peek().cloned()
    }

    /// Blocks until the value is there, and takes it: moved where this is its only reference, cloned otherwise.
    ///
    /// # Errors
    /// What the task failed with.
    pub fn take(self) -> Result<T> {
        self.wait_or_give_up()?;
        self.take_ready()
    }

    pub(crate) fn take_ready(self) -> Result<T> {
        match self.handle.try_take() {
            Ok(Outcome::Here(result)) => result,
            Ok(Outcome::Elsewhere(elsewhere)) => elsewhere.into_value(),
            Err(handle) => Self { handle }.peek().cloned(),
        }
    }
}

impl<T> Clone for ObjectRef<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<T> fmt::Debug for ObjectRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.handle.outcome() {
            None => "pending",
            Some(Ok(Outcome::Here(Ok(_)) | Outcome::Elsewhere(_))) => "ready",
            Some(_) => "failed",
        };
        write!(f, "ObjectRef({}, {state})", self.handle.name())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.object.peek().expect("a shared value was there when it was read, and stays")
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Send + 'static> rayline_exec::Outcome for Outcome<T> {
    fn from_fault(task: &'static str, fault: Fault) -> Self {
        Outcome::Here(Err(match fault {
            Fault::Panicked(payload) => Error::panicked(task, 1, &*payload),
            Fault::Shutdown => Error::in_task(ErrorKind::Shutdown, task),
            Fault::Closed(reason) => closed(task, &*reason),
            Fault::Dropped => Error::in_task(ErrorKind::Shutdown, task),
        }))
    }
}

/// The error of a call whose mailbox was closed for `reason`: a `Death`.
fn closed(task: &'static str, reason: &(dyn std::any::Any + Send + Sync)) -> Error {
    match reason.downcast_ref::<Death>() {
        Some(Death { cause, error }) => Error::actor_died(task, cause.clone(), error.clone()),
        None => Error::actor_died(task, String::new(), None),
    }
}

/// The future of a value; see [`ObjectRef`]'s `IntoFuture`.
pub struct Get<T>(Pin<Box<dyn Future<Output = Result<T>> + Send>>, PhantomData<T>);

impl<T> Future for Get<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<T>> {
        self.0.as_mut().poll(context)
    }
}

impl<T> Unpin for Get<T> {}

impl<T: Clone + Send + Sync + 'static> IntoFuture for ObjectRef<T> {
    type Output = Result<T>;
    type IntoFuture = Get<T>;

    fn into_future(self) -> Get<T> {
        let value = async move {
            self.handle.done().await;
            if let Some(read) = self.read_apart() {
                read.done().await;
            }
            self.take_ready()
        };
        Get(Box::pin(value), PhantomData)
    }
}

impl<T: Clone + Send + Sync + 'static> IntoFuture for &ObjectRef<T> {
    type Output = Result<T>;
    type IntoFuture = Get<T>;

    fn into_future(self) -> Get<T> {
        self.clone().into_future()
    }
}
