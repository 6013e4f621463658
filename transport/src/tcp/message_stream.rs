//! Streams: connections of their own, for whoever has a protocol of its own.

use super::Shared;
use super::accept;
use super::handshake::{self, Purpose};
use crate::error::{Refusal, TransportError};
use crate::face::{Event, PeerId};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream as Socket};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

/// Ordered bytes, both ways, between two endpoints that have shaken hands. Blocking; clones are the same stream.
///
/// For many small messages at a rate that control frames don't reach: whoever has it writes and reads the socket itself.
#[derive(Clone, Debug)]
pub struct Stream {
    socket: Arc<Socket>,
}

impl Stream {
    fn new(socket: TcpStream) -> io::Result<Self> {
        let socket = socket.into_std()?;
        socket.set_nonblocking(false)?;
        Ok(Self { socket: Arc::new(socket) })
    }

    /// Ends it in both directions, for all clones and for the peer. Whoever reads finds the end.
    pub fn close(&self) {
        // One that is closed already says so.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// The socket, to wait for it together with others.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Read for &Stream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        (&*self.socket).read(to)
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.socket).write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.socket).write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Dials a peer for a stream. Blocks until it is there.
pub fn open(shared: &Arc<Shared>, peer: PeerId) -> Result<Stream, TransportError> {
    let address = shared.peers().find(peer).and_then(|entry| entry.address);
    let address = address.ok_or(TransportError::PeerUnknown { peer })?;
    let (tell, dialled) = oneshot::channel();
    let dialler = shared.clone();
    shared.runtime.spawn(async move {
        // This thread waits below, unless the endpoint is closed.
        drop(tell.send(accept::dial(&dialler, peer, address, Purpose::Stream).await));
    });
    let closed = |_| TransportError::gone(peer, "this endpoint is closed");
    let (dialled, _) = dialled.blocking_recv().map_err(closed)??;
    Stream::new(dialled).map_err(|error| TransportError::local("open a stream", error))
}

/// A peer has dialled for a stream: whoever receives the events has it.
pub async fn accept(shared: &Shared, mut socket: TcpStream, peer: PeerId) -> Result<(), TransportError> {
    let event = match shared.events.try_reserve() {
        Ok(event) => event,
        // Nobody reads the events, or not fast enough: the peer tries again.
        Err(TrySendError::Full(()) | TrySendError::Closed(())) => {
            return Err(handshake::refuse(&mut socket, peer, Refusal::Busy).await);
        }
    };
    handshake::welcome(&mut socket, peer).await?;
    let stream = Stream::new(socket).map_err(|error| TransportError::local("take a stream", error))?;
    event.send(Event::Stream { peer, stream });
    Ok(())
}
