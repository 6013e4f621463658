//! A stream on a lease: it holds what its task asks for from the first item to the end, also while it rests.
//!
//! ```text
//!  Waiting (for the lease, or for the next try) <---> Running <---> Resting (on the lease, without a thread;
//!                                                        |            its CPUs are lent)
//!                                                        v
//!                                               Ended: the lease goes back
//! ```

use super::channel::{Channel, EndGuard, Next, failed, item, shut_down};
use super::{Items, ObjectStream, StreamTask};
use crate::arg::Slots;
use crate::context::{Cancellation, assigned};
use crate::control::{self, Leased, Run, Turn};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;
use crate::runtime;
use crate::task::Unwatched;
use rayline_core::ids::TaskId;
use rayline_core::owner::FailureKind;
use rayline_core::resources::Demand;
use rayline_exec::Function;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

pub(super) fn submit<T: StreamTask, S: Slots<Args = T::Args>>(slots: S, options: Options) -> ObjectStream<T::Item>
where
    T::Args: Clone + Sync,
{
    let channel = Channel::shared(T::NAME, options.declared.buffer);
    match options.demand() {
        Ok(demand) => {
            let guard = EndGuard(channel.clone());
            drop(runtime::pool().submit(slots, Escape::<T> { guard, options, demand, task: PhantomData }));
        }
        Err(error) => channel.end(Some(failed(error))),
    }
    channel.stream()
}

/// Hands a stream to the owner once its arguments are there.
struct Escape<T: StreamTask> {
    guard: EndGuard<T::Item>,
    options: Options,
    demand: Demand,
    task: PhantomData<fn() -> T>,
}

impl<T: StreamTask, S: Slots<Args = T::Args>> Function<S> for Escape<T>
where
    T::Args: Clone + Sync,
{
    type Outcome = Unwatched;
    const NAME: &'static str = T::NAME;

    fn call(self, slots: S) -> Unwatched {
        let channel = self.guard.0.clone();
        if channel.is_wanted() {
            let stream = LeasedStream::<T> {
                args: slots.into_args(),
                channel,
                _guard: self.guard,
                cancellation: Arc::default(),
                handed_out: AtomicU64::new(0),
                state: Mutex::new(State { resting: None, last_error: None }),
            };
            control::submit(Arc::new(stream), self.demand, self.options.bundle, self.options.declared.retries);
        }
        Unwatched
    }
}

struct LeasedStream<T: StreamTask> {
    args: T::Args,
    channel: Arc<Channel<T::Item>>,
    /// Where the control thread ends first, the stream ends with it.
    _guard: EndGuard<T::Item>,
    cancellation: Arc<Cancellation>,
    /// Items of all attempts that the consumer has or will get: the next attempt skips as many.
    handed_out: AtomicU64,
    state: Mutex<State<T>>,
}

struct State<T: StreamTask> {
    /// The iterator of an attempt that rests.
    resting: Option<Items<T::Item>>,
    last_error: Option<Error>,
}

/// How a turn of the iterator ended.
enum Stop<T> {
    /// The buffer is full.
    Full(Items<T>),
    /// It gave its last item, or nobody wants more.
    Done,
}

impl<T: StreamTask> LeasedStream<T>
where
    T::Args: Clone + Sync,
{
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Goes on with the iterator that rests, or begins an attempt.
    fn proceed(&self) -> Result<Stop<T::Item>> {
        let resting = self.lock().resting.take();
        if !self.channel.is_wanted() {
            return Ok(Stop::Done);
        }
        let items = match resting {
            Some(items) => items,
            None => match self.begin()? {
                Some(items) => items,
                None => return Ok(Stop::Done),
            },
        };
        self.produce(items)
    }

    /// Makes the iterator and skips what was handed out before; `None` where there is no more.
    fn begin(&self) -> Result<Option<Items<T::Item>>> {
        let mut items = T::run(self.args.clone())?;
        for _ in 0..self.handed_out.load(Ordering::Relaxed) {
            match items.next().transpose()? {
                Some(_) if self.channel.is_wanted() => {}
                _ => return Ok(None),
            }
        }
        Ok(Some(items))
    }

    fn produce(&self, mut items: Items<T::Item>) -> Result<Stop<T::Item>> {
        while let Some(value) = items.next().transpose()? {
            // Attempts follow each other through the owner's and the pool's queues, which order this.
            self.handed_out.fetch_add(1, Ordering::Relaxed);
            match self.channel.add(item(value)) {
                Next::GoOn => {}
                Next::Rest => return Ok(Stop::Full(items)),
                Next::Stop => return Ok(Stop::Done),
            }
        }
        Ok(Stop::Done)
    }

    fn failed(&self, error: Error) -> Turn {
        let retryable = T::retries_after(&error);
        self.lock().last_error = Some(error);
        Turn::Ended(Err(FailureKind::Application { retryable }))
    }
}

impl<T: StreamTask> Leased for LeasedStream<T>
where
    T::Args: Clone + Sync,
{
    fn named(self: Arc<Self>, id: TaskId) {
        if !self.channel.set_task(id) {
            runtime::control().cancel(id);
        }
    }

    fn run(&self, run: &Run) -> Turn {
        let given = Arc::new(run.assigned(T::NAME, &self.cancellation));
        // Within `assigned` the iterator is dropped, too.
        match assigned(&given, || catch_unwind(AssertUnwindSafe(|| self.proceed()))) {
            Ok(Ok(Stop::Full(items))) => {
                self.lock().resting = Some(items);
                Turn::Rests
            }
            Ok(Ok(Stop::Done)) => {
                self.channel.end(None);
                Turn::Ended(Ok(()))
            }
            Ok(Err(error)) => self.failed(error.in_attempt(run.attempt())),
            Err(payload) => self.failed(Error::panicked(T::NAME, run.attempt(), &*payload)),
        }
    }

    fn rest(&self, id: TaskId) {
        self.channel.rest(Box::new(move || runtime::control().wake(id)));
    }

    fn fail(&self, error: Option<Error>) {
        let mut state = self.lock();
        let (resting, last_error) = (state.resting.take(), state.last_error.take());
        drop(state);
        // The control thread outlives an iterator that panics when dropped.
        drop(catch_unwind(AssertUnwindSafe(|| drop(resting))));
        let error = match error {
            Some(error) if matches!(error.kind(), ErrorKind::Shutdown) => shut_down(T::NAME),
            Some(error) => error,
            None => match last_error {
                Some(last) => Error::stream(T::NAME, last),
                None => return,
            },
        };
        self.channel.end(Some(failed(error)));
    }

    fn tell_cancelled(&self) {
        self.cancellation.tell();
    }

    fn name(&self) -> &'static str {
        T::NAME
    }
}
