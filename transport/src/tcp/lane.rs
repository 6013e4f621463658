//! Lanes that we read by: the reader's end.

use super::Shared;
use super::accept::{self, limit_ms};
use super::handshake::Purpose;
use super::header::{HEADER_BYTES, Header, Kind, Status, encode_read};
use super::peers::Peers;
use super::stream::LaneStream;
use crate::error::TransportError;
use crate::face::{Completion, PeerId, Read};
use crate::region::{CHUNK_BYTES, Denied};
use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use tracing::debug;

/// A lane, as those see it who want to read.
pub struct Lane {
    id: u64,
    queue: SyncSender<Job>,
    load: Arc<AtomicU64>,
    socket: Arc<Mutex<Option<TcpStream>>>,
}

/// A read, and who waits for it.
struct Job {
    read: Read,
    done: Completion,
    _load: Load,
}

/// Bytes that a lane has yet to bring.
struct Load {
    lane: Arc<AtomicU64>,
    bytes: u64,
}

/// Asks for a read on the lane with the least to do, or on a new one where all are busy and there may be more.
pub fn read(shared: &Arc<Shared>, peer: PeerId, read: Read, done: Completion) {
    if let Err(error) = read.on_host() {
        drop(read);
        return done.complete(Err(error));
    }
    let queued = queue(shared, &mut shared.peers(), peer, read, done);
    // The lock is given back by now: whoever waits may call us again.
    if let Err((done, error)) = queued {
        done.complete(Err(error));
    }
}

fn queue(
    shared: &Arc<Shared>,
    peers: &mut Peers,
    peer: PeerId,
    read: Read,
    done: Completion,
) -> Result<(), (Completion, TransportError)> {
    let id = peers.fresh();
    let Some(entry) = peers.find(peer) else {
        return Err((done, TransportError::gone(peer, "this endpoint is closed")));
    };
    let least = entry.lanes.iter().map(Lane::load).min();
    let is_busy = least.is_none_or(|load| load >= CHUNK_BYTES);
    if is_busy && entry.lanes.len() < shared.limits.lanes_per_peer_max {
        let Some(address) = entry.address else { return Err((done, TransportError::PeerUnknown { peer })) };
        match open(shared, peer, address, id) {
            Ok(lane) => entry.lanes.push(lane),
            Err(error) if entry.lanes.is_empty() => return Err((done, error)),
            Err(error) => debug!(%error, "no further lane"),
        }
    }
    let lane = entry.lanes.iter().min_by_key(|lane| lane.load()).expect("one was there, or has been opened");
    let bytes = read.wanted().len;
    lane.load.fetch_add(bytes, Ordering::Relaxed);
    let job = Job { read, done, _load: Load { lane: lane.load.clone(), bytes } };
    let limit = shared.limits.reads_per_lane_max;
    lane.queue.try_send(job).map_err(|refused| match refused {
        TrySendError::Full(job) => (job.done, TransportError::Full { peer, what: "reads", limit }),
        TrySendError::Disconnected(job) => (job.done, TransportError::gone(peer, "its lane has just ended")),
    })
}

fn open(shared: &Arc<Shared>, peer: PeerId, address: SocketAddr, id: u64) -> Result<Lane, TransportError> {
    let (queue, jobs) = sync_channel(shared.limits.reads_per_lane_max);
    let socket = Arc::new(Mutex::new(None));
    let lane = Lane { id, queue, load: Arc::default(), socket: socket.clone() };
    let reader = Reader { shared: shared.clone(), peer, id, jobs, asked: VecDeque::new(), request: 0 };
    std::thread::Builder::new()
        .name("rayline-lane-in".into())
        .spawn(move || reader.run(address, &socket))
        .map_err(|error| TransportError::local("start a lane", error))?;
    Ok(lane)
}

