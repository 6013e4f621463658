//! Messages between a driver and its worker processes.
//!
//! ```text
//! 0  kind u8      8  call u64          24  body_bytes u64
//! 1  flags u8     16 attempt u32       32  the body, or as much of it as the frame holds;
//! 2  zero u16     20 given_bytes u32       further frames are the rest of it and nothing else
//! 4  function u32
//! ```
//! All integers are little endian. A body longer than a frame goes on in the frames that follow: whoever sends holds
//! the ring meanwhile, so no other message comes between.

use super::socket::Socket;
use crate::registry::Answer;
use rayline_store::{Region, RegionMut, encode};
use rayline_transport::ring::{Receiver, SendError, Sender};
use std::sync::{Arc, Mutex, PoisonError};

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// To a worker, first of all: [`Hello`](super::worker::Hello), encoded.
    Hello = 0,
    /// To a worker: run a task. The body is the arguments, then what a leased attempt was given (`given_bytes`).
    Run = 1,
    /// To a worker: stop the call if you can.
    Cancel = 2,
    /// To a worker: let running tasks end, drop the others, and exit.
    Dismiss = 3,
    /// To a worker: how many threads may run plain tasks, in the place of the function.
    Threads = 4,
    /// To a worker: make an actor, and begin a life of it. The body is the constructor's arguments, then the
    /// [`Life`](super::lives::Life).
    Create = 5,
    /// To a worker: call a method. The body is the arguments, then the [`LifeId`](super::lives::LifeId).
    Method = 6,
    /// To a worker: end a life, which the body names.
    Stop = 7,
    /// What the answer to the call names has been read, or won't be; or what was asked to be kept need not be.
    Release = 8,
    /// To a worker on a node: another one of the same driver's, [`Joined`](super::node_reader::Joined), encoded.
    Peer = 9,
    /// Of what the other side has referred to: [`Asked`](crate::refs::Asked), after arguments where it is a call.
    Ask = 10,
    /// From a worker on a node, first of all: [`Joined`](super::node_reader::Joined), encoded.
    Joined = 15,
    /// The call's value is the body.
    Value = 16,
    /// The call's error is the body; flag 1 says that another try is worth it.
    Failed = 17,
    /// The process that ran the call has died; the body says how.
    Died = 18,
    /// The method has not begun, as the life has ended.
    NotBegun = 19,
    /// From a worker: a life has ended, as the body says.
    LifeEnded = 20,
    /// From a worker: a checkpoint. The body is the state, then the [`LifeId`](super::lives::LifeId).
    Saved = 21,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        use Kind::{Ask, Cancel, Create, Dismiss, Hello, Method, Peer, Release, Run, Stop, Threads};
        use Kind::{Died, Failed, Joined, LifeEnded, NotBegun, Saved, Value};
        const TO_WORKERS: [Kind; 11] = [Hello, Run, Cancel, Dismiss, Threads, Create, Method, Stop, Release, Peer, Ask];
        const FROM_WORKERS: [Kind; 7] = [Joined, Value, Failed, Died, NotBegun, LifeEnded, Saved];
        TO_WORKERS.into_iter().chain(FROM_WORKERS).find(|kind| *kind as u8 == byte)
    }
}

/// What stands before a message's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) flag: bool,
    pub(super) function: u32,
    pub(super) call: u64,
    pub(super) attempt: u32,
    pub(super) given_bytes: u32,
}

pub(super) const HEADER_BYTES: usize = 32;
/// The longest body. No honest message is longer than memory; a longer claim is refused before anything is allocated.
const BODY_BYTES_MAX: u64 = 1 << 40;

impl Header {
    pub(super) fn new(kind: Kind, call: u64) -> Self {
        Self { kind, flag: false, function: 0, call, attempt: 0, given_bytes: 0 }
    }

