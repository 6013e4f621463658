//! Sends letters by address, and opens those that come.

use super::letter::{Address, Envelope, Letter};
use super::secret::fill;
use rayline_store::{CodecError, decode_copied, encode};
use rayline_transport::tcp::Tcp;
use rayline_transport::{PeerId, Transport, TransportError};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The head's name as a peer. A node's is drawn at random when its process starts.
pub const HEAD: PeerId = PeerId(1);

/// The letters of one process.
pub struct Post {
    tcp: Arc<Tcp>,
    book: BTreeMap<Address, PeerId>,
    /// Letters to this process itself; they are handled before anything else.
    here: VecDeque<Envelope>,
}

/// Why a letter didn't leave. A caller whose letter may be lost goes on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// Nobody is known at that address.
    #[error("nobody is known at {0:?}")]
    Unknown(Address),
    /// The letter is larger than a frame may be.
    #[error("a letter of {bytes} bytes is over the limit of {limit} of a frame")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The letter can't be encoded.
    #[error("a letter can't be encoded")]
    Codec(#[source] CodecError),
    /// The transport refuses it: its queue is full, or the peer can't be reached.
    #[error(transparent)]
    Transport(TransportError),
}

impl Post {
    /// The letters that go over `tcp`.
    pub fn new(tcp: impl Into<Arc<Tcp>>) -> Post {
        Post { tcp: tcp.into(), book: BTreeMap::new(), here: VecDeque::new() }
    }

    /// Notes behind which peer an address is.
    pub fn note(&mut self, address: Address, peer: PeerId) {
        self.book.insert(address, peer);
    }

    /// Forgets all addresses of a peer.
    pub fn forget(&mut self, peer: PeerId) {
        self.book.retain(|_, at| *at != peer);
    }

    /// Sends a letter. It arrives in order, or its connection ends.
    ///
    /// # Errors
    /// See [`PostError`]; the letter is lost then.
    pub fn send(&mut self, to: Address, letter: Letter) -> Result<(), PostError> {
        let peer = *self.book.get(&to).ok_or(PostError::Unknown(to))?;
        self.send_by(peer, Envelope { to, letter })
    }

    /// Sends a letter to an address that is known to be behind a peer.
    ///
    /// # Errors
    /// As [`Post::send`].
    pub fn send_by(&mut self, peer: PeerId, envelope: Envelope) -> Result<(), PostError> {
        if peer == self.tcp.local() {
            self.here.push_back(envelope);
            return Ok(());
        }
        let frame = encode(&envelope).map_err(PostError::Codec)?.to_vec();
        self.tcp.send(peer, frame).map_err(|error| match error {
            TransportError::FrameTooLarge { bytes, limit, .. } => PostError::TooLarge { bytes, limit },
            other => PostError::Transport(other),
        })
    }

    /// The next letter of this process to itself.
    pub fn take_own(&mut self) -> Option<Envelope> {
        self.here.pop_front()
    }

    /// What a frame says.
    ///
    /// # Errors
    /// `Codec` for bytes that are no letter.
    pub fn open(frame: &[u8]) -> Result<Envelope, PostError> {
        decode_copied(frame).map_err(PostError::Codec)
    }

    /// The endpoint below.
    pub fn tcp(&self) -> &Arc<Tcp> {
        &self.tcp
    }
}

/// A peer's name that nobody else has, nor the head.
pub(crate) fn fresh_peer() -> std::io::Result<PeerId> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(PeerId(u128::from_le_bytes(bytes) | 1 << 127))
}
