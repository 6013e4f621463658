//! Tasks: functions that are submitted.

use crate::arg::{ArgList, Slots};
use crate::context;
use crate::control::{self, Body, LeasedTask, Packed};
use crate::data::Data;
use crate::error::{Error, ErrorKind, Result};
use crate::object::{ObjectRef, Outcome};
use crate::options::{Declared, Options, option_methods};
use crate::process;
use crate::registry::{self, Answer, RunEncoded};
use crate::runtime;
use rayline_exec::{Awaited, BoxFuture, Fault, Function, Named, Promise, promise};
use rayline_store::{Carrier, CodecError, ImportError, Region, decode_with, encode, encode_with};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A function that can be submitted; `#[task]` implements it.
#[diagnostic::on_unimplemented(message = "`{Self}` isn't a task", note = "write `#[task]` above the function")]
pub trait Task: Send + Sync + 'static {
    /// Its name, with the module's path.
    const NAME: &'static str;
    #[doc(hidden)]
    const OPTIONS: Declared;
    #[doc(hidden)]
    const IS_ASYNC: bool;
    /// What it takes when it runs.
    #[doc(hidden)]
    type Args: ArgList;
    /// What its reference gives.
    type Output: Data;

    #[doc(hidden)]
    fn run(args: Self::Args) -> Invocation<Self::Output>;

    /// Whether another try is worth it after this error.
    #[doc(hidden)]
    fn retries_after(_: &Error) -> bool {
        false
    }
}

/// A generic task with its types.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` isn't a generic task with its types",
    note = "`instantiate!` takes names of functions with `#[task]`, as in `instantiate!(sort<u32>);`"
)]
pub trait Instance {
    /// How another process runs it, where it can.
    const RUN: Option<RunEncoded>;
}

/// A task that runs: its result, or the future of it.
#[doc(hidden)]
pub enum Invocation<T> {
    Done(Result<T>),
    Pending(BoxFuture<'static, Result<T>>),
}

/// A call that is prepared but not submitted: its options may still be changed.
#[must_use = "a call does nothing until `remote` submits it"]
pub struct Call<T, S> {
    slots: S,
    pub(crate) options: Options,
    task: PhantomData<fn() -> T>,
}

impl<T: Task, S: Slots<Args = T::Args>> Call<T, S> {
    #[doc(hidden)]
    pub fn new(slots: S) -> Self {
        Self { slots, options: Options::new(T::OPTIONS), task: PhantomData }
    }

    option_methods!();

    /// Tries after the first.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.declared.retries = retries;
        self
    }

    /// Submits it. Never fails: errors belong to the reference.
    pub fn remote(self) -> ObjectRef<T::Output>
    where
        T::Args: Clone + Sync,
    {
        if self.options.is_plain() {
            if let Some(crew) = runtime::crew() {
                return process::submit::<T, S>(crew, self.slots);
            }
            return if T::IS_ASYNC { submit_async::<T, S>(self.slots) } else { submit::<T, S>(self.slots) };
        }
        submit_leased::<T, S>(self.slots, self.options)
    }
}

/// Submits a call with the declared options.
#[doc(hidden)]
#[inline]
pub fn remote<T: Task, S: Slots<Args = T::Args>>(slots: S) -> ObjectRef<T::Output>
where
    T::Args: Clone + Sync,
{
    if T::OPTIONS.is_plain() {
        return match runtime::crew() {
            None => submit::<T, S>(slots),
            Some(crew) => process::submit::<T, S>(crew, slots),
        };
    }
    submit_leased::<T, S>(slots, Options::new(T::OPTIONS))
}

/// The fast path: one cell on a deque.
#[inline]
fn submit<T: Task, S: Slots<Args = T::Args>>(slots: S) -> ObjectRef<T::Output> {
    ObjectRef::from_handle(runtime::pool().submit(slots, Run::<T>(PhantomData)))
}

/// A plain task on the executor.
struct Run<T>(PhantomData<fn() -> T>);

impl<T: Task, S: Slots<Args = T::Args>> Function<S> for Run<T> {
    type Outcome = Outcome<T::Output>;
    const NAME: &'static str = T::NAME;

    #[inline]
    fn call(self, slots: S) -> Self::Outcome {
        match T::run(slots.into_args()) {
            Invocation::Done(result) => Outcome::Here(result),
            Invocation::Pending(future) => Outcome::Here(runtime::block_on(future)),
        }
    }
}

/// Submits an asynchronous task: its future is polled on the executor, and holds no thread while it waits.
#[doc(hidden)]
pub fn remote_async<T: Task, S: Slots<Args = T::Args>>(slots: S) -> ObjectRef<T::Output>
where
    T::Args: Clone + Sync,
{
    if !T::OPTIONS.is_plain() {
        return submit_leased::<T, S>(slots, Options::new(T::OPTIONS));
    }
    match runtime::crew() {
        None => submit_async::<T, S>(slots),
        Some(crew) => process::submit::<T, S>(crew, slots),
    }
}

