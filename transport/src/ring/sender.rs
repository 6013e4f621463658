//! The sending end of a ring.

use super::cursor::{ALIGN, Implausible, Writer};
use super::error::SendError;
use super::link::Link;
use super::spin::Spin;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A record is the frame's length, as a word of this many bytes, and its bytes, filled up to a multiple of [`ALIGN`].
pub(crate) const LENGTH_BYTES: u64 = 8;
/// So many frames are published without being asked to.
const UNPUBLISHED_MAX: u32 = 64;
/// How long one spins for room before one sleeps: as long as a sleeper takes to wake in a virtual machine.
const SPIN_MAX: Duration = Duration::from_micros(30);

/// Sends frames to one [`Receiver`](super::Receiver) in the other process. Dropping it publishes what was sent, and
/// closes its ring.
#[derive(Debug)]
pub struct Sender {
    link: Arc<Link>,
    ring: usize,
    data: *mut u8,
    /// The size of the ring less 1: a position modulo that size.
    mask: u64,
    frame_bytes_max: usize,
    writer: Writer,
    unpublished: u32,
    spin: Spin,
}

// SAFETY: `data` points into the mapping that `link` keeps, which isn't bound to a thread.
unsafe impl Send for Sender {}

impl Sender {
    pub(crate) fn new(link: Arc<Link>, ring: usize) -> Self {
        let (data, bytes) = (link.map().data(ring), link.map().ring_bytes() as u64);
        let frame_bytes_max = frame_bytes_max(bytes);
        let (mask, writer) = (bytes - 1, Writer::new(bytes));
        Self { link, ring, data, mask, frame_bytes_max, writer, unpublished: 0, spin: Spin::new() }
    }

    /// Appends a frame, the parts one after the other. The receiver sees it after [`Sender::flush`], or after some more
    /// frames.
    ///
    /// # Errors
    /// [`SendError::Full`] where the receiver is behind; `TooLarge`, `Closed`, `Corrupt`.
    #[inline]
    pub fn try_send(&mut self, parts: &[&[u8]]) -> Result<(), SendError> {
        let bytes = self.frame_bytes(parts)?;
        if self.link.is_closed(self.ring) {
            return Err(SendError::Closed);
        }
        let record_bytes = record_bytes(bytes as u64);
        if !self.fits(record_bytes)? {
            self.flush();
            return Err(SendError::Full);
        }
        self.write(bytes, parts);
        self.writer.advance(record_bytes);
        self.unpublished += 1;
        if self.unpublished == UNPUBLISHED_MAX {
            self.flush();
        }
        Ok(())
    }

    /// As [`Sender::try_send`], but waits for room: spins, then sleeps. No timeout is for ever.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], `TooLarge`, `Closed` (also while it waits), `Corrupt`.
    pub fn send(&mut self, parts: &[&[u8]], timeout: Option<Duration>) -> Result<(), SendError> {
        match self.try_send(parts) {
            Err(SendError::Full) => {}
            sent => return sent,
        }
        self.wait_for_room(record_bytes(self.frame_bytes(parts)? as u64), timeout)?;
        self.try_send(parts)
    }

    /// Lets the receiver see what was sent, and wakes it if it sleeps: one system call then, else none.
    #[inline]
    pub fn flush(&mut self) {
        self.unpublished = 0;
        let control = self.link.control(self.ring);
        if self.writer.publish(control) {
            control.news.0.ring();
        }
    }

    /// Publishes what was sent, and ends this direction: the receiver gets what there is, then
    /// [`Wait::Closed`](super::Wait::Closed).
    pub fn close(&mut self) {
        self.flush();
        self.link.close(self.ring);
    }

    /// The longest frame in bytes: a quarter of the ring, less its length word.
    pub fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max
    }

    /// Whether either side ended this direction.
    pub fn is_closed(&self) -> bool {
        self.link.is_closed(self.ring)
    }

    #[inline]
    fn frame_bytes(&self, parts: &[&[u8]]) -> Result<usize, SendError> {
        let bytes = parts.iter().fold(0, |sum: usize, part| sum.saturating_add(part.len()));
        let bytes_max = self.frame_bytes_max;
        if bytes > bytes_max { Err(SendError::TooLarge { bytes, bytes_max }) } else { Ok(bytes) }
    }

    #[inline]
    fn fits(&mut self, record_bytes: u64) -> Result<bool, SendError> {
        self.writer.fits(self.link.control(self.ring), record_bytes).map_err(|found| self.refuse(found))
    }

    #[cold]
    fn refuse(&self, found: Implausible) -> SendError {
        self.link.close(self.ring);
        found.into()
    }

    /// Writes a record of `bytes` that fits.
    #[inline]
    fn write(&mut self, bytes: usize, parts: &[&[u8]]) {
        let at = (self.writer.position() & self.mask) as usize;
        // SAFETY: `at` is within the ring, a multiple of `ALIGN`, and the mapping holds the ring twice, so a whole ring
        // may be written from there; the record is no longer (`fits`). Nobody else of this process touches these bytes:
        // they are neither published nor unreleased, and there is one sender a ring. What another process does with
        // them can't touch this one, which never reads them.
        unsafe {
            let mut to = self.data.add(at);
            to.cast::<u64>().write(bytes as u64);
            to = to.add(LENGTH_BYTES as usize);
            for part in parts {
                ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
                to = to.add(part.len());
            }
        }
    }

    #[cold]
    fn wait_for_room(&mut self, record_bytes: u64, timeout: Option<Duration>) -> Result<(), SendError> {
        let began = Instant::now();
        let deadline = timeout.and_then(|timeout| began.checked_add(timeout));
        let spin_max = timeout.unwrap_or(SPIN_MAX).min(SPIN_MAX);
        let Self { link, ring, writer, spin, .. } = self;
        let control = link.control(*ring);
        let mut look = || match writer.fits(control, record_bytes) {
            _ if link.is_closed(*ring) => Some(Err(SendError::Closed)),
            Ok(fits) => fits.then_some(Ok(())),
            Err(found) => Some(Err(found.into())),
        };
        spin.until(spin_max, || look().is_some());
        let end = control.room.0.sleep_until(deadline, look).unwrap_or(Err(SendError::TimedOut));
        spin.learn(began.elapsed(), SPIN_MAX);
        if let Err(SendError::Corrupt { .. }) = end {
            link.close(*ring);
        }
        end
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.close();
    }
}

/// The longest frame in a ring of `ring_bytes`.
pub(crate) fn frame_bytes_max(ring_bytes: u64) -> usize {
    (ring_bytes / 4 - LENGTH_BYTES) as usize
}

/// How much of a ring a frame of `bytes` takes.
#[inline]
pub(crate) fn record_bytes(bytes: u64) -> u64 {
    LENGTH_BYTES + bytes.next_multiple_of(ALIGN)
}
