//! The peers that an endpoint knows, and its connections with them.

use super::control::Control;
use super::lane::Lane;
use crate::face::PeerId;
use std::collections::HashMap;
use std::net::SocketAddr;

/// The book of peers. Nobody is called back while it is locked.
#[derive(Default)]
pub struct Peers {
    book: HashMap<PeerId, Peer>,
    next: u64,
    is_ended: bool,
}

/// One peer.
#[derive(Default)]
pub struct Peer {
    /// Where it listens, if we were told.
    pub address: Option<SocketAddr>,
    /// The control connection.
    pub control: Control,
    /// The lanes that we read by.
    pub lanes: Vec<Lane>,
}

impl Peers {
    pub fn introduce(&mut self, peer: PeerId, address: SocketAddr) {
        self.book.entry(peer).or_default().address = Some(address);
    }

    /// The peer, unless the endpoint has ended. One that dialled us is in the book without an address.
    pub fn find(&mut self, peer: PeerId) -> Option<&mut Peer> {
        (!self.is_ended).then(|| self.book.entry(peer).or_default())
    }

    /// A number that no other connection of this endpoint has.
    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Ends all lanes and control connections; there will be no others.
    pub fn end(&mut self) {
        self.is_ended = true;
        for peer in self.book.values_mut() {
            peer.lanes.drain(..).for_each(|lane| lane.end());
            peer.control = Control::Idle;
        }
    }
}
