//! Where the two ends of a ring stand, and what they believe of each other.

use super::control::Control;
use crate::sync::Ordering;

/// Records begin at multiples of this, in bytes; so do positions.
pub(crate) const ALIGN: u64 = 8;

/// A word in shared memory that no honest peer would have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Implausible {
    pub(crate) word: &'static str,
    pub(crate) value: u64,
}

/// The sender's end: `freed <= published <= written <= freed + capacity` (RING-1).
#[derive(Debug)]
pub(crate) struct Writer {
    capacity: u64,
    written: u64,
    published: u64,
    /// The tail as last read: the truth is there or further on.
    freed: u64,
}

impl Writer {
    /// Of an empty ring of `capacity` bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        Self { capacity, written: 0, published: 0, freed: 0 }
    }

    /// Where the next record goes.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.written
    }

    /// Whether `bytes` more fit. Reads the tail only where they didn't by what it was last.
    #[inline]
    pub(crate) fn fits(&mut self, control: &Control, bytes: u64) -> Result<bool, Implausible> {
        if bytes <= self.free() {
            return Ok(true);
        }
        self.update(control)?;
        Ok(bytes <= self.free())
    }

    /// `bytes` that fit were written at [`Writer::position`].
    #[inline]
    pub(crate) fn advance(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.free() && bytes.is_multiple_of(ALIGN));
        self.written += bytes;
    }

    /// Lets the receiver see what was written; `false` where it sees all already.
    #[inline]
    pub(crate) fn publish(&mut self, control: &Control) -> bool {
        let is_new = self.published != self.written;
        if is_new {
            control.head.0.store(self.written, Ordering::Release);
            self.published = self.written;
        }
        is_new
    }

    fn free(&self) -> u64 {
        self.capacity - (self.written - self.freed)
    }

    /// The acquiring load orders what will be written here after the receiver's last reads of it.
    fn update(&mut self, control: &Control) -> Result<(), Implausible> {
        let tail = control.tail.0.load(Ordering::Acquire);
        if tail < self.freed || tail > self.published || !tail.is_multiple_of(ALIGN) {
            return Err(Implausible { word: "tail", value: tail });
        }
        self.freed = tail;
        Ok(())
    }
}

/// The receiver's end: `released <= read <= seen <= released + capacity` (RING-2).
#[derive(Debug)]
pub(crate) struct Reader {
    capacity: u64,
    released: u64,
    read: u64,
    /// The head as last read: the truth is there or further on.
    seen: u64,
}

impl Reader {
    /// Of an empty ring of `capacity` bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        Self { capacity, released: 0, read: 0, seen: 0 }
    }

    /// Where the next record begins.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.read
    }

    /// How many bytes of records may be read.
    #[inline]
    pub(crate) fn available(&self) -> u64 {
        self.seen - self.read
    }

    /// How many bytes were read and not yet released.
    #[inline]
    pub(crate) fn unreleased(&self) -> u64 {
        self.read - self.released
    }

    /// Looks at the head. The acquiring load orders the records after it.
    #[inline]
    pub(crate) fn update(&mut self, control: &Control) -> Result<(), Implausible> {
        let head = control.head.0.load(Ordering::Acquire);
        if head < self.seen
            || head - self.seen > self.capacity - (self.seen - self.released)
            || !head.is_multiple_of(ALIGN)
        {
            return Err(Implausible { word: "head", value: head });
        }
        self.seen = head;
        Ok(())
    }

    /// A record of `bytes`, at most [`Reader::available`], was copied out.
    #[inline]
    pub(crate) fn advance(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.available() && bytes.is_multiple_of(ALIGN));
        self.read += bytes;
    }

    /// Gives the space of what was read back; `false` where there is none.
    #[inline]
    pub(crate) fn release(&mut self, control: &Control) -> bool {
        let is_new = self.released != self.read;
        if is_new {
            control.tail.0.store(self.read, Ordering::Release);
            self.released = self.read;
        }
        is_new
    }
}
