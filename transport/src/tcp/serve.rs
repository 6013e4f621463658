//! Lanes that peers read by: the holder's end.

use super::Shared;
use super::accept::limit_ms;
use super::handshake;
use super::header::{Header, Kind, READ_BYTES, Status, decode_read};
use super::stream::{LaneStream, pace};
use crate::error::{Refusal, TransportError};
use crate::face::PeerId;
use crate::region::{CHUNK_BYTES, Denied, RemoteSpan, Span};
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tracing::debug;

/// The lanes that are served, to bound and to end them.
pub struct Served {
    table: Mutex<Table>,
    limit: usize,
}

#[derive(Default)]
struct Table {
    lanes: HashMap<u64, Option<TcpStream>>,
    next: u64,
    is_ended: bool,
}

impl Served {
    pub fn new(limit: usize) -> Self {
        Self { table: Mutex::default(), limit }
    }

    /// Ends all lanes.
    pub fn end(&self) {
        let mut table = self.lock();
        table.is_ended = true;
        // One that is closed already says so.
        table.lanes.values().flatten().for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
    }

    fn reserve(&self) -> Option<u64> {
        let mut table = self.lock();
        if table.is_ended || table.lanes.len() >= self.limit {
            return None;
        }
        table.next += 1;
        let id = table.next;
        table.lanes.insert(id, None);
        Some(id)
    }

    /// Whether the lane may go on.
    fn start(&self, id: u64, socket: TcpStream) -> bool {
        let mut table = self.lock();
        table.lanes.insert(id, Some(socket));
        !table.is_ended
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the lanes, given back when dropped.
struct Place {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.served.lock().lanes.remove(&self.id);
    }
}

/// A peer wants a lane.
pub async fn accept(
    shared: &Arc<Shared>,
    mut socket: tokio::net::TcpStream,
    peer: PeerId,
) -> Result<(), TransportError> {
    let Some(id) = shared.served.reserve() else {
        return Err(handshake::refuse(&mut socket, peer, Refusal::Busy).await);
    };
    let place = Place { shared: shared.clone(), id };
    let local = |error| TransportError::local("start a lane", error);
    pace(&socket, shared.lane_bytes_per_s).map_err(local)?;
    handshake::welcome(&mut socket, peer).await?;
    let stream = LaneStream::new(socket.into_std().map_err(local)?, shared.limits.stall_timeout).map_err(local)?;
    let is_open = shared.served.start(id, stream.try_clone().map_err(local)?);
    let server = Server { place, stream, peer };
    let thread = std::thread::Builder::new().name("rayline-lane-out".into());
    if is_open {
        thread.spawn(|| server.run()).map_err(local)?;
    }
    Ok(())
}

struct Server {
    place: Place,
    stream: LaneStream,
    peer: PeerId,
}

impl Server {
    fn run(mut self) {
        if let Err(error) = self.serve() {
            debug!(%error, "a lane ended");
        }
    }

    fn serve(&mut self) -> Result<(), TransportError> {
        let (peer, limits) = (self.peer, &self.place.shared.limits);
        let stall_ms = limit_ms(limits.stall_timeout);
        // The reader closes an idle lane first, so that it never asks on one that is closing.
        let idle = limits.lane_idle * 2;
        let gone = move |error| TransportError::of_io(peer, "a read of an object", stall_ms, error);
        while self.stream.wait(idle).map_err(gone)? {
            let mut bytes = [0; READ_BYTES];
            self.stream.read_exact(&mut bytes).map_err(gone)?;
            let (request, wanted) = decode_read(&bytes).map_err(|what| TransportError::Protocol { peer, what })?;
            let status = self.send(request, wanted).map_err(gone)?;
            let done = Header { status, ..Header::new(Kind::Done, request) };
            self.stream.write_all(&done.encode()).map_err(gone)?;
        }
        Ok(())
    }

    /// Sends a span chunk by chunk, and looks whether it was valid to the end.
    fn send(&mut self, request: u64, wanted: RemoteSpan) -> std::io::Result<Status> {
        let span = match self.place.shared.regions.find(wanted) {
            Ok(span) if span.is_on_host() => span,
            Ok(_) => return Ok(Status::OffHost),
            Err(denied) => return Ok(status(denied)),
        };
        let end = wanted.offset + wanted.len;
        let mut at = wanted.offset;
        while at < end {
            let len = (end - at).min(CHUNK_BYTES);
            if let Err(denied) = self.send_chunk(request, &span, at, len)? {
                return Ok(if span.is_live() { status(denied) } else { Status::Revoked });
            }
            at += len;
        }
        Ok(if span.is_live() { Status::Whole } else { Status::Revoked })
    }

    fn send_chunk(&mut self, request: u64, span: &Span, at: u64, len: u64) -> std::io::Result<Result<(), Denied>> {
        let limits = &self.place.shared.limits;
        if let Err(denied) = span.wait(at, len, Instant::now() + limits.chunk_wait) {
            return Ok(Err(denied));
        }
        let length = u32::try_from(len).expect("a chunk");
        let from = at - span.remote().offset;
        let checksum = if limits.has_checksums {
            let Some(checksum) = span.checksum(from, length as usize) else { return Ok(Err(Denied::Revoked)) };
            Some(checksum)
        } else {
            None
        };
        let header = Header { offset: at, length, checksum, ..Header::new(Kind::Chunk, request) };
        // SAFETY: `wait` checked that these bytes lie within the span, whose region stays mapped while we hold it.
        unsafe { self.stream.send(&header.encode(), span.at(from), length as usize)? };
        Ok(Ok(()))
    }
}

fn status(denied: Denied) -> Status {
    match denied {
        Denied::Revoked => Status::Revoked,
        Denied::OutOfBounds => Status::OutOfBounds,
        Denied::NotYet => Status::NotYet,
        Denied::OffHost => Status::OffHost,
    }
}
