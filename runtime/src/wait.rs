//! Waiting for many references.

use crate::error::Result;
use crate::object::{ObjectRef, Outcome};
use rayline_exec::{CompletionQueue, Handle, wait_some};
use std::time::{Duration, Instant};

/// Blocks until `count` of the references are ready, or `timeout` is over: those that are ready, and the others, each in
/// the order given. Ready are at most `count`; a failure counts as ready.
///
/// To take many references one by one use [`as_completed`], which looks at each once.
pub fn wait<T>(
    refs: Vec<ObjectRef<T>>,
    count: usize,
    timeout: Option<Duration>,
) -> (Vec<ObjectRef<T>>, Vec<ObjectRef<T>>) {
    let handles: Vec<&Handle<Outcome<T>>> = refs.iter().map(ObjectRef::handle).collect();
    // Where it could only hang it gives up, too, and whoever gets one of those that are late is told.
    let _ = wait_some(&handles, count, timeout.and_then(deadline));
    let (mut ready, mut late) = (Vec::with_capacity(count.min(refs.len())), Vec::with_capacity(refs.len()));
    for object in refs {
        if ready.len() < count && object.is_ready() { ready.push(object) } else { late.push(object) }
    }
    (ready, late)
}

/// When a wait that begins now is over; `None` for one that is longer than the clock can say: it has no end.
pub(crate) fn deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// Blocks until all are ready, and clones their values.
///
/// # Errors
/// The first failure, in the order given.
pub fn get_all<'a, T: Clone + 'a>(refs: impl IntoIterator<Item = &'a ObjectRef<T>>) -> Result<Vec<T>> {
    refs.into_iter().map(ObjectRef::get).collect()
}

/// The references in the order in which they get ready. Linear in their number.
pub fn as_completed<T>(refs: Vec<ObjectRef<T>>) -> Completions<T> {
    Completions { queue: CompletionQueue::new(refs.into_iter().map(ObjectRef::into_handle).collect()) }
}

/// An iterator over references as they get ready; see [`as_completed`].
pub struct Completions<T> {
    queue: CompletionQueue<Outcome<T>>,
}

impl<T> Completions<T> {
    /// The next that gets ready within `timeout`; `None` after the last, or when the time is over.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<ObjectRef<T>> {
        let (_, handle) = self.queue.next_until(deadline(timeout))?;
        Some(ObjectRef::from_handle(handle))
    }

    /// The next that gets ready, with the index at which it was given.
    pub fn next_indexed(&mut self) -> Option<(usize, ObjectRef<T>)> {
        let (index, handle) = self.queue.next_until(None)?;
        Some((index, ObjectRef::from_handle(handle)))
    }

    /// The next that gets ready, without blocking the thread; `None` after the last.
    pub async fn next_async(&mut self) -> Option<ObjectRef<T>> {
        let (_, handle) = std::future::poll_fn(|context| self.queue.poll_next(context)).await?;
        Some(ObjectRef::from_handle(handle))
    }
}

impl<T> Iterator for Completions<T> {
    type Item = ObjectRef<T>;

    fn next(&mut self) -> Option<ObjectRef<T>> {
        let (_, object) = self.next_indexed()?;
        Some(object)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.queue.len(), Some(self.queue.len()))
    }
}

impl<T> ExactSizeIterator for Completions<T> {}
