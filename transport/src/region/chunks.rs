//! Which chunks of a span are there.

use super::extent::Span;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The unit of transfer in bytes; part of the wire's version.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// How many chunks `len` bytes have.
pub fn chunk_count(len: u64) -> usize {
    usize::try_from(len.div_ceil(CHUNK_BYTES)).expect("a span lies in memory")
}

/// A bitmap of chunks, each absent, claimed by one who writes it, or present for good.
///
/// ```text
///  absent --claim--> claimed --arrive--> present
///    ^                  |
///    +--drop of claim---+
/// ```
#[derive(Debug)]
pub struct ChunkMap {
    state: Mutex<State>,
    changed: Condvar,
    /// The same as `changed`, for tasks.
    told: Notify,
}

#[derive(Debug)]
struct State {
    chunks: Vec<Chunk>,
    missing: usize,
    is_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Absent,
    Claimed,
    Present,
}

/// What became of a wait for chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// They are there.
    Present,
    /// They weren't there in time.
    Late,
    /// They never will be.
    Ended,
}

impl ChunkMap {
    /// `count` chunks, all of them there or none.
    pub fn new(count: usize, is_present: bool) -> Self {
        let chunk = if is_present { Chunk::Present } else { Chunk::Absent };
        let missing = if is_present { 0 } else { count };
        Self {
            state: Mutex::new(State { chunks: vec![chunk; count], missing, is_ended: false }),
            changed: Condvar::new(),
            told: Notify::new(),
        }
    }

    /// Nobody will bring more chunks.
    pub fn end(&self) {
        self.lock().is_ended = true;
        self.tell();
    }

    /// Takes the absent chunks of a range to write them; none where one of them is claimed or present.
    pub fn claim(&self, range: Range<usize>) -> bool {
        let mut state = self.lock();
        let Some(chunks) = state.chunks.get_mut(range) else { return false };
        let is_free = chunks.iter().all(|chunk| *chunk == Chunk::Absent);
        if is_free {
            chunks.fill(Chunk::Claimed);
        }
        is_free
    }

    /// A claimed chunk is written: it is there from now on.
    ///
    /// # Panics
    /// If it wasn't claimed.
    pub fn arrive(&self, index: usize) {
        let mut state = self.lock();
        assert_eq!(state.chunks[index], Chunk::Claimed, "chunk {index} arrives without a claim");
        state.chunks[index] = Chunk::Present;
        state.missing -= 1;
        drop(state);
        self.tell();
    }

    /// Gives back what is claimed of a range and didn't arrive.
    pub fn release(&self, range: Range<usize>) {
        for chunk in &mut self.lock().chunks[range] {
            if *chunk == Chunk::Claimed {
                *chunk = Chunk::Absent;
            }
        }
    }

    /// Waits for a range to be there.
    pub fn wait(&self, range: Range<usize>, deadline: Instant) -> Waited {
        let mut state = self.lock();
        loop {
            if state.chunks[range.clone()].iter().all(|chunk| *chunk == Chunk::Present) {
                return Waited::Present;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.is_ended || left.is_zero() {
                return if state.is_ended { Waited::Ended } else { Waited::Late };
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends with the next change after this call.
    pub fn changed(&self) -> Notified<'_> {
        self.told.notified()
    }

    /// How many aren't there.
    pub fn missing(&self) -> usize {
        self.lock().missing
    }

    /// The first run of absent chunks from `from` on, at most `max` long.
    pub fn next_absent(&self, from: usize, max: usize) -> Option<Range<usize>> {
        let state = self.lock();
        let is_absent = |index: &usize| state.chunks[*index] == Chunk::Absent;
        let begin = (from..state.chunks.len()).find(is_absent)?;
        let end = (begin..state.chunks.len()).take(max).take_while(is_absent).last()?;
        Some(begin..end + 1)
    }

    fn tell(&self) {
        self.changed.notify_all();
        self.told.notify_waiters();
    }

    // Each change is one assignment, so that a panic elsewhere leaves a true state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chunks of a landing span that one reader writes, and nobody else until it is dropped.
#[derive(Debug)]
pub struct Claim {
    span: Arc<Span>,
    chunks: Range<usize>,
}

impl Claim {
    /// Takes chunks that are absent and that nobody writes; none otherwise.
    pub fn new(span: &Arc<Span>, chunks: Range<usize>) -> Option<Self> {
        span.chunks().claim(chunks.clone()).then(|| Self { span: span.clone(), chunks })
    }

    /// The span that its chunks are of.
    pub fn span(&self) -> &Arc<Span> {
        &self.span
    }

    /// Its bytes, from the start of the span.
    pub fn bytes(&self) -> Range<u64> {
        self.span.bytes_of(&self.chunks)
    }

    /// Where to write the bytes that begin `at` bytes into the span, `len` at most.
    ///
    /// # Panics
    /// If they leave what is claimed.
    pub fn landing(&self, at: u64, len: usize) -> *mut u8 {
        let claimed = self.bytes();
        assert!(claimed.start <= at && at + len as u64 <= claimed.end, "{at}..+{len} leaves {claimed:?}");
        self.span.at(at)
    }

    /// The first `count` chunks are written; the claim is of the rest from now on.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn arrive_first(&mut self, count: usize) {
        assert!(count <= self.chunks.len(), "{count} chunks of {:?}", self.chunks);
        for _ in 0..count {
            self.span.chunks().arrive(self.chunks.start);
            self.chunks.start += 1;
        }
    }

    /// The chunk that begins `at` bytes into the span is written.
    pub fn arrive(&self, at: u64) {
        let index = usize::try_from(at / CHUNK_BYTES).expect("a span lies in memory");
        assert!(self.chunks.contains(&index), "chunk {index} isn't of this claim");
        self.span.chunks().arrive(index);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.span.chunks().release(self.chunks.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_chunk_has_one_writer_and_then_none() {
        let map = ChunkMap::new(4, false);
        assert!(map.claim(0..2));
        assert!(!map.claim(1..3));
        assert!(!map.claim(3..5));
        map.arrive(0);
        map.release(0..2);
        assert!(!map.claim(0..1));
        assert_eq!((map.missing(), map.next_absent(0, 2), map.next_absent(3, 9)), (3, Some(1..3), Some(3..4)));
        assert!(map.claim(1..4));
        assert_eq!(map.next_absent(0, 4), None);
    }

    #[test]
    fn a_wait_ends_with_the_chunk_the_deadline_or_the_end() {
        let map = ChunkMap::new(2, false);
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(map.wait(0..1, soon), Waited::Late);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| map.wait(0..1, Instant::now() + Duration::from_secs(20)));
            assert!(map.claim(0..1));
            map.arrive(0);
            assert_eq!(waiter.join().unwrap(), Waited::Present);
            let waiter = scope.spawn(|| map.wait(0..2, Instant::now() + Duration::from_secs(20)));
            map.end();
            assert_eq!(waiter.join().unwrap(), Waited::Ended);
        });
    }
}
