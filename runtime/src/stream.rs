//! Streams: a task that returns an iterator, consumed while it runs.

use crate::arg::Slots;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::object::{ObjectRef, Outcome};
use crate::options::Declared;
use crate::runtime;
use crate::task::Unwatched;
use crate::wait::deadline;
use rayline_exec::{Function, Named, blocking};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A task that returns an iterator; `#[task]` implements it.
#[doc(hidden)]
pub trait StreamTask: Send + Sync + 'static {
    const NAME: &'static str;
    const OPTIONS: Declared;
    type Args: Send + 'static;
    type Item: Data;

    fn run(args: Self::Args) -> Result<Items<Self::Item>>;
}

/// The iterator of a running stream. An error is its last item.
#[doc(hidden)]
pub type Items<T> = Box<dyn Iterator<Item = Result<T>> + Send>;

/// References to the items of a task that returns an iterator, each as soon as it is there.
///
/// The task runs ahead by at most `buffer` items (64 unless `#[task(buffer = …)]` says otherwise), then rests without
/// holding a thread until the consumer has caught up. Dropping the stream ends the task at its next item. If the task
/// fails, the last reference of the stream says how: it panics, or its iterator's items are `Result`s and one is an `Err`.
///
/// ```
/// use rayline::prelude::*;
///
/// #[task(buffer = 8)]
/// fn lines(text: String) -> impl Iterator<Item = Result<i64, std::num::ParseIntError>> + Send {
///     text.lines().map(str::parse).collect::<Vec<_>>().into_iter()
/// }
///
/// # fn main() -> rayline::Result<()> {
/// let mut numbers = lines::remote("1\n2\nthree\n4".to_owned()).values();
/// assert_eq!(numbers.next().transpose()?, Some(1));
/// assert_eq!(numbers.next().transpose()?, Some(2));
/// let error = numbers.next().transpose().unwrap_err();
/// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
/// assert!(numbers.next().is_none());
/// # Ok(()) }
/// ```
pub struct ObjectStream<T> {
    channel: Arc<Channel<T>>,
}

struct Channel<T> {
    name: &'static str,
    buffer: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    items: VecDeque<ObjectRef<T>>,
    producer: Producer<T>,
    waker: Option<Waker>,
    sleeping: bool,
}

/// ```text
/// Running <---> Resting (the buffer is full)
///    |             |
///    v             v
///  Ended        Unwanted (the consumer is gone)
/// ```
enum Producer<T> {
    Running,
    Resting(Items<T>),
    Ended,
    Unwanted,
}

/// Submits a task that returns an iterator.
#[doc(hidden)]
pub fn remote_stream<T: StreamTask, S: Slots<Args = T::Args>>(slots: S) -> ObjectStream<T::Item> {
    let state = State { items: VecDeque::new(), producer: Producer::Running, waker: None, sleeping: false };
    let buffer = T::OPTIONS.buffer.max(1) as usize;
    let channel = Arc::new(Channel { name: T::NAME, buffer, state: Mutex::new(state), changed: Condvar::new() });
    let guard = EndGuard(Some(channel.clone()));
    drop(runtime::pool().submit(slots, Begin::<T> { guard, task: PhantomData }));
    ObjectStream { channel }
}

impl<T: Data> ObjectStream<T> {
    /// The next item if there is one within `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) where nothing came within the time.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<ObjectRef<T>>> {
        self.channel
            .next(deadline(timeout))
            .map_err(|TimedOut| Error::in_task(crate::error::ErrorKind::Timeout(timeout), self.channel.name))
    }

    /// The next item, without blocking the thread; `None` after the last.
    pub async fn next_async(&mut self) -> Option<ObjectRef<T>> {
        std::future::poll_fn(|context| self.channel.poll_next(context)).await
    }

    /// The items' values, each taken as it comes. Ends with the task's failure, if it fails.
    pub fn values(self) -> impl Iterator<Item = Result<T>> {
        self.map(ObjectRef::take)
    }
}

impl<T: Data> Iterator for ObjectStream<T> {
    type Item = ObjectRef<T>;

    fn next(&mut self) -> Option<ObjectRef<T>> {
        self.channel.next(None).unwrap_or_else(|TimedOut| unreachable!("there is no deadline"))
    }
}

impl<T> Drop for ObjectStream<T> {
    fn drop(&mut self) {
        let mut state = self.channel.lock();
        let (items, producer) =
            (std::mem::take(&mut state.items), std::mem::replace(&mut state.producer, Producer::Unwanted));
        drop(state);
        drop((items, producer));
    }
}

struct TimedOut;

