//! The file of a pair of rings on its way to another process.

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Lets the process that `command` spawns have the file, which finds it by the environment variable `name`:
/// [`inherited`]. Nobody else of this process's children gets it.
pub fn inherit(command: &mut Command, name: &str, file: OwnedFd) {
    command.env(name, file.as_raw_fd().to_string());
    let keep = move || Ok(fcntl_setfd(&file, FdFlags::empty())?);
    // SAFETY: between fork and exec this makes one system call, and touches no lock and no allocator.
    unsafe { command.pre_exec(keep) };
}

/// The file that [`inherit`] of the parent process left under `name`. Children of this process won't have it.
///
/// # Errors
/// `NotFound` where there is no such variable, `InvalidData` where it is no number, and what the operating system says
/// where no such file is open.
pub fn inherited(name: &str) -> io::Result<OwnedFd> {
    let missing = |_| io::Error::new(io::ErrorKind::NotFound, format!("{name} isn't set to the number of a file"));
    let number: Option<RawFd> = std::env::var(name).map_err(missing)?.parse().ok().filter(|number| *number >= 0);
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("{name} is set to no number of a file"));
    let number = number.ok_or_else(wrong)?;
    // SAFETY: it isn't -1. It is used for the next two calls only, which change nothing about the file but whether
    // children get it; where it isn't open they fail.
    let file = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(file, FdFlags::CLOEXEC)?;
    Ok(fcntl_dupfd_cloexec(file, 3)?)
}

/// Sends a file to the process at the other end of `socket`, with one byte.
///
/// # Errors
/// What the operating system says; `WouldBlock` on a socket that doesn't block.
pub fn send_fd(socket: &UnixStream, file: BorrowedFd<'_>) -> io::Result<()> {
    let files = [file];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)), "there is space for one file");
    let sent = rustix::net::sendmsg(socket.as_fd(), &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    if sent == 1 { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives what [`send_fd`] sent. Waits for it, unless the socket doesn't block or has a timeout.
///
/// # Errors
/// `UnexpectedEof` where the peer is gone, `InvalidData` where it sent no file or several, and what the operating system
/// says.
pub fn recv_fd(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket.as_fd(), &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut files = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
        _ => vec![],
    });
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "one file was expected with the message")),
    }
}