    /// The answer to a call, and its body.
    pub(super) fn of_answer(call: u64, answer: Answer) -> (Self, Region) {
        match answer {
            Answer::Value(value) => (Self::new(Kind::Value, call), value),
            Answer::Failed { error, retryable } => {
                let error = encode(&error).expect("an error is names, numbers and words");
                (Self { flag: retryable, ..Self::new(Kind::Failed, call) }, error)
            }
            Answer::NotBegun => (Self::new(Kind::NotBegun, call), Region::copy_of(&[])),
            Answer::Died(how) => (Self::new(Kind::Died, call), encode(&how).expect("a text can be encoded")),
        }
    }

    pub(super) fn encode(&self, body_bytes: usize) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.kind as u8;
        bytes[1] = u8::from(self.flag);
        bytes[4..8].copy_from_slice(&self.function.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.call.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.attempt.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.given_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&(body_bytes as u64).to_le_bytes());
        bytes
    }

    /// The header at the head of a frame, and how long the body is.
    pub(super) fn decode(frame: &[u8]) -> Option<(Self, u64)> {
        let field = |at: usize| frame.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let long = |at: usize| frame.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let header = Self {
            kind: Kind::of(*frame.first()?)?,
            flag: *frame.get(1)? != 0,
            function: field(4)?,
            call: long(8)?,
            attempt: field(16)?,
            given_bytes: field(20)?,
        };
        let body_bytes = long(24)?;
        (body_bytes <= BODY_BYTES_MAX && u64::from(header.given_bytes) <= body_bytes).then_some((header, body_bytes))
    }

    /// The arguments in a body, and what was given with them.
    pub(super) fn split(self, body: &Region) -> (Region, &[u8]) {
        let (args, given) = body.split_at(body.len() - self.given_bytes as usize);
        (body.slice(..args.len()).expect("it begins where the body does"), given)
    }
}

/// Where messages leave, shared by threads.
pub(super) enum Outlet {
    /// The sending end of a ring.
    Ring(Mutex<Sender>),
    /// A connection with another node.
    Socket(Arc<Socket>),
}

/// The other side is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

/// Whether somebody waits for a message, or many are on their way and it may leave with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    Now,
    Soon,
}

impl Outlet {
    pub(super) fn ring(sender: Sender) -> Self {
        Self::Ring(Mutex::new(sender))
    }

    /// Whether the other side is there, as far as is known. A ring's end says that itself.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Ring(_) => true,
            Self::Socket(socket) => socket.is_open(),
        }
    }

    /// Sends one message. Blocks while too many wait to leave.
    ///
    /// # Errors
    /// Where the other side is gone.
    pub(super) fn send(&self, header: Header, parts: [&[u8]; 2], haste: Haste) -> Result<(), Closed> {
        match self {
            Self::Ring(sender) => send_by_ring(sender, header, parts).map_err(|_| Closed),
            Self::Socket(socket) => socket.send(header, parts, haste),
        }
    }
}

fn send_by_ring(sender: &Mutex<Sender>, header: Header, parts: [&[u8]; 2]) -> Result<(), SendError> {
    let head = header.encode(parts[0].len() + parts[1].len());
    let mut sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
    let frame_bytes_max = sender.frame_bytes_max();
    if HEADER_BYTES + parts[0].len() + parts[1].len() <= frame_bytes_max {
        sender.send(&[&head, parts[0], parts[1]], None)?;
    } else {
        sender.send(&[&head], None)?;
        for chunk in parts.into_iter().flat_map(|part| part.chunks(frame_bytes_max)) {
            sender.send(&[chunk], None)?;
        }
    }
    sender.flush();
    Ok(())
}

/// The receiving end of a ring, with the message that has come in part.
pub(super) struct Inbox {
    pub(super) receiver: Receiver,
    inlet: Inlet,
}

impl Inbox {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self { receiver, inlet: Inlet::default() }
    }

    /// Gives `each` the messages that are there, without waiting.
    ///
    /// # Errors
    /// [`Garbled`] where the other side's memory is damaged; what came before was given.
    pub(super) fn receive(&mut self, mut each: impl FnMut(Header, Region)) -> Result<(), Garbled> {
        let Self { receiver, inlet } = self;
        let mut garbled = false;
        let received = receiver.recv_batch(|frame| match inlet.take(frame) {
            Ok(Some((header, body))) => each(header, body),
            Ok(None) => {}
            Err(Garbled) => garbled = true,
        });
        if received.is_ok() && !garbled { Ok(()) } else { Err(Garbled) }
    }
}

