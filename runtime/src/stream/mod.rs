//! Streams: a task that returns an iterator, consumed while it runs.

mod call;
mod channel;
mod leased;
mod plain;

pub use call::StreamCall;

use crate::arg::Slots;
use crate::data::Data;
use crate::error::{Error, ErrorKind, Result};
use crate::object::ObjectRef;
use crate::options::Declared;
use crate::runtime;
use crate::wait::deadline;
use channel::{Channel, TimedOut};
use std::sync::Arc;
use std::time::Duration;

/// A task that returns an iterator; `#[task]` implements it.
#[doc(hidden)]
pub trait StreamTask: Send + Sync + 'static {
    const NAME: &'static str;
    const OPTIONS: Declared;
    type Args: Send + 'static;
    type Item: Data;

    fn run(args: Self::Args) -> Result<Items<Self::Item>>;

    /// Whether another try is worth it after this error.
    fn retries_after(_: &Error) -> bool {
        false
    }
}

/// The iterator of a running stream. An error is its last item.
#[doc(hidden)]
pub type Items<T> = Box<dyn Iterator<Item = Result<T>> + Send>;

/// References to the items of a task that returns an iterator, each as soon as it is there.
///
/// The task runs ahead by at most `buffer` items (64 unless `#[task(buffer = …)]` says otherwise), then rests without
/// holding a thread until the consumer has taken half of them. Dropping the stream ends the task at its next item. If the
/// task fails, the last reference of the stream says how: it panics, or its iterator's items are `Result`s and one is an
/// `Err`; or there can't be what it asks for, or the runtime is shut down.
///
/// A plain task (one CPU, no retries after errors) holds nothing while it rests. One that asks for more holds its lease
/// from before its first item until it ends, fails or is dropped: a stream that rests on a GPU keeps the GPU. Only the
/// CPUs of the lease are lent meanwhile, as those of a task that blocks are.
///
/// With `retry_on` a failed attempt is repeated from the beginning, and skips as many items as were handed out before.
/// That is right for tasks whose items depend on their arguments alone.
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

/// Submits a task that returns an iterator.
#[doc(hidden)]
pub fn remote_stream<T: StreamTask, S: Slots<Args = T::Args>>(slots: S) -> ObjectStream<T::Item>
where
    T::Args: Clone + Sync,
{
    StreamCall::<T, S>::new(slots).remote()
}

impl<T: Data> ObjectStream<T> {
    /// The next item if there is one within `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) where nothing came within the time.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<ObjectRef<T>>> {
        self.channel
            .next(deadline(timeout))
            .map_err(|TimedOut| Error::in_task(ErrorKind::Timeout(timeout), self.channel.name))
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
        let left = self.channel.leave();
        // It sees that nobody wants more.
        if let Some(resume) = left.resume {
            resume();
        }
        if let Some(task) = left.task {
            runtime::control().cancel(task);
        }
    }
}