fn submit_async<T: Task, S: Slots<Args = T::Args>>(slots: S) -> ObjectRef<T::Output> {
    let (promise, handle) = promise::<TaskName<T>, _>();
    drop(runtime::pool().submit(slots, Launch::<T> { promise }));
    ObjectRef::from_handle(handle)
}

/// Starts an asynchronous task once its arguments are there.
struct Launch<T: Task> {
    promise: Promise<Outcome<T::Output>>,
}

/// The name of a task, for its promises.
pub(crate) struct TaskName<T>(PhantomData<fn() -> T>);

impl<T: Task> Named for TaskName<T> {
    const NAME: &'static str = T::NAME;
}

/// The outcome of a job whose result goes through promises.
pub(crate) struct Unwatched;

impl rayline_exec::Outcome for Unwatched {
    fn from_fault(_: &'static str, _: Fault) -> Self {
        Self
    }
}

impl<T: Task, S: Slots<Args = T::Args>> Function<S> for Launch<T> {
    type Outcome = Unwatched;
    const NAME: &'static str = T::NAME;

    fn call(self, slots: S) -> Unwatched {
        match T::run(slots.into_args()) {
            Invocation::Done(result) => drop(self.promise.complete(Outcome::Here(result))),
            Invocation::Pending(future) => {
                rayline_exec::fulfil::<TaskName<T>, _>(runtime::pool(), self.promise, async {
                    Outcome::Here(future.await)
                });
            }
        }
        Unwatched
    }
}

/// The other path: a lease for what the task needs, and tries that are counted. It costs microseconds, not
/// nanoseconds.
#[cold]
fn submit_leased<T: Task, S: Slots<Args = T::Args>>(slots: S, options: Options) -> ObjectRef<T::Output>
where
    T::Args: Clone + Sync,
{
    let (promise, handle) = promise::<TaskName<T>, _>();
    let demand = match options.demand() {
        Ok(demand) => demand,
        Err(error) => {
            promise.complete(Outcome::Here(Err(error)));
            return ObjectRef::from_handle(handle);
        }
    };
    drop(runtime::pool().submit(slots, Escape::<T> { promise, options, demand }));
    ObjectRef::from_handle(handle)
}

/// Hands a task to the owner once its arguments are there.
struct Escape<T: Task> {
    promise: Promise<Outcome<T::Output>>,
    options: Options,
    demand: rayline_core::resources::Demand,
}

impl<T: Task, S: Slots<Args = T::Args>> Function<S> for Escape<T>
where
    T::Args: Clone + Sync,
{
    type Outcome = Unwatched;
    const NAME: &'static str = T::NAME;

    fn call(self, slots: S) -> Unwatched {
        let Self { promise, options, demand } = self;
        let (mut args, mut objects) = (slots.into_args(), Vec::new());
        let is_of_cluster = runtime::is_of_cluster();
        let is_apart = options.declared.isolated || (is_of_cluster && registry::number::<T>().is_some());
        let body = if !is_apart {
            let args = args.clone();
            Ok(Body::Here(Box::new(move |attempt: u32| try_once::<T>(args.clone(), attempt)) as Box<_>))
        } else {
            // A process of its own that a node starts reads nothing of other nodes.
            args = if options.declared.isolated { args.into_here() } else { args };
            args.objects(&mut objects);
            if objects.is_empty() {
                pack::<T>(&args).map(|packed| Body::Apart(Arc::new(packed)))
            } else {
                let lineage = args.as_lineage();
                Ok(Body::Anew(Box::new(move || pack::<T>(&lineage))))
            }
        };
        match body {
            Ok(body) => {
                let task = LeasedTask::shared(T::NAME, promise, body, T::retries_after);
                control::submit_after(task, objects, demand, options.bundle, options.declared.retries);
            }
            Err(error) => drop(promise.complete(Outcome::Here(Err(error)))),
        }
        // Not before the owner has heard of the task: with them goes what holds the objects among them.
        drop(args);
        Unwatched
    }
}

/// Encodes a call, so that another process can run it.
pub(crate) fn pack<T: Task>(args: &T::Args) -> Result<Packed> {
    if let Some(error) = args.failure() {
        return Err(Error::argument(T::NAME, error));
    }
    let function = registry::number::<T>().ok_or_else(|| Error::in_task(ErrorKind::Unregistered, T::NAME))?;
    // A process of its own that a node starts for an isolated task reads nothing of other nodes.
    let args = if T::OPTIONS.isolated && runtime::is_of_cluster() {
        encode(args)
    } else {
        encode_with(args, runtime::control().values())
    };
    let args = args.map_err(|error| Error::codec(T::NAME, "arguments", error))?;
    Ok(Packed { function, args, is_isolated: T::OPTIONS.isolated })
}

