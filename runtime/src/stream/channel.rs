//! What a stream's producer and its consumer share: the items that wait, and who rests.

use super::ObjectStream;
use crate::data::Data;
use crate::error::{Error, ErrorKind, Result};
use crate::object::{ObjectRef, Outcome};
use rayline_core::ids::TaskId;
use rayline_exec::{Named, blocking};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The items that wait for their consumer.
pub(super) struct Channel<T> {
    pub(super) name: &'static str,
    buffer: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    items: VecDeque<ObjectRef<T>>,
    producer: Producer,
    /// What the owner calls the task, where it runs on a lease.
    task: Option<TaskId>,
    waker: Option<Waker>,
    sleeping: bool,
}

/// ```text
/// Running <---> Resting (the buffer is full)
///    |             |
///    v             v
///  Ended        Unwanted (the consumer is gone)
/// ```
enum Producer {
    Running,
    Resting(Resume),
    Ended,
    Unwanted,
}

/// Makes a producer that rests go on.
pub(super) type Resume = Box<dyn FnOnce() + Send>;

/// What the producer does after an item.
pub(super) enum Next {
    GoOn,
    /// The buffer is full.
    Rest,
    /// Nobody wants more.
    Stop,
}

/// What a consumer that goes away leaves behind: nothing that it may run under the lock.
pub(super) struct Left<T> {
    _items: VecDeque<ObjectRef<T>>,
    pub(super) resume: Option<Resume>,
    /// The leased task that still runs.
    pub(super) task: Option<TaskId>,
}

pub(super) struct TimedOut;

impl<T> Channel<T> {
    pub(super) fn shared(name: &'static str, buffer: u32) -> Arc<Self> {
        let (items, producer) = (VecDeque::new(), Producer::Running);
        let state = State { items, producer, task: None, waker: None, sleeping: false };
        let buffer = buffer.max(1) as usize;
        Arc::new(Self { name, buffer, state: Mutex::new(state), changed: Condvar::new() })
    }

    pub(super) fn stream(self: &Arc<Self>) -> ObjectStream<T> {
        ObjectStream { channel: self.clone() }
    }

    /// The owner knows the task by this id; whether the stream is wanted still.
    pub(super) fn set_task(&self, task: TaskId) -> bool {
        let mut state = self.lock();
        state.task = Some(task);
        !matches!(state.producer, Producer::Unwanted)
    }

    pub(super) fn is_wanted(&self) -> bool {
        !matches!(self.lock().producer, Producer::Unwanted)
    }

    /// Adds an item and wakes the consumer.
    pub(super) fn add(&self, item: ObjectRef<T>) -> Next {
        let mut state = self.lock();
        if !matches!(state.producer, Producer::Running) {
            drop(state);
            return Next::Stop;
        }
        state.items.push_back(item);
        let next = if state.items.len() >= self.buffer { Next::Rest } else { Next::GoOn };
        self.wake(state);
        next
    }

    /// The producer rests until half of the buffer is free; `resume` is called then, and at once where it is free by
    /// now or nobody wants more.
    pub(super) fn rest(&self, resume: Resume) {
        let mut state = self.lock();
        if matches!(state.producer, Producer::Running) && state.items.len() > self.buffer / 2 {
            state.producer = Producer::Resting(resume);
            return;
        }
        drop(state);
        resume();
    }

    /// The task has ended; `last` is its failure. Nothing where it has ended before.
    pub(super) fn end(&self, last: Option<ObjectRef<T>>) {
        let mut state = self.lock();
        if matches!(state.producer, Producer::Ended | Producer::Unwanted) {
            drop(state);
            return;
        }
        state.items.extend(last);
        let producer = std::mem::replace(&mut state.producer, Producer::Ended);
        self.wake(state);
        drop(producer);
    }

    /// The consumer goes away.
    pub(super) fn leave(&self) -> Left<T> {
        let mut state = self.lock();
        let items = std::mem::take(&mut state.items);
        match std::mem::replace(&mut state.producer, Producer::Unwanted) {
            Producer::Running => Left { _items: items, resume: None, task: state.task },
            Producer::Resting(resume) => Left { _items: items, resume: Some(resume), task: state.task },
            Producer::Ended | Producer::Unwanted => Left { _items: items, resume: None, task: None },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
    /// The next item; `None` after the last.
    pub(super) fn next(&self, deadline: Option<Instant>) -> Result<Option<ObjectRef<T>>, TimedOut> {
        if let Ok(answer) = self.take(self.lock()) {
            return Ok(answer);
        }
        blocking(|| {
            let mut state = self.lock();
            loop {
                state = match self.take(state) {
                    Ok(answer) => return Ok(answer),
                    Err(state) => state,
                };
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

    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<ObjectRef<T>>> {
        match self.take(self.lock()) {
            Ok(answer) => Poll::Ready(answer),
            Err(mut state) => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next item, or that there is none; the lock where the task must make it first. A task that rests goes on once
    /// half of the buffer is free.
    fn take<'a>(&self, mut state: MutexGuard<'a, State<T>>) -> Result<Option<ObjectRef<T>>, MutexGuard<'a, State<T>>> {
        let Some(item) = state.items.pop_front() else {
            return if matches!(state.producer, Producer::Ended) { Ok(None) } else { Err(state) };
        };
        let is_free = state.items.len() <= self.buffer / 2;
        let resume = if is_free { state.producer.resume() } else { None };
        drop(state);
        if let Some(resume) = resume {
            resume();
        }
        Ok(Some(item))
    }
}

impl Producer {
    /// Lets a producer that rests run again.
    fn resume(&mut self) -> Option<Resume> {
        match std::mem::replace(self, Producer::Running) {
            Producer::Resting(resume) => Some(resume),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// Ends the stream when dropped, unless it has ended: the runtime was shut down before the task was done.
pub(super) struct EndGuard<T: Data>(pub(super) Arc<Channel<T>>);

impl<T: Data> EndGuard<T> {
    /// The iterator has given its last item.
    pub(super) fn end(self) {
        self.0.end(None);
    }

    /// The task has failed.
    pub(super) fn fail(self, error: Error) {
        self.0.end(Some(failed(Error::stream(self.0.name, error))));
    }
}

impl<T: Data> Drop for EndGuard<T> {
    fn drop(&mut self) {
        self.0.end(Some(failed(shut_down(self.0.name))));
    }
}

pub(super) fn shut_down(task: &'static str) -> Error {
    Error::stream(task, Error::new(ErrorKind::Shutdown))
}

/// An item that is there.
pub(super) fn item<T: Data>(value: T) -> ObjectRef<T> {
    ObjectRef::from_handle(rayline_exec::done::<Item, _>(Outcome::Here(Ok(value))))
}

/// The last item of a stream that failed.
pub(super) fn failed<T: Data>(error: Error) -> ObjectRef<T> {
    ObjectRef::from_handle(rayline_exec::done::<Item, _>(Outcome::Here(Err(error))))
}

struct Item;

impl Named for Item {
    const NAME: &'static str = "stream item";
}
