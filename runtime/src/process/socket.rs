//! A lane's messages over a connection with another node: the same headers and bodies as in a ring, one after another.
//!
//! Who sends a message that somebody waits for writes it itself. Where many are on their way they gather in a buffer, which a
//! thread writes: what comes while it does leaves with the next write.

use super::wire::{Closed, Garbled, HEADER_BYTES, Haste, Header};
use rayline_store::{Region, RegionMut};
use rayline_transport::tcp::Stream;
use std::io::{self, IoSlice, Read, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that may wait to be written; beyond it senders wait.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Both directions of a connection with another node.
pub(crate) struct Socket {
    stream: Stream,
    leaving: Mutex<Leaving>,
    /// There is something to write, or it is over.
    work: Condvar,
    /// There is room again.
    room: Condvar,
    is_closed: AtomicBool,
}

/// What waits to be written.
#[derive(Default)]
struct Leaving {
    bytes: Vec<u8>,
    /// Somebody writes; it may be no one else then, as messages stay whole.
    is_writing: bool,
}

impl Socket {
    /// Takes a stream over, and starts the thread that writes.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub(crate) fn start(stream: Stream) -> io::Result<Arc<Self>> {
        let socket = Arc::new(Self {
            stream,
            leaving: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            is_closed: AtomicBool::new(false),
        });
        let writer = socket.clone();
        std::thread::Builder::new().name("rayline-out".into()).spawn(move || writer.write())?;
        Ok(socket)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Acquire)
    }

    /// Ends the connection for both sides.
    pub(super) fn close(&self) {
        let leaving = self.lock();
        self.is_closed.store(true, Ordering::Release);
        drop(leaving);
        self.stream.close();
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Sends one message. Blocks while too much waits to be written.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub(super) fn send(&self, header: Header, parts: [&[u8]; 2], haste: Haste) -> Result<(), Closed> {
        let head = header.encode(parts[0].len() + parts[1].len());
        let mut leaving = self.lock();
        while leaving.bytes.len() > WAITING_BYTES_MAX && self.is_open() {
            leaving = self.room.wait(leaving).unwrap_or_else(PoisonError::into_inner);
        }
        if !self.is_open() {
            return Err(Closed);
        }
        if haste == Haste::Soon || leaving.is_writing || !leaving.bytes.is_empty() {
            [&head[..], parts[0], parts[1]].into_iter().for_each(|part| leaving.bytes.extend_from_slice(part));
            self.work.notify_one();
            return Ok(());
        }
        leaving.is_writing = true;
        drop(leaving);
        let written = self.write_now([&head, parts[0], parts[1]]);
        self.lock().is_writing = false;
        self.work.notify_one();
        self.room.notify_all();
        written.map_err(|_| self.broken())
    }

    /// The body of the thread that writes what has gathered.
    fn write(&self) {
        let mut bytes = Vec::new();
        loop {
            let mut leaving = self.lock();
            while (leaving.is_writing || leaving.bytes.is_empty()) && self.is_open() {
                leaving = self.work.wait(leaving).unwrap_or_else(PoisonError::into_inner);
            }
            if !self.is_open() {
                return;
            }
            leaving.is_writing = true;
            std::mem::swap(&mut leaving.bytes, &mut bytes);
            drop(leaving);
            let written = (&self.stream).write_all(&bytes);
            self.lock().is_writing = false;
            self.room.notify_all();
            if written.is_err() {
                self.broken();
                return;
            }
            bytes.clear();
        }
    }

    fn write_now(&self, parts: [&[u8]; 3]) -> io::Result<()> {
        let mut slices = parts.map(IoSlice::new);
        let mut slices = &mut slices[..];
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match (&self.stream).write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A message may have left in part: nothing can follow.
    fn broken(&self) -> Closed {
        self.close();
        Closed
    }

    /// Waits until all that was sent has been written.
    pub(super) fn drain(&self) {
        let mut leaving = self.lock();
        while (leaving.is_writing || !leaving.bytes.is_empty()) && self.is_open() {
            leaving = self.room.wait(leaving).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The first message, before any [`Socket::read`]; `None` where none comes.
    pub(crate) fn read_first(&self) -> Option<(Header, Region)> {
        let mut head = [0; HEADER_BYTES];
        (&self.stream).read_exact(&mut head).ok()?;
        let (header, body_bytes) = Header::decode(&head)?;
        let body_bytes = usize::try_from(body_bytes).ok().filter(|bytes| *bytes <= READ_BYTES)?;
        Some((header, self.read_long(&[], body_bytes)?))
    }

    /// Reads messages until the connection ends, or `each`, which takes one, breaks. `rest` is called when all that has
    /// come was taken.
    ///
    /// # Errors
    /// Where the other side sends what is no message.
    pub(super) fn read(
        &self,
        mut each: impl FnMut(Header, Region) -> ControlFlow<()>,
        mut rest: impl FnMut(),
    ) -> Result<(), Garbled> {
        let mut buffer = vec![0; READ_BYTES];
        let (mut begin, mut end) = (0, 0);
        loop {
            while end - begin >= HEADER_BYTES {
                let (header, body_bytes) = Header::decode(&buffer[begin..end]).ok_or(Garbled)?;
                let body_bytes = usize::try_from(body_bytes).map_err(|_| Garbled)?;
                let body = begin + HEADER_BYTES;
                if end - body >= body_bytes {
                    begin = body + body_bytes;
                    if each(header, Region::copy_of(&buffer[body..begin])).is_break() {
                        return Ok(());
                    }
                } else if HEADER_BYTES + body_bytes <= READ_BYTES {
                    break;
                } else {
                    rest();
                    let Some(long) = self.read_long(&buffer[body..end], body_bytes) else { return Ok(()) };
                    (begin, end) = (0, 0);
                    if each(header, long).is_break() {
                        return Ok(());
                    }
                }
            }
            rest();
            buffer.copy_within(begin..end, 0);
            (begin, end) = (0, end - begin);
            match (&self.stream).read(&mut buffer[end..]) {
                Ok(0) => return Ok(()),
                Ok(read) => end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(()),
            }
        }
    }

    /// The rest of a body that is longer than the buffer, read to where it stays; `None` where the connection ends before.
    fn read_long(&self, here: &[u8], body_bytes: usize) -> Option<Region> {
        let mut body = RegionMut::zeroed(body_bytes);
        body[..here.len()].copy_from_slice(here);
        (&self.stream).read_exact(&mut body[here.len()..]).ok()?;
        Some(body.seal())
    }

    fn lock(&self) -> MutexGuard<'_, Leaving> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