/// Runs one attempt of a task that another process has sent.
#[doc(hidden)]
pub fn run_encoded<T: Task>(args: &Region, attempt: u32, carrier: &dyn Carrier) -> Answer {
    let decoded = decode_with::<T::Args>(args, carrier);
    if let Err(CodecError::Import(error @ (ImportError::Gone | ImportError::Unavailable { .. }))) = &decoded {
        // Another process may reach what this one doesn't: it costs a try, as a death does.
        return Answer::Died(format!("can't read a large argument: {error}"));
    }
    let result = decoded
        .map_err(|error| Error::codec(T::NAME, "arguments", error))
        .and_then(|args| try_once::<T>(args, attempt))
        .and_then(|value| encode_with(&value, carrier).map_err(|error| Error::codec(T::NAME, "value", error)));
    match result {
        Ok(value) => Answer::Value(value),
        Err(error) => Answer::Failed { retryable: T::retries_after(&error), error },
    }
}

fn try_once<T: Task>(args: T::Args, attempt: u32) -> Result<T::Output> {
    let run = AssertUnwindSafe(|| match T::run(args) {
        Invocation::Done(result) => result,
        Invocation::Pending(future) => runtime::block_on(context::until_cancelled(future))
            .unwrap_or_else(|| Err(Error::in_task(ErrorKind::Cancelled, T::NAME))),
    });
    match catch_unwind(run) {
        Ok(result) => result.map_err(|error| error.in_attempt(attempt)),
        Err(payload) => Err(Error::panicked(T::NAME, attempt, &*payload)),
    }
}

/// Submits a task that returns a tuple, and gives a reference for each part.
#[doc(hidden)]
pub fn remote_parts<T: Task, S: Slots<Args = T::Args>>(slots: S) -> <T::Output as Parts>::Refs
where
    T::Output: Parts,
    T::Args: Clone + Sync,
{
    let (promises, refs) = T::Output::promise::<T>();
    if T::OPTIONS.is_plain() && !T::IS_ASYNC && runtime::crew().is_none() {
        drop(runtime::pool().submit(slots, RunParts::<T> { promises }));
    } else {
        let whole = Call::<T, S>::new(slots).remote();
        drop(runtime::pool().submit((Awaited::new(whole.into_handle()), ()), Split::<T> { promises }));
    }
    refs
}

/// Gives out the parts of a tuple that a task made elsewhere.
struct Split<T: Task>
where
    T::Output: Parts,
{
    promises: <T::Output as Parts>::Promises,
}

impl<T: Task> Function<(Awaited<Outcome<T::Output>>, ())> for Split<T>
where
    T::Output: Parts,
{
    type Outcome = Unwatched;
    const NAME: &'static str = T::NAME;

    fn call(self, (whole, ()): (Awaited<Outcome<T::Output>>, ())) -> Unwatched {
        T::Output::complete(ObjectRef::from_handle(whole.into_handle()).take_ready(), self.promises);
        Unwatched
    }
}

struct RunParts<T: Task>
where
    T::Output: Parts,
{
    promises: <T::Output as Parts>::Promises,
}

impl<T: Task, S: Slots<Args = T::Args>> Function<S> for RunParts<T>
where
    T::Output: Parts,
{
    type Outcome = Unwatched;
    const NAME: &'static str = T::NAME;

    fn call(self, slots: S) -> Unwatched {
        T::Output::complete(try_once::<T>(slots.into_args(), 1), self.promises);
        Unwatched
    }
}

/// A tuple whose parts are objects of their own.
#[doc(hidden)]
pub trait Parts: Sized {
    type Promises: Send + 'static;
    type Refs;

    fn promise<T: Task>() -> (Self::Promises, Self::Refs);
    fn complete(result: Result<Self>, promises: Self::Promises);
}

macro_rules! parts {
    ($($part:ident $promise:ident),+) => {
        impl<$($part: Data),+> Parts for ($($part,)+) {
            type Promises = ($(Promise<Outcome<$part>>,)+);
            type Refs = ($(ObjectRef<$part>,)+);

            #[allow(non_snake_case)]
            fn promise<T: Task>() -> (Self::Promises, Self::Refs) {
                $(let ($promise, $part) = promise::<TaskName<T>, Outcome<$part>>();)+
                (($($promise,)+), ($(ObjectRef::from_handle($part),)+))
            }

            #[allow(non_snake_case)]
            fn complete(result: Result<Self>, ($($promise,)+): Self::Promises) {
                match result {
                    Ok(($($part,)+)) => { $($promise.complete(Outcome::Here(Ok($part)));)+ }
                    Err(error) => { $($promise.complete(Outcome::Here(Err(error.clone())));)+ }
                }
            }
        }
    };
}
parts!(A a);
parts!(A a, B b);
parts!(A a, B b, C c);
parts!(A a, B b, C c, D d);
parts!(A a, B b, C c, D d, E e);
parts!(A a, B b, C c, D d, E e, F f);
parts!(A a, B b, C c, D d, E e, F f, G g);
parts!(A a, B b, C c, D d, E e, F f, G g, H h);
