//! Connections by which cards learn of each other: authenticated as all others are, and used by the transport over RDMA.

use super::Shared;
use super::accept;
use super::handshake::{self, Purpose};
use super::lane;
use crate::error::{Refusal, TransportError};
use crate::face::{Completion, PeerId, Read};
use crate::limits::Limits;
use crate::region::Regions;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Where connections go that peers dial for their cards; nowhere until somebody takes them.
pub type Cards = OnceLock<mpsc::Sender<(PeerId, TcpStream)>>;

/// An endpoint, as the transport over RDMA uses it.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Where tasks run that carry messages of cards.
    pub fn runtime(&self) -> &Handle {
        &self.shared.runtime
    }

    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub fn regions(&self) -> &Arc<Regions> {
        &self.shared.regions
    }

    /// Reads by TCP.
    pub fn read(&self, peer: PeerId, read: Read, done: Completion) {
        lane::read(&self.shared, peer, read, done);
    }

    /// From now on peers may dial for their cards; the connections come out of the receiver, `limit` of them waiting.
    pub fn accept_cards(&self, limit: usize) -> mpsc::Receiver<(PeerId, TcpStream)> {
        let (sender, receiver) = mpsc::channel(limit);
        assert!(self.shared.cards.set(sender).is_ok(), "an endpoint has one transport by cards");
        receiver
    }

    /// Dials a peer for our cards.
    ///
    /// # Errors
    /// `Refused` with `NoCards` where it has none, `PeerUnknown`, and as for all dialling.
    pub async fn dial_cards(&self, peer: PeerId) -> Result<TcpStream, TransportError> {
        let address = self.shared.peers().find(peer).and_then(|entry| entry.address);
        let address = address.ok_or(TransportError::PeerUnknown { peer })?;
        accept::dial(&self.shared, peer, address, Purpose::Cards).await.map(|(socket, _)| socket)
    }
}

/// A peer has dialled for its cards.
pub async fn accept(shared: &Shared, mut socket: TcpStream, peer: PeerId) -> Result<(), TransportError> {
    let Some(cards) = shared.cards.get() else {
        return Err(handshake::refuse(&mut socket, peer, Refusal::NoCards).await);
    };
    let Ok(place) = cards.try_reserve() else {
        return Err(handshake::refuse(&mut socket, peer, Refusal::Busy).await);
    };
    handshake::welcome(&mut socket, peer).await?;
    place.send((peer, socket));
    Ok(())
}
