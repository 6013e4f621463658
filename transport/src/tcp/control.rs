//! Control connections: small frames, in order, both ways.
//!
//! There is one a pair of peers. Where both dial at once, the one that the peer with the lower id dialled is kept.

use super::Shared;
use super::accept::{self, limit_ms};
use super::handshake::{self, Met, Purpose};
use super::header::{HEADER_BYTES, Header, Kind};
use crate::error::{Refusal, TransportError};
use crate::face::{Event, PeerId};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{sleep, timeout};

/// ```text
///  Idle --send--> Dialling --welcome--> Up --end, heartbeat missed--> Idle
///    |               |                  ^ |
///    |               +--peer dialled----+ +--peer dialled again--> Up (the next number)
///    +--peer dialled--------------------+
/// ```
#[derive(Default)]
pub enum Control {
    /// No connection, and nothing to send.
    #[default]
    Idle,
    /// We dial; frames wait.
    Dialling { queue: mpsc::Sender<Vec<u8>>, rest: mpsc::Receiver<Vec<u8>> },
    /// Connected.
    Up { queue: mpsc::Sender<Vec<u8>>, number: u64, is_dialler: bool, since: Instant },
}

/// A connection that has its place in the book.
struct Connection {
    met: Met,
    number: u64,
    rest: mpsc::Receiver<Vec<u8>>,
    /// Whether it replaces one that the peer has given up.
    is_replacement: bool,
}

/// Queues a frame, and dials where there is no connection.
pub fn send(shared: &Arc<Shared>, peer: PeerId, frame: Vec<u8>) -> Result<(), TransportError> {
    let limit = shared.limits.frame_bytes_max;
    if frame.len() > limit {
        return Err(TransportError::FrameTooLarge { peer, bytes: frame.len(), limit });
    }
    let mut peers = shared.peers();
    let entry = peers.find(peer).ok_or(TransportError::gone(peer, "this endpoint is closed"))?;
    if let Control::Idle = entry.control {
        let Some(address) = entry.address else {
            peers.forget_stranger(peer);
            return Err(TransportError::PeerUnknown { peer });
        };
        let (queue, rest) = mpsc::channel(shared.limits.frames_queued_max);
        entry.control = Control::Dialling { queue, rest };
        shared.runtime.spawn(dial(shared.clone(), peer, address));
    }
    let (Control::Dialling { queue, .. } | Control::Up { queue, .. }) = &entry.control else {
        unreachable!("made above where there was none")
    };
    queue.try_send(frame).map_err(|refused| match refused {
        TrySendError::Full(_) => {
            TransportError::Full { peer, what: "control frames", limit: shared.limits.frames_queued_max }
        }
        TrySendError::Closed(_) => TransportError::gone(peer, "its connection has just ended"),
    })
}

async fn dial(shared: Arc<Shared>, peer: PeerId, address: SocketAddr) {
    let error = match accept::dial(&shared, peer, address, Purpose::Control).await {
        Ok((socket, met)) => {
            // None where the peer's own connection came first: the frames went there.
            if let Some(connection) = attach(&shared, met, true) {
                run(&shared, socket, connection).await;
            }
            return;
        }
        Err(error) => error,
    };
    if matches!(error, TransportError::Refused { refusal: Refusal::Duplicate, .. }) {
        sleep(shared.limits.connect_timeout).await;
    }
    let has_failed = shared.peers().find(peer).is_some_and(|entry| {
        let is_dialling = matches!(entry.control, Control::Dialling { .. });
        if is_dialling {
            entry.control = Control::Idle;
        }
        is_dialling
    });
    if has_failed {
        tell(&shared, Event::Down { peer, error }).await;
    }
}

/// A peer has dialled.
pub async fn accept(shared: &Arc<Shared>, mut socket: TcpStream, met: Met) -> Result<(), TransportError> {
    let Some(connection) = attach(shared, met, false) else {
        return Err(handshake::refuse(&mut socket, met.peer, Refusal::Duplicate).await);
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        // A peer that is gone already is noticed by the first read.
        let _ = handshake::welcome(&mut socket, met.peer).await;
        run(&shared, socket, connection).await;
    });
    Ok(())
}

/// Makes a connection the peer's one, unless another is to be kept.
fn attach(shared: &Shared, met: Met, is_dialler: bool) -> Option<Connection> {
    let mut peers = shared.peers();
    let number = peers.fresh();
    let control = &mut peers.find(met.peer)?.control;
    let is_lower = shared.me.peer < met.peer;
    let recent = shared.limits.connect_timeout;
    let is_kept = match &*control {
        Control::Idle => false,
        Control::Dialling { .. } => !is_dialler && is_lower,
        // The peer's call may have crossed ours; later it means that the peer has lost the connection.
        Control::Up { is_dialler: ours, since, .. } => is_dialler || *ours && is_lower && since.elapsed() < recent,
    };
    if is_kept {
        return None;
    }
    let is_replacement = matches!(control, Control::Up { .. });
    let (queue, rest) = match std::mem::take(control) {
        Control::Dialling { queue, rest } => (queue, rest),
        Control::Idle | Control::Up { .. } => mpsc::channel(shared.limits.frames_queued_max),
    };
    *control = Control::Up { queue, number, is_dialler, since: Instant::now() };
    Some(Connection { met, number, rest, is_replacement })
}

