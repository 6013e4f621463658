//! The face that all transports have.

use crate::error::TransportError;

use crate::region::{Claim, Denied, Extent, Regions, RemoteSpan, Span, chunk_count};
use crate::tcp::Stream;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, mpsc};

/// Names a peer; its caller chooses it, and it stays the same over all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u128);

/// What a transport tells of its own accord.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A control connection with the peer is there. `incarnation` differs after a restart of the peer.
    Up {
        /// The peer.
        peer: PeerId,
        /// Which process of it.
        incarnation: u64,
    },
    /// A control frame, in the order in which the peer sent them.
    Frame {
        /// The peer.
        peer: PeerId,
        /// What it sent.
        bytes: Vec<u8>,
    },
    /// The peer has opened a stream.
    Stream {
        /// The peer.
        peer: PeerId,
        /// What it opened.
        stream: Stream,
    },
    /// The control connection is no more; frames that weren't received are lost.
    Down {
        /// The peer.
        peer: PeerId,
        /// Why.
        error: TransportError,
    },
}

/// Frames beside, bytes apart: what in-process, TCP and RDMA transports have in common.
pub trait Transport: Send + Sync {
    /// Who we are.
    fn local(&self) -> PeerId;

    /// What is registered here, for peers to read and to land in.
    fn regions(&self) -> &Arc<Regions>;

    /// Queues a control frame; what is sent to one peer arrives in order, or is followed by `Down`.
    ///
    /// # Errors
    /// `Full`, `FrameTooLarge`, or `PeerUnknown` where the peer can't be reached.
    fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), TransportError>;

    /// Reads chunks of a remote span straight into a landing extent. It ends exactly once, on any thread, before this
    /// returns or later.
    fn read(&self, peer: PeerId, read: Read, done: Completion);
}

/// One read: chunks of a remote span, and where they go. The chunks are claimed as long as it lives.
#[derive(Debug)]
pub struct Read {
    remote: RemoteSpan,
    claim: Claim,
}

type Done = Box<dyn FnOnce(Result<(), TransportError>) + Send>;

/// Where the outcome of a read goes. Dropped without one, it says that the transport ended.
pub struct Completion {
    peer: PeerId,
    done: Option<Done>,
}

/// Reads a whole span, and waits for it.
///
/// # Errors
/// As [`Transport::read`] reports, and `Region` where the extent takes no read.
pub fn read_blocking(
    transport: &dyn Transport,
    peer: PeerId,
    remote: RemoteSpan,
    landing: &Extent,
) -> Result<(), TransportError> {
    let read = Read::new(remote, landing, 0..chunk_count(remote.len))?;
    let (tell, outcome) = mpsc::sync_channel(1);
    // The receiver waits below, so that there is somebody to hear it.
    let done = Completion::new(peer, move |result| drop(tell.send(result)));
    transport.read(peer, read, done);
    outcome.recv().unwrap_or_else(|_| Err(TransportError::gone(peer, "the transport ended")))
}

impl Read {
    /// Chunks of `remote`, counted from its start, into the same chunks of `landing`.
    ///
    /// # Errors
    /// `Region` where the two differ in length, or a chunk is out of range, there already, or being read.
    pub fn new(remote: RemoteSpan, landing: &Extent, chunks: Range<usize>) -> Result<Self, TransportError> {
        Self::into_span(remote, landing.span(), chunks)
    }

    pub(crate) fn into_span(
        remote: RemoteSpan,
        span: &Arc<Span>,
        chunks: Range<usize>,
    ) -> Result<Self, TransportError> {
        let RemoteSpan { key, offset, len, .. } = span.remote();
        let error = |why| TransportError::Region { key, offset, len, why };
        if remote.len != len || remote.offset.checked_add(len).is_none() {
            return Err(error("the remote span has another length"));
        }
        let claim = Claim::new(span, chunks).ok_or_else(|| error("those chunks are there, or are being read"))?;
        Ok(Self { remote, claim })
    }

    /// The bytes of the remote region that this read wants.
    pub fn wanted(&self) -> RemoteSpan {
        let bytes = self.claim.bytes();
        self.remote.slice(bytes.start, bytes.end - bytes.start)
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The first chunks have arrived: the rest is what is to be read from now on.
    pub(crate) fn arrive_first(&mut self, count: usize) {
        self.claim.arrive_first(count);
    }

    /// Refuses what lands elsewhere than in memory of this host.
    pub(crate) fn on_host(&self) -> Result<(), TransportError> {
        let span = self.claim.span();
        if span.is_on_host() { Ok(()) } else { Err(off_host(span.remote())) }
    }

    pub(crate) fn denied(&self, peer: PeerId, denied: Denied) -> TransportError {
        let span = self.wanted();
        match denied {
            Denied::Revoked => TransportError::Revoked { peer, span },
            Denied::OutOfBounds => TransportError::OutOfBounds { peer, span },
            Denied::NotYet => TransportError::NotYet { peer, span },
            Denied::OffHost => off_host(span),
        }
    }
}

fn off_host(span: RemoteSpan) -> TransportError {
    let RemoteSpan { key, offset, len, .. } = span;
    TransportError::Region { key, offset, len, why: "it is memory of a device, which only cards reach" }
}

impl Completion {
    /// Calls `done` once with the outcome of a read from `peer`.
    pub fn new(peer: PeerId, done: impl FnOnce(Result<(), TransportError>) + Send + 'static) -> Self {
        Self { peer, done: Some(Box::new(done)) }
    }

    /// Tells the outcome.
    pub fn complete(mut self, result: Result<(), TransportError>) {
        self.tell(result);
    }

    fn tell(&mut self, result: Result<(), TransportError>) {
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.tell(Err(TransportError::gone(self.peer, "the transport ended")));
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {:x}", self.0)
    }
}
