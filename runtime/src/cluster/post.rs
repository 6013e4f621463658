//! Sends letters by address, and opens those that come.

use super::letter::{Address, Envelope, Letter};
use super::line::{Line, Parcel};
use super::secret::fill;
use rayline_store::{CodecError, decode_copied, encode};
use rayline_transport::tcp::Tcp;
use rayline_transport::{PeerId, Transport, TransportError};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The head's name as a peer. A node's is drawn at random when its process starts.
pub const HEAD: PeerId = PeerId(1);

/// The longest letter, in bytes: a frame has room for it, and for its number.
const LETTER_BYTES_MAX: usize = (64 << 10) - 1024;

/// The letters of one process.
pub struct Post {
    tcp: Arc<Tcp>,
    book: BTreeMap<Address, PeerId>,
    /// Letters to this process itself; they are handled before anything else.
    here: VecDeque<Envelope>,
    lines: BTreeMap<PeerId, Line>,
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
    /// Too many letters wait for that peer.
    #[error("too many letters wait for it")]
    Crowded,
    /// The transport refuses it: its queue is full, or the peer can't be reached.
    #[error(transparent)]
    Transport(TransportError),
}

impl Post {
    /// The letters that go over `tcp`.
    pub fn new(tcp: impl Into<Arc<Tcp>>) -> Post {
        Post { tcp: tcp.into(), book: BTreeMap::new(), here: VecDeque::new(), lines: BTreeMap::new() }
    }

    /// Notes behind which peer an address is.
    pub fn note(&mut self, address: Address, peer: PeerId) {
        self.book.insert(address, peer);
    }

    /// Sends a letter. It arrives in order and once, also where a connection breaks meanwhile; or its receiver is dead. Those
    /// that are said again anyway, as heartbeats, may be lost.
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
        // Before it is numbered: the next would wait for it for ever.
        let bytes = encode(&envelope).map_err(PostError::Codec)?.len();
        if bytes > LETTER_BYTES_MAX {
            return Err(PostError::TooLarge { bytes, limit: LETTER_BYTES_MAX });
        }
        let parcel = self.lines.entry(peer).or_default().pack(envelope).ok_or(PostError::Crowded)?;
        match self.send_parcel(peer, &parcel) {
            // It is sent again: the end of the connection will be heard of.
            Err(PostError::Transport(_)) if parcel.must_arrive() => Ok(()),
            failed => failed,
        }
    }

    fn send_parcel(&self, peer: PeerId, parcel: &Parcel) -> Result<(), PostError> {
        let frame = encode(parcel).map_err(PostError::Codec)?.to_vec();
        self.tcp.send(peer, frame).map_err(PostError::Transport)
    }

    /// What a frame brings, if it brings something new.
    ///
    /// # Errors
    /// `Codec` for bytes that are no letter.
    pub fn receive(&mut self, peer: PeerId, frame: &[u8]) -> Result<Option<Envelope>, PostError> {
        let parcel = decode_copied(frame).map_err(PostError::Codec)?;
        let line = self.lines.entry(peer).or_default();
        let envelope = line.unpack(parcel);
        if let Some(word) = line.acknowledge() {
            // One that is lost is followed by another.
            let _ = self.send_parcel(peer, &word);
        }
        Ok(envelope)
    }

    /// There is a connection with a peer, in this of its lives: what it has not got is sent again.
    pub fn connected(&mut self, peer: PeerId, life: u64) {
        for parcel in self.lines.entry(peer).or_default().connected(life) {
            if let Err(error) = self.send_parcel(peer, &parcel) {
                // The next connection brings it.
                tracing::debug!(%peer, %error, "a letter can't be sent again yet");
                return;
            }
        }
    }

    /// There is none any more: when to [`Post::call`] the peer, where letters for it are left.
    pub fn disconnected(&mut self, peer: PeerId) -> Option<Duration> {
        let wait = self.lines.get_mut(&peer)?.broken();
        if wait.is_none() && !self.book.values().any(|known| *known == peer) {
            // Whoever only asked something is not remembered.
            self.lines.remove(&peer);
        }
        wait
    }

    /// Makes a connection with a peer for which letters are left.
    pub fn call(&mut self, peer: PeerId) {
        if let Some(word) = self.lines.get_mut(&peer).and_then(Line::call)
            && let Err(error) = self.send_parcel(peer, &word)
        {
            tracing::debug!(%peer, %error, "a peer can't be called");
        }
    }

    /// The next letter of this process to itself.
    pub fn take_own(&mut self) -> Option<Envelope> {
        self.here.pop_front()
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
