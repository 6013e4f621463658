//! How an endpoint uses its cards.

use crate::error::TransportError;
use crate::region::CHUNK_BYTES;
use crate::tcp;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Whether object bytes go by the cards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By the cards where both sides have them and they reach each other, else by TCP.
    #[default]
    Auto,
    /// By TCP; the cards aren't looked at.
    Tcp,
    /// By the cards, or not at all: a read that they can't do fails.
    Rdma,
}

/// How bytes come from a peer.
#[derive(Clone, Debug)]
pub enum Route {
    /// Nothing was read from it yet.
    Unknown,
    /// By TCP.
    Tcp {
        /// Why not by the cards; none where they aren't used at all.
        error: Option<TransportError>,
    },
    /// By the cards.
    Rdma {
        /// How many pairs of rails there are.
        rails: usize,
    },
}

/// What an endpoint is, and what its cards may do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The endpoint by which control goes, and bytes that cards can't read.
    pub tcp: tcp::Options,
    /// Whether the cards are used.
    pub mode: Mode,
    /// Names of the cards to use; all where there are none.
    pub cards: Vec<String>,
    /// The index of the address to use of each port (UCX: `UCX_IB_GID_INDEX`); the best where there is none.
    pub gid_index: Option<u8>,
    /// Queue pairs to peers; beyond it peers take turns.
    pub queue_pairs_max: usize,
    /// Queue pairs that peers may have with us; beyond it they are refused, and use another rail or TCP.
    pub queue_pairs_served_max: usize,
    /// Requests under way on a queue pair, a chunk each. Alike on all peers: a push needs as many receives at its
    /// receiver.
    pub requests_in_flight_max: u32,
    /// Reads and pushes that were begun and have not ended; beyond it `Full`.
    pub transfers_max: usize,
    /// Memory is pinned in extents of so many bytes, each when it is first used; at least a chunk.
    pub extent_bytes: u64,
    /// A queue pair for which others wait is given to them after this.
    pub quantum: Duration,
    /// How long transfers wait for a queue pair to their peer before they go by TCP, or with [`Mode::Rdma`] fail.
    pub queue_pair_timeout: Duration,
    /// The longest pause of a rail, or of a peer's cards, after failures. The first is `source_pause` of the TCP
    /// limits.
    pub pause_max: Duration,
}

impl Options {
    /// The defaults, around a TCP endpoint.
    pub fn new(tcp: tcp::Options) -> Self {
        Self {
            tcp,
            mode: Mode::Auto,
            cards: vec![],
            gid_index: None,
            queue_pairs_max: 128,
            queue_pairs_served_max: 256,
            requests_in_flight_max: 16,
            transfers_max: 16_384,
            extent_bytes: 256 * CHUNK_BYTES,
            quantum: Duration::from_millis(20),
            queue_pair_timeout: Duration::from_secs(5),
            pause_max: Duration::from_secs(30),
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "tcp" => Ok(Self::Tcp),
            "rdma" => Ok(Self::Rdma),
            _ => Err(format!("`{text}` is no transport: say auto, tcp or rdma")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Tcp => "tcp",
            Self::Rdma => "rdma",
        })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not used yet"),
            Self::Tcp { error: None } => f.write_str("tcp"),
            Self::Tcp { error: Some(error) } => write!(f, "tcp ({error})"),
            Self::Rdma { rails } => write!(f, "rdma, {rails} rails"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_reads_as_it_is_written() {
        for mode in [Mode::Auto, Mode::Tcp, Mode::Rdma] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!("ucx".parse::<Mode>().unwrap_err(), "`ucx` is no transport: say auto, tcp or rdma");
    }
}