impl<T> Channel<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Adds an item and wakes the consumer; gives the iterator back where the task goes on.
    fn add(&self, item: ObjectRef<T>, rest: Items<T>) -> Option<Items<T>> {
        let mut state = self.lock();
        if matches!(state.producer, Producer::Unwanted) {
            drop(state);
            return None;
        }
        state.items.push_back(item);
        let on = if state.items.len() >= self.buffer {
            state.producer = Producer::Resting(rest);
            None
        } else {
            Some(rest)
        };
        self.wake(state);
        on
    }

    /// The task has ended; `last` is its failure.
    fn end(&self, last: Option<ObjectRef<T>>) {
        let mut state = self.lock();
        if !matches!(state.producer, Producer::Unwanted) {
            state.items.extend(last);
            state.producer = Producer::Ended;
        }
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        let (waker, sleeping) = (state.waker.take(), state.sleeping);
        drop(state);
        if sleeping {
            self.changed.notify_one();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T: Data> Channel<T> {
    fn next(self: &Arc<Self>, deadline: Option<Instant>) -> Result<Option<ObjectRef<T>>, TimedOut> {
        if let Some(answer) = self.take(&mut self.lock()) {
            return Ok(answer);
        }
        blocking(|| {
            let mut state = self.lock();
            loop {
                if let Some(answer) = self.take(&mut state) {
                    return Ok(answer);
                }
                state.sleeping = true;
                state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    Some(Duration::ZERO) => return Err(TimedOut),
                    Some(left) => {
                        self.changed.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0
                    }
                    None => self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
                };
                state.sleeping = false;
            }
        })
    }

    fn poll_next(self: &Arc<Self>, context: &mut Context<'_>) -> Poll<Option<ObjectRef<T>>> {
        let mut state = self.lock();
        match self.take(&mut state) {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next item, or that there is none; `None` where the task must make it first. Wakes a resting task once half
    /// of the buffer is free.
    fn take(self: &Arc<Self>, state: &mut State<T>) -> Option<Option<ObjectRef<T>>> {
        let item = state.items.pop_front();
        if state.items.len() <= self.buffer / 2 && matches!(state.producer, Producer::Resting(_)) {
            let Producer::Resting(items) = std::mem::replace(&mut state.producer, Producer::Running) else {
                unreachable!("it rests");
            };
            let guard = EndGuard(Some(self.clone()));
            drop(runtime::pool().submit((), Produce { guard, items }));
        }
        match item {
            Some(item) => Some(Some(item)),
            None if matches!(state.producer, Producer::Ended) => Some(None),
            None => None,
        }
    }
}

/// Ends the stream when dropped, unless the task goes on or has ended it: a task that was shut down before it ran.
struct EndGuard<T>(Option<Arc<Channel<T>>>);

impl<T> Drop for EndGuard<T> {
    fn drop(&mut self) {
        if let Some(channel) = self.0.take() {
            channel.end(None);
        }
    }
}

/// Makes the iterator, once the arguments are there, and begins with it.
struct Begin<T: StreamTask> {
    guard: EndGuard<T::Item>,
    task: PhantomData<fn() -> T>,
}

impl<T: StreamTask, S: Slots<Args = T::Args>> Function<S> for Begin<T> {
    type Outcome = Unwatched;
    const NAME: &'static str = T::NAME;

    fn call(self, slots: S) -> Unwatched {
        let args = slots.into_args();
        match catch_unwind(AssertUnwindSafe(|| T::run(args))) {
            Ok(Ok(items)) => produce::<T::Item>(self.guard, items),
            Ok(Err(error)) => end_with(self.guard, error),
            Err(payload) => end_with(self.guard, Error::panicked(T::NAME, 1, &*payload)),
        }
        Unwatched
    }
}

/// Goes on with an iterator that rested.
struct Produce<T> {
    guard: EndGuard<T>,
    items: Items<T>,
}

impl<T: Data> Function<()> for Produce<T> {
    type Outcome = Unwatched;
    const NAME: &'static str = "stream";

    fn call(self, (): ()) -> Unwatched {
        produce(self.guard, self.items);
        Unwatched
    }
}

fn produce<T: Data>(mut guard: EndGuard<T>, mut items: Items<T>) {
    let Some(channel) = guard.0.clone() else { return };
    loop {
        match catch_unwind(AssertUnwindSafe(|| items.next())) {
            Ok(Some(Err(error))) => return end_with(guard, error),
            Ok(Some(Ok(value))) => {
                let item = ObjectRef::from_handle(rayline_exec::done::<Item, _>(Outcome(Ok(value))));
                match channel.add(item, items) {
                    Some(rest) => items = rest,
                    None => {
                        // It rests, or isn't wanted any more.
                        guard.0 = None;
                        return;
                    }
                }
            }
            Ok(None) => return,
            Err(payload) => return end_with(guard, Error::panicked(channel.name, 1, &*payload)),
        }
    }
}

fn end_with<T: Data>(mut guard: EndGuard<T>, error: Error) {
    if let Some(channel) = guard.0.take() {
        let error = Error::stream(channel.name, error);
        channel.end(Some(ObjectRef::from_handle(rayline_exec::done::<Item, _>(Outcome(Err(error))))));
    }
}

struct Item;

impl Named for Item {
    const NAME: &'static str = "stream item";
}