async fn run(shared: &Shared, socket: TcpStream, connection: Connection) {
    let Connection { met, number, rest, is_replacement } = connection;
    let peer = met.peer;
    if is_replacement {
        let error = TransportError::gone(peer, "it has connected anew");
        tell(shared, Event::Down { peer, error }).await;
    }
    tell(shared, Event::Up { peer, incarnation: met.incarnation }).await;
    let (reader, writer) = socket.into_split();
    let error = tokio::select! {
        error = receive(shared, peer, reader) => error,
        error = transmit(shared, peer, writer, rest) => error,
    };
    if detach(shared, peer, number) {
        tell(shared, Event::Down { peer, error }).await;
    }
}

/// Ends what hangs on a connection, unless another has taken its place.
fn detach(shared: &Shared, peer: PeerId, number: u64) -> bool {
    let mut peers = shared.peers();
    let Some(entry) = peers.find(peer) else { return false };
    if !matches!(&entry.control, Control::Up { number: present, .. } if *present == number) {
        return false;
    }
    entry.control = Control::Idle;
    // A peer that doesn't answer here doesn't on its lanes.
    entry.lanes.drain(..).for_each(|lane| lane.end());
    peers.forget_stranger(peer);
    true
}

async fn receive(shared: &Shared, peer: PeerId, mut reader: OwnedReadHalf) -> TransportError {
    loop {
        match receive_one(shared, peer, &mut reader).await {
            Ok(Some(bytes)) => tell(shared, Event::Frame { peer, bytes }).await,
            Ok(None) => {}
            Err(error) => return error,
        }
    }
}

async fn receive_one(
    shared: &Shared,
    peer: PeerId,
    reader: &mut OwnedReadHalf,
) -> Result<Option<Vec<u8>>, TransportError> {
    let mut bytes = [0; HEADER_BYTES];
    in_time(shared, peer, reader.read_exact(&mut bytes)).await?;
    let protocol = |what| TransportError::Protocol { peer, what };
    let header = Header::decode(&bytes).map_err(protocol)?;
    let length = header.length as usize;
    match header.kind {
        Kind::Beat if length == 0 => Ok(None),
        Kind::Frame if length <= shared.limits.frame_bytes_max => {
            let mut frame = vec![0; length];
            in_time(shared, peer, reader.read_exact(&mut frame)).await?;
            let is_whole = header.checksum.is_none_or(|checksum| checksum == crc32c::crc32c(&frame));
            is_whole.then_some(Some(frame)).ok_or(protocol("a frame that doesn't match its checksum"))
        }
        Kind::Frame => Err(protocol("a control frame over the limit")),
        _ => Err(protocol("something other than frames on a control connection")),
    }
}

async fn transmit(
    shared: &Shared,
    peer: PeerId,
    mut writer: OwnedWriteHalf,
    mut rest: mpsc::Receiver<Vec<u8>>,
) -> TransportError {
    loop {
        let message = match timeout(shared.limits.heartbeat, rest.recv()).await {
            Ok(Some(frame)) => message(shared, &frame),
            Ok(None) => return TransportError::gone(peer, "the connection was replaced or closed"),
            Err(_) => Header::new(Kind::Beat, 0).encode().to_vec(),
        };
        if let Err(error) = in_time(shared, peer, writer.write_all(&message)).await {
            return error;
        }
    }
}

fn message(shared: &Shared, frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("within the limit of a frame");
    let checksum = shared.limits.has_checksums.then(|| crc32c::crc32c(frame));
    let mut bytes = Header { length, checksum, ..Header::new(Kind::Frame, 0) }.encode().to_vec();
    bytes.extend(frame);
    bytes
}

async fn in_time<T>(
    shared: &Shared,
    peer: PeerId,
    io: impl Future<Output = io::Result<T>>,
) -> Result<T, TransportError> {
    let (limit, what) = (shared.limits.peer_timeout, "its control connection");
    match timeout(limit, io).await {
        Ok(done) => done.map_err(|error| TransportError::of_io(peer, what, limit_ms(limit), error)),
        Err(_) => Err(TransportError::TimedOut { peer, what, waited_ms: limit_ms(limit) }),
    }
}

async fn tell(shared: &Shared, event: Event) {
    // Nobody listens any more: then nobody misses it.
    let _ = shared.events.send(event).await;
}
