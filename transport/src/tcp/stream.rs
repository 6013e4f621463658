//! A connection for object bytes: blocking, between a socket and memory that the kernel reads and writes itself.
//!
//! Encryption will be another way to do the same: what the lanes need is here, and nothing more.

use super::header::HEADER_BYTES;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// A connection that has shaken hands.
#[derive(Debug)]
pub struct LaneStream {
    socket: TcpStream,
    stall_timeout: Duration,
}

impl LaneStream {
    /// Takes over a socket from tokio.
    pub fn new(socket: TcpStream, stall_timeout: Duration) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(stall_timeout))?;
        socket.set_write_timeout(Some(stall_timeout))?;
        Ok(Self { socket, stall_timeout })
    }

    /// A second handle, to end it from elsewhere.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        self.socket.try_clone()
    }

    /// Whether a byte is there, or the end, within `timeout`.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        self.socket.set_read_timeout(Some(timeout))?;
        let peeked = self.socket.peek(&mut [0]);
        self.socket.set_read_timeout(Some(self.stall_timeout))?;
        match peeked {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Fills a small buffer.
    pub fn read_exact(&mut self, to: &mut [u8]) -> io::Result<()> {
        self.socket.read_exact(to)
    }

    /// Sends a few bytes.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Receives `len` bytes straight to `to`, all of them before the stall timeout has passed twice.
    ///
    /// # Safety
    /// `to..to + len` is writable, and no reference to it is alive.
    pub unsafe fn receive(&mut self, to: *mut u8, len: usize) -> io::Result<()> {
        let deadline = Instant::now() + self.stall_timeout;
        let mut received = 0;
        while received < len {
            // SAFETY: within `to..to + len`, which the caller gives to the kernel to write.
            let n = unsafe {
                libc::recv(self.socket.as_raw_fd(), to.add(received).cast(), len - received, libc::MSG_WAITALL)
            };
            received += match checked(n)? {
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(n) => n,
                None => 0,
            };
            if received < len && Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Sends a header and `len` bytes from `from` in one go. More follows at once, so that the kernel may wait for it.
    ///
    /// # Safety
    /// `from..from + len` is mapped for reading; that it changes meanwhile is the receiver's to find out.
    pub unsafe fn send(&mut self, header: &[u8; HEADER_BYTES], from: *const u8, len: usize) -> io::Result<()> {
        let deadline = Instant::now() + self.stall_timeout;
        let mut sent = 0;
        while sent < HEADER_BYTES + len {
            let head = &header[sent.min(HEADER_BYTES)..];
            let done = sent.saturating_sub(HEADER_BYTES);
            // SAFETY: `done <= len`, as `sent` never exceeds the sum.
            let body = unsafe { from.add(done) };
            let mut parts = [
                libc::iovec { iov_base: head.as_ptr().cast_mut().cast(), iov_len: head.len() },
                libc::iovec { iov_base: body.cast_mut().cast(), iov_len: len - done },
            ];
            // SAFETY: all zeros is a valid `msghdr`: no address, no parts, no control data.
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            message.msg_iov = parts.as_mut_ptr();
            message.msg_iovlen = parts.len();
            let flags = libc::MSG_NOSIGNAL | libc::MSG_MORE;
            // SAFETY: the parts are the rest of `header` and of `from..from + len`, which the kernel only reads.
            let n = unsafe { libc::sendmsg(self.socket.as_raw_fd(), &raw const message, flags) };
            sent += checked(n)?.unwrap_or(0);
            if sent < HEADER_BYTES + len && Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }
}

impl Drop for LaneStream {
    fn drop(&mut self) {
        // A clone may keep the socket open; the peer shall see the end now. One that is not connected says so: fine.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

fn checked(n: isize) -> io::Result<Option<usize>> {
    match usize::try_from(n) {
        Ok(n) => Ok(Some(n)),
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            error => Err(error),
        },
    }
}

/// What every socket gets: no delay for small frames, and an end to half-open connections both where we have sent
/// something (`TCP_USER_TIMEOUT`) and where we haven't (keep-alive).
pub fn tune(socket: &impl AsFd, peer_timeout: Duration) -> io::Result<()> {
    let seconds = libc::c_int::try_from(peer_timeout.as_secs().clamp(3, 3600)).expect("clamped");
    let millis = libc::c_int::try_from(peer_timeout.as_millis().min(3_600_000)).expect("clamped");
    for (level, name, value) in [
        (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, millis),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, (seconds / 3).max(1)),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
    ] {
        set_option(socket, level, name, value)?;
    }
    Ok(())
}

/// Bounds what the socket sends, in bytes a second; 0 for no bound.
pub fn pace(socket: &impl AsFd, bytes_per_s: u32) -> io::Result<()> {
    let rate = if bytes_per_s == 0 { u32::MAX } else { bytes_per_s };
    set_option(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, rate.cast_signed())
}

fn set_option(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of_val(&value)).expect("four");
    // SAFETY: the value is a C int, of which `size` is the size, and outlives the call.
    let code = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
