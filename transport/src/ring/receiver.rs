//! The receiving end of a ring.

use super::cursor::{Implausible, Reader};
use super::error::RingError;
use super::link::Link;
use super::sender::{frame_bytes_max, record_bytes};
use super::sleeper::{Sleeper, Wait};
use super::spin::Spin;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Space is given back when so many parts of the ring were read, and at the end of a batch.
const RELEASES_A_RING: u64 = 8;

/// Receives the frames of one [`Sender`](super::Sender) in the other process. Dropping it closes its ring.
#[derive(Debug)]
pub struct Receiver {
    link: Arc<Link>,
    ring: usize,
    data: *const u8,
    /// The size of the ring less 1: a position modulo that size.
    mask: u64,
    reader: Reader,
    /// The frame at hand, copied out of the reach of the peer.
    frame: Vec<u64>,
    sleeper: Sleeper,
    spin: Spin,
    refused: Option<Implausible>,
}

// SAFETY: `data` points into the mapping that `link` keeps, which isn't bound to a thread.
unsafe impl Send for Receiver {}

impl Receiver {
    pub(crate) fn new(link: Arc<Link>, ring: usize) -> Self {
        let (data, bytes) = (link.map().data(ring), link.map().ring_bytes() as u64);
        let sleeper = Sleeper::new(link.clone(), ring);
        let (mask, reader) = (bytes - 1, Reader::new(bytes));
        Self { link, ring, data, mask, reader, frame: vec![0; 64], sleeper, spin: Spin::new(), refused: None }
    }

    /// Calls `f` with each frame that is there now, in order, and returns how many it were. Doesn't wait.
    ///
    /// The slice is a copy: the peer can't change it. Where `f` panics, its frame counts as received, and the rest is
    /// there for the next call.
    ///
    /// # Errors
    /// [`RingError::Corrupt`], now and ever after, as soon as a word is found that no honest peer writes; the frames
    /// before it were given to `f`. That also closes the ring.
    #[inline]
    pub fn recv_batch(&mut self, mut f: impl FnMut(&[u8])) -> Result<usize, RingError> {
        if let Some(refused) = self.refused {
            return Err(refused.into());
        }
        if let Err(found) = self.reader.update(self.link.control(self.ring)) {
            return Err(self.refuse(found));
        }
        let mut received = 0;
        while self.reader.available() > 0 {
            let bytes = self.copy_out().map_err(|found| self.refuse(found))?;
            self.sleeper.attendance().set_read(self.reader.position());
            received += 1;
            // SAFETY: the frame's words are initialised, and `copy_out` wrote `bytes` of them.
            f(unsafe { std::slice::from_raw_parts(self.frame.as_ptr().cast::<u8>(), bytes) });
            if self.reader.unreleased() > self.mask / RELEASES_A_RING {
                self.release();
            }
        }
        self.release();
        self.keep_attending();
        Ok(received)
    }

    /// Waits for frames: spins for `spin` at most, or less where that has not paid of late, then sleeps. No timeout is
    /// for ever. A corrupt ring is ready: [`Receiver::recv_batch`] says what is wrong.
    ///
    /// While it spins, and after it has returned, [`Sleeper`]s aren't woken by news, until [`Receiver::step_down`].
    pub fn wait(&mut self, spin: Duration, timeout: Option<Duration>) -> Wait {
        if let Some(end) = self.sleeper.look() {
            self.keep_attending();
            return end;
        }
        let began = Instant::now();
        let spin = timeout.unwrap_or(spin).min(spin);
        self.keep_attending();
        let sleeper = &self.sleeper;
        self.spin.until(spin, || sleeper.look().is_some());
        let end = match self.sleeper.look() {
            Some(end) => end,
            None => self.sleep(timeout.map(|timeout| timeout.saturating_sub(began.elapsed()))),
        };
        self.spin.learn(began.elapsed(), spin);
        end
    }

    /// This thread receives no more for now: what comes, and what has come and wasn't received, wakes the [`Sleeper`]s.
    /// To be called before the receiver is left to others, by whoever called `wait` or `recv_batch`.
    pub fn step_down(&mut self) {
        if self.sleeper.attendance().is_attended() {
            self.sleeper.attendance().leave(self.link.control(self.ring));
        }
    }

    /// A handle that waits for news without the receiver.
    pub fn sleeper(&self) -> Sleeper {
        self.sleeper.clone()
    }

    /// Ends this direction: the peer can't send any more.
    pub fn close(&mut self) {
        self.link.close(self.ring);
    }

    /// The longest frame in bytes.
    pub fn frame_bytes_max(&self) -> usize {
        frame_bytes_max(self.mask + 1)
    }

    fn sleep(&mut self, timeout: Option<Duration>) -> Wait {
        self.step_down();
        self.sleeper.sleep(timeout)
    }

    /// Where somebody sleeps on the bell, or did when it rang last, the sender is told that it needn't ring. Where nobody
    /// does it wouldn't, and is spared the cache line.
    #[inline]
    fn keep_attending(&mut self) {
        let control = self.link.control(self.ring);
        if control.news.0.is_armed() && !self.sleeper.attendance().is_attended() {
            self.sleeper.attendance().attend(control);
        }
    }

    /// Copies the next frame, of which there is one, into `self.frame`, and returns its length in bytes.
    #[inline]
    fn copy_out(&mut self) -> Result<usize, Implausible> {
        let at = (self.reader.position() & self.mask) as usize;
        // SAFETY: `at` is within the ring, so within the mapping, and a multiple of 8; an atomic, since the peer may write
        // there at any time.
        let record = unsafe { self.data.add(at).cast::<AtomicU64>() };
        // SAFETY: as above.
        let bytes = unsafe { &*record }.load(Ordering::Relaxed);
        if bytes > frame_bytes_max(self.mask + 1) as u64 || record_bytes(bytes) > self.reader.available() {
            return Err(Implausible { word: "length", value: bytes });
        }
        let words = bytes.div_ceil(8) as usize;
        if self.frame.len() < words {
            self.frame.resize(words, 0);
        }
        for (index, word) in self.frame[..words].iter_mut().enumerate() {
            // SAFETY: the record's words lie before `at` and the size of the ring, and the mapping holds the ring twice.
            *word = unsafe { &*record.add(1 + index) }.load(Ordering::Relaxed);
        }
        self.reader.advance(record_bytes(bytes));
        Ok(bytes as usize)
    }

    #[inline]
    fn release(&mut self) {
        let control = self.link.control(self.ring);
        if self.reader.release(control) {
            control.room.0.ring();
        }
    }

    #[cold]
    fn refuse(&mut self, found: Implausible) -> RingError {
        self.refused = Some(found);
        self.link.close(self.ring);
        found.into()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.step_down();
        self.close();
    }
}
