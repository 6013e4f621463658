//! What can go wrong between two peers.

use crate::face::PeerId;
use crate::region::RemoteSpan;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;

/// Why a read, a frame, a registration or a pull failed. It names the peer, and the span where there is one.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No address is known for the peer, so that it can't be dialled.
    #[error("{peer} has no address here: introduce it with its address before reading from it")]
    PeerUnknown {
        /// The peer.
        peer: PeerId,
    },
    /// The connection to the peer ended, or could not be made.
    #[error("{peer} is gone: {reason}")]
    PeerGone {
        /// The peer.
        peer: PeerId,
        /// What ended it.
        reason: &'static str,
        /// What the system said, where it said something.
        #[source]
        source: Option<Arc<io::Error>>,
    },
    /// The peer refuses to talk to us, or we to it.
    #[error("no connection with {peer}: {refusal}")]
    Refused {
        /// The peer.
        peer: PeerId,
        /// Why.
        refusal: Refusal,
    },
    /// The span was retired, or its region deregistered, before its bytes had all been read.
    #[error("{peer} has revoked {span}")]
    Revoked {
        /// The holder.
        peer: PeerId,
        /// What was asked for.
        span: RemoteSpan,
    },
    /// The span leaves what the holder published, or what the landing place has.
    #[error("{span} at {peer} leaves its bounds")]
    OutOfBounds {
        /// The holder.
        peer: PeerId,
        /// What was asked for.
        span: RemoteSpan,
    },
    /// Bytes that don't match their checksum.
    #[error("{span} from {peer} came corrupted at byte {at} of the span")]
    Corrupt {
        /// The holder.
        peer: PeerId,
        /// What was asked for.
        span: RemoteSpan,
        /// Where the first such chunk begins, in bytes from the start of the span.
        at: u64,
    },
    /// Nothing came for too long.
    #[error("{peer} let {what} wait for {waited_ms} ms")]
    TimedOut {
        /// The peer.
        peer: PeerId,
        /// What was waited for.
        what: &'static str,
        /// For how long, in milliseconds.
        waited_ms: u64,
    },
    /// The holder doesn't have these bytes yet: it is itself receiving them.
    #[error("{peer} is itself still receiving {span}")]
    NotYet {
        /// The holder.
        peer: PeerId,
        /// What was asked for.
        span: RemoteSpan,
    },
    /// The peer broke the protocol.
    #[error("{peer} broke the protocol: {what}")]
    Protocol {
        /// The peer.
        peer: PeerId,
        /// What it did.
        what: &'static str,
    },
    /// A queue is full; the caller keeps what it wanted to queue.
    #[error("{what} to {peer} are at their limit of {limit}")]
    Full {
        /// The peer.
        peer: PeerId,
        /// What is queued.
        what: &'static str,
        /// How many fit.
        limit: usize,
    },
    /// A control frame over the limit.
    #[error("a frame of {bytes} bytes to {peer} is over the limit of {limit}: send large values as objects")]
    FrameTooLarge {
        /// The receiver.
        peer: PeerId,
        /// Its size.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A range of a region that is out of bounds, not writable or in use.
    #[error("bytes {offset}..+{len} of region {key:#x} can't be used: {why}")]
    Region {
        /// The region's key.
        key: u64,
        /// Where the range begins, in bytes from the start of the region.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// Why not.
        why: &'static str,
    },
    /// Nobody is left who has the object.
    #[error("no holder is left for the object")]
    NoSource {
        /// What the last holder said.
        #[source]
        last: Option<Arc<TransportError>>,
    },
    /// Nobody wanted the object any more.
    #[error("the pull was cancelled")]
    Cancelled,
    /// Plain text on a network that others may listen to.
    #[error("{address} is not loopback, and this connection has no encryption: bind to loopback, or allow plain text")]
    Insecure {
        /// Where it would have listened.
        address: SocketAddr,
    },
    /// The system refused something local: memory, a thread, a socket.
    #[error("can't {what}")]
    Local {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
}

/// Why two peers don't talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// They speak different versions of the protocol.
    #[error("it speaks wire version {theirs}, we speak {ours}: run the same release of Rayline on both")]
    Version {
        /// Our version.
        ours: u16,
        /// The version of the other.
        theirs: u16,
    },
    /// They belong to different clusters.
    #[error("it belongs to another cluster: check which address was given, or join it to this cluster")]
    Cluster,
    /// One of them doesn't know the secret.
    #[error("it does not know this cluster's secret: copy the secret file of the head to it and start it again")]
    Secret,
    /// Another peer than the one that was called.
    #[error("another peer answers at this address: learn its present address from the controller")]
    Identity,
    /// Both dial at the same time; the other connection is used.
    #[error("both sides dialled at once, and the other connection is kept: use that one")]
    Duplicate,
    /// It has as many connections as it may.
    #[error("it has as many connections as it may: raise its `lanes_served_max`, or read from another holder")]
    Busy,
    /// It has no card that it could be read by.
    #[error("it uses no RDMA: look at its cards, and at how RDMA is set there")]
    NoCards,
}

impl TransportError {
    pub(crate) fn gone(peer: PeerId, reason: &'static str) -> Self {
        Self::PeerGone { peer, reason, source: None }
    }

    /// What the system said about a connection: gone, or silent for too long.
    pub(crate) fn of_io(peer: PeerId, what: &'static str, waited_ms: u64, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut { peer, what, waited_ms },
            _ => Self::PeerGone { peer, reason: what, source: Some(Arc::new(error)) },
        }
    }

    pub(crate) fn local(what: &'static str, error: io::Error) -> Self {
        Self::Local { what, source: Arc::new(error) }
    }
}
