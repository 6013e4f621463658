//! What a client and the store say to each other on their socket: where shared memory alone doesn't do.

use super::ClientId;
use super::error::StoreError;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const MESSAGE_BYTES: usize = 24;
type Message = [u8; MESSAGE_BYTES];

/// What the store tells a new client, with the files of table and segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) client: ClientId,
    pub(crate) patience: Duration,
}

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    /// An extent of so many chunks.
    Grant { chunks: usize },
    /// An object that is on disk, in memory.
    Restore { slot: u32, generation: u64 },
    /// An object that is on disk, gone.
    Delete { slot: u32, generation: u64 },
}

/// What the store answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// The extent that begins at this chunk is held by the client.
    Granted { head: usize },
    /// It is done.
    Done,
    /// There is no such object any more.
    Absent,
    /// There is no room for so many bytes.
    Full { wanted: usize },
    /// No disk has room for so many bytes.
    DiskFull { wanted: usize },
    /// The machine has no memory for so many bytes.
    NoMemory { wanted: usize },
    /// The operating system says this number.
    Failed { errno: i32 },
}

impl Request {
    pub(crate) fn send(self, socket: &mut UnixStream) -> io::Result<()> {
        socket.write_all(&match self {
            Self::Grant { chunks } => message(1, chunks as u64, 0),
            Self::Restore { slot, generation } => message(2, slot.into(), generation),
            Self::Delete { slot, generation } => message(3, slot.into(), generation),
        })
    }

    pub(crate) fn receive(socket: &mut UnixStream) -> io::Result<Self> {
        match words(socket)? {
            [1, chunks, _] => Ok(Self::Grant { chunks: chunks as usize }),
            [2, slot, generation] if slot <= u32::MAX.into() => Ok(Self::Restore { slot: slot as u32, generation }),
            [3, slot, generation] if slot <= u32::MAX.into() => Ok(Self::Delete { slot: slot as u32, generation }),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Reply {
    pub(crate) fn send(self, socket: &mut UnixStream) -> io::Result<()> {
        socket.write_all(&match self {
            Self::Granted { head } => message(1, head as u64, 0),
            Self::Done => message(2, 0, 0),
            Self::Absent => message(3, 0, 0),
            Self::Full { wanted } => message(4, wanted as u64, 0),
            Self::DiskFull { wanted } => message(5, wanted as u64, 0),
            Self::NoMemory { wanted } => message(6, wanted as u64, 0),
            Self::Failed { errno } => message(7, errno as u64, 0),
        })
    }

    pub(crate) fn receive(socket: &mut UnixStream) -> io::Result<Self> {
        let [kind, value, _] = words(socket)?;
        let wanted = value as usize;
        Ok(match kind {
            1 => Self::Granted { head: wanted },
            2 => Self::Done,
            3 => Self::Absent,
            4 => Self::Full { wanted },
            5 => Self::DiskFull { wanted },
            6 => Self::NoMemory { wanted },
            7 => Self::Failed { errno: value as i32 },
            _ => return Err(io::ErrorKind::InvalidData.into()),
        })
    }
}

/// Fails unless the process at the other end runs as this process's user.
pub(crate) fn check_user(socket: &UnixStream) -> Result<(), StoreError> {
    let peer = rustix::net::sockopt::socket_peercred(socket).map_err(io::Error::from)?.uid.as_raw();
    let own = rustix::process::geteuid().as_raw();
    if peer == own { Ok(()) } else { Err(StoreError::ForeignUser { peer, own }) }
}

/// Sends the greeting and two files.
pub(crate) fn send_hello(socket: &UnixStream, hello: Hello, files: [BorrowedFd<'_>; 2]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)), "there is space for two files");
    let bytes = message(0, hello.client.into(), hello.patience.as_millis() as u64);
    let sent = rustix::net::sendmsg(socket.as_fd(), &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == MESSAGE_BYTES { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives what [`send_hello`] sent.
pub(crate) fn receive_hello(socket: &UnixStream) -> io::Result<(Hello, [OwnedFd; 2])> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = Message::default();
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let received = rustix::net::recvmsg(socket.as_fd(), &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    if received.bytes != MESSAGE_BYTES {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let files = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
        _ => vec![],
    });
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, "two files were expected with the message");
    let files = <[OwnedFd; 2]>::try_from(files.collect::<Vec<_>>()).map_err(invalid)?;
    match split(&bytes) {
        [0, client, patience_ms] if client <= ClientId::MAX.into() => {
            Ok((Hello { client: client as ClientId, patience: Duration::from_millis(patience_ms) }, files))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn message(kind: u64, a: u64, b: u64) -> Message {
    let mut bytes = Message::default();
    for (place, word) in bytes.chunks_exact_mut(8).zip([kind, a, b]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn words(socket: &mut UnixStream) -> io::Result<[u64; 3]> {
    let mut bytes = Message::default();
    socket.read_exact(&mut bytes)?;
    Ok(split(&bytes))
}

fn split(bytes: &Message) -> [u64; 3] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_le_bytes(words[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let (slot, generation) = (7, 1 << 40);
        for request in
            [Request::Grant { chunks: 3 }, Request::Restore { slot, generation }, Request::Delete { slot, generation }]
        {
            request.send(&mut a).unwrap();
            assert_eq!(Request::receive(&mut b).unwrap(), request);
        }
        let wanted = 1 << 33;
        for reply in [
            Reply::Granted { head: 9 },
            Reply::Done,
            Reply::Absent,
            Reply::Full { wanted },
            Reply::DiskFull { wanted },
            Reply::NoMemory { wanted },
            Reply::Failed { errno: 5 },
        ] {
            reply.send(&mut a).unwrap();
            assert_eq!(Reply::receive(&mut b).unwrap(), reply);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        for bytes in [message(9, 0, 0), message(2, 1 << 32, 0)] {
            a.write_all(&bytes).unwrap();
            assert_eq!(Request::receive(&mut b).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        a.write_all(&message(0, 256, 0)).unwrap();
        assert_eq!(receive_hello(&b).unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(a);
        assert_eq!(Request::receive(&mut b).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
