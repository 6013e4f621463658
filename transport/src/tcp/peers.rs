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

    /// Forgets a peer without a connection that we could not dial: one that came only to ask is not to be remembered.
    pub fn forget_stranger(&mut self, peer: PeerId) {
        let is_stranger = |known: &Peer| known.address.is_none() && matches!(known.control, Control::Idle);
        if self.book.get(&peer).is_some_and(is_stranger) {
            self.book.remove(&peer);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_forgotten_and_acquaintances_are_not() {
        let mut peers = Peers::default();
        peers.introduce(PeerId(1), SocketAddr::from(([127, 0, 0, 1], 1)));
        for id in [1, 2] {
            assert!(peers.find(PeerId(id)).is_some());
            peers.forget_stranger(PeerId(id));
        }
        assert_eq!(peers.book.keys().collect::<Vec<_>>(), [&PeerId(1)]);
    }
}