/// Puts messages together from frames.
#[derive(Default)]
struct Inlet {
    unfinished: Option<Unfinished>,
}

struct Unfinished {
    header: Header,
    body: RegionMut,
    filled: usize,
}

/// A frame that no honest peer sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled;

impl Inlet {
    /// Takes a frame; gives the message that it ends, with its body.
    fn take(&mut self, frame: &[u8]) -> Result<Option<(Header, Region)>, Garbled> {
        let Some(mut unfinished) = self.unfinished.take() else { return self.begin(frame) };
        let filled = unfinished.filled + frame.len();
        unfinished.body.get_mut(unfinished.filled..filled).ok_or(Garbled)?.copy_from_slice(frame);
        unfinished.filled = filled;
        Ok(self.finished(unfinished))
    }

    fn begin(&mut self, frame: &[u8]) -> Result<Option<(Header, Region)>, Garbled> {
        let (header, body_bytes) = Header::decode(frame).ok_or(Garbled)?;
        let here = &frame[HEADER_BYTES..];
        if here.len() as u64 == body_bytes {
            return Ok(Some((header, Region::copy_of(here))));
        }
        if !here.is_empty() {
            return Err(Garbled);
        }
        let body = RegionMut::zeroed(body_bytes as usize);
        Ok(self.finished(Unfinished { header, body, filled: 0 }))
    }

    fn finished(&mut self, unfinished: Unfinished) -> Option<(Header, Region)> {
        if unfinished.filled < unfinished.body.len() {
            self.unfinished = Some(unfinished);
            return None;
        }
        Some((unfinished.header, unfinished.body.seal()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayline_transport::ring::Pair;
    use std::time::Duration;

    fn exchange(body: &[u8]) -> (Header, Region) {
        let (driver, file) = Pair::create(1 << 16).unwrap();
        let worker = Pair::open(file).unwrap();
        let header = Header { attempt: 3, given_bytes: 5, ..Header::new(Kind::Run, 7) };
        std::thread::scope(|scope| {
            let outlet = Outlet::ring(driver.sender);
            scope.spawn(move || outlet.send(header, body.split_at(5).into(), Haste::Now).unwrap());
            let (mut receiver, mut inlet, mut message) = (worker.receiver, Inlet::default(), None);
            while message.is_none() {
                receiver.wait(Duration::ZERO, Some(Duration::from_secs(10)));
                receiver.recv_batch(|frame| message = inlet.take(frame).unwrap()).unwrap();
            }
            message.unwrap()
        })
    }

    #[test]
    fn short_and_long_bodies_arrive() {
        for len in [5, 6, 1000, 1 << 14, (1 << 14) - 32, 1_000_003] {
            let body: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let (header, region) = exchange(&body);
            assert_eq!((header.call, header.attempt, header.given_bytes), (7, 3, 5));
            assert!(region[..] == body[..], "{len}");
        }
    }

    #[test]
    fn garbage_is_refused_before_it_costs_memory() {
        let honest = Header::new(Kind::Value, 1);
        let garbled: [&[u8]; 6] = [
            &[],
            &[1; 31],
            &[99; 32],
            &{
                let mut bytes = honest.encode(0);
                bytes[24..].fill(0xff);
                bytes
            },
            &Header { given_bytes: 9, ..honest }.encode(8),
            &[&honest.encode(9)[..], b"short"].concat(),
        ];
        for frame in garbled {
            assert_eq!(Inlet::default().take(frame).err(), Some(Garbled), "{frame:?}");
        }
        let mut inlet = Inlet::default();
        assert!(matches!(inlet.take(&honest.encode(9)), Ok(None)));
        assert_eq!(inlet.take(b"ten bytes.").err(), Some(Garbled));
    }
}