impl Lane {
    /// Ends the lane and fails what it has still to bring.
    pub fn end(&self) {
        if let Some(socket) = &*self.socket.lock().unwrap_or_else(PoisonError::into_inner) {
            // One that is closed already says so.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn load(&self) -> u64 {
        self.load.load(Ordering::Relaxed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.lane.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The thread of a lane.
///
/// ```text
///  dialling --> idle <--> reading --> closed      a failure fails all that was asked for or queued
/// ```
struct Reader {
    shared: Arc<Shared>,
    peer: PeerId,
    id: u64,
    jobs: Receiver<Job>,
    asked: VecDeque<Asked>,
    request: u64,
}

/// A read that the peer was asked for.
struct Asked {
    job: Job,
    request: u64,
    /// The next byte to come, from the start of the span.
    next: u64,
    /// Where chunks begin that came whole. They count as there only when the holder says that they were valid.
    received: Vec<u64>,
    /// The first chunk with a wrong checksum. Known as corrupt only at the end: it may be revoked instead.
    corrupt: Option<u64>,
}

impl Reader {
    fn run(mut self, address: SocketAddr, socket: &Mutex<Option<TcpStream>>) {
        let outcome = self.connect(address, socket).and_then(|mut stream| self.serve(&mut stream));
        let Err(error) = outcome else { return };
        debug!(%error, "a lane ended");
        self.leave();
        let asked = self.asked.drain(..).map(|asked| asked.job);
        for job in asked.chain(self.jobs.try_iter()) {
            // The chunks that didn't arrive are free for another reader before anybody hears of it.
            drop(job.read);
            job.done.complete(Err(error.clone()));
        }
    }

    fn connect(
        &mut self,
        address: SocketAddr,
        socket: &Mutex<Option<TcpStream>>,
    ) -> Result<LaneStream, TransportError> {
        let (shared, peer) = (&self.shared, self.peer);
        let (tell, dialled) = oneshot::channel();
        let dialler = shared.clone();
        shared.runtime.spawn(async move {
            // This thread waits below, unless the endpoint is closed.
            drop(tell.send(accept::dial(&dialler, peer, address, Purpose::Lane).await));
        });
        let closed = |_| TransportError::gone(peer, "this endpoint is closed");
        let (dialled, _) = dialled.blocking_recv().map_err(closed)??;
        let local = |error| TransportError::local("start a lane", error);
        let stream = LaneStream::new(dialled.into_std().map_err(local)?, shared.limits.stall_timeout).map_err(local)?;
        *socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream.try_clone().map_err(local)?);
        // It may have been ended before there was a socket to shut down.
        let is_wanted = shared.peers().find(peer).is_some_and(|peer| peer.lanes.iter().any(|lane| lane.id == self.id));
        is_wanted.then_some(stream).ok_or(TransportError::gone(peer, "the lane was ended"))
    }

    /// Asks and receives until the lane is idle for long; an error where it broke.
    fn serve(&mut self, stream: &mut LaneStream) -> Result<(), TransportError> {
        loop {
            match self.next_job() {
                Ok(Some(job)) => self.ask(stream, job)?,
                Ok(None) => self.receive(stream)?,
                Err(Idle) => return Ok(()),
            }
        }
    }

    /// The next job in the queue. Where none is asked for it waits, and leaves the table when none comes.
    fn next_job(&self) -> Result<Option<Job>, Idle> {
        if !self.asked.is_empty() {
            return Ok(self.jobs.try_recv().ok());
        }
        match self.jobs.recv_timeout(self.shared.limits.lane_idle) {
            Ok(job) => return Ok(Some(job)),
            Err(RecvTimeoutError::Disconnected) => return Err(Idle),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Jobs are queued under this lock: what isn't here now never will be.
        let mut peers = self.shared.peers();
        match self.jobs.try_recv() {
            Ok(job) => Ok(Some(job)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                remove(&mut peers, self.peer, self.id);
                Err(Idle)
            }
        }
    }

    fn ask(&mut self, stream: &mut LaneStream, job: Job) -> Result<(), TransportError> {
        self.request += 1;
        let message = encode_read(self.request, job.read.wanted());
        let next = job.read.claim().bytes().start;
        self.asked.push_back(Asked { job, request: self.request, next, received: vec![], corrupt: None });
        stream.write_all(&message).map_err(|error| self.gone(error))
    }

    /// One message of the read that was asked for first.
    fn receive(&mut self, stream: &mut LaneStream) -> Result<(), TransportError> {
        let mut bytes = [0; HEADER_BYTES];
        stream.read_exact(&mut bytes).map_err(|error| self.gone(error))?;
        let peer = self.peer;
        let protocol = |what| TransportError::Protocol { peer, what };
        let header = Header::decode(&bytes).map_err(protocol)?;
        let asked = self.asked.front_mut().expect("asked before receiving");
        if header.request != asked.request {
            return Err(protocol("it answers another read than the one that is due"));
        }
        match header.kind {
            Kind::Chunk => {
                let received = asked.receive_chunk(stream, &header).map_err(protocol)?;
                received.map_err(|error| self.gone(error))
            }
            Kind::Done => {
                let outcome = asked.outcome(peer, header.status)?;
                let Job { read, done, .. } = self.asked.pop_front().expect("looked at above").job;
                drop(read);
                done.complete(outcome);
                Ok(())
            }
            Kind::Read | Kind::Frame | Kind::Beat => Err(protocol("something other than bytes on a lane")),
        }
    }

    fn gone(&self, error: std::io::Error) -> TransportError {
        TransportError::of_io(self.peer, "a read of an object", limit_ms(self.shared.limits.stall_timeout), error)
    }

    fn leave(&self) {
        remove(&mut self.shared.peers(), self.peer, self.id);
    }
}

/// Nothing was asked of a lane for a while.
struct Idle;

fn remove(peers: &mut Peers, peer: PeerId, id: u64) {
    if let Some(peer) = peers.find(peer) {
        peer.lanes.retain(|lane| lane.id != id);
    }
}

impl Asked {
    /// The outer error is a lie of the peer, the inner one its end.
    fn receive_chunk(&mut self, stream: &mut LaneStream, header: &Header) -> Result<std::io::Result<()>, &'static str> {
        let claim = self.job.read.claim();
        let due = claim.bytes().end - self.next;
        let len = due.min(CHUNK_BYTES);
        let base = self.job.read.wanted().offset - claim.bytes().start;
        if due == 0 || u64::from(header.length) != len || header.offset != base + self.next {
            return Err("a chunk that wasn't asked for");
        }
        let (at, len) = (self.next, header.length as usize);
        let to = claim.landing(at, len);
        // SAFETY: `landing` checked the bounds; the claim keeps everybody else off these bytes until they arrive.
        if let Err(error) = unsafe { stream.receive(to, len) } {
            return Ok(Err(error));
        }
        // SAFETY: as above; all of them were written just now.
        let received = unsafe { std::slice::from_raw_parts(to, len) };
        if header.checksum.is_some_and(|checksum| checksum != crc32c::crc32c(received)) {
            self.corrupt.get_or_insert(at);
        } else {
            self.received.push(at);
        }
        self.next += len as u64;
        Ok(Ok(()))
    }

    /// What the holder's last word makes of the read. An error of its own ends the lane.
    fn outcome(&self, peer: PeerId, status: Status) -> Result<Result<(), TransportError>, TransportError> {
        let read = &self.job.read;
        let denied = match status {
            Status::Revoked => Denied::Revoked,
            Status::OutOfBounds => Denied::OutOfBounds,
            Status::OffHost => Denied::OffHost,
            Status::NotYet => {
                self.arrive();
                Denied::NotYet
            }
            Status::Whole if self.next < read.claim().bytes().end => {
                return Err(TransportError::Protocol { peer, what: "it says that it is done before it is" });
            }
            Status::Whole => {
                self.arrive();
                let corrupt = self.corrupt.map(|at| TransportError::Corrupt { peer, span: read.wanted(), at });
                return Ok(corrupt.map_or(Ok(()), Err));
            }
        };
        Ok(Err(read.denied(peer, denied)))
    }

    fn arrive(&self) {
        self.received.iter().for_each(|at| self.job.read.claim().arrive(*at));
    }
}
