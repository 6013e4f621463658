//! Peers in one process: the embedded case, and tests.

use crate::error::TransportError;
use crate::face::{Completion, Event, PeerId, Read, Transport};
use crate::limits::Limits;
use crate::region::{CHUNK_BYTES, Denied, Regions};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc::{self, error::TrySendError};

/// Endpoints that see each other.
#[derive(Clone, Default)]
pub struct Network {
    peers: Arc<Mutex<HashMap<PeerId, Member>>>,
}

struct Member {
    events: mpsc::Sender<Event>,
    regions: Arc<Regions>,
}

/// An endpoint, which leaves its network when dropped.
pub struct InProcess {
    network: Network,
    peer: PeerId,
    regions: Arc<Regions>,
    limits: Limits,
}

impl Network {
    /// A network without endpoints.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new endpoint in the place of whoever had its name. What it is told comes out of the receiver; where that is
    /// full (`events_queued_max`), `send` answers `Full`.
    pub fn join(&self, peer: PeerId, regions: Arc<Regions>, limits: Limits) -> (InProcess, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(limits.events_queued_max);
        self.peers().insert(peer, Member { events, regions: regions.clone() });
        (InProcess { network: self.clone(), peer, regions, limits }, receiver)
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<PeerId, Member>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for InProcess {
    fn local(&self) -> PeerId {
        self.peer
    }

    fn regions(&self) -> &Arc<Regions> {
        &self.regions
    }

    fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), TransportError> {
        let limit = self.limits.frame_bytes_max;
        if frame.len() > limit {
            return Err(TransportError::FrameTooLarge { peer, bytes: frame.len(), limit });
        }
        let peers = self.network.peers();
        let member = peers.get(&peer).ok_or(TransportError::PeerUnknown { peer })?;
        member.events.try_send(Event::Frame { peer: self.peer, bytes: frame }).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                TransportError::Full { peer, what: "control frames", limit: self.limits.events_queued_max }
            }
            TrySendError::Closed(_) => TransportError::gone(peer, "it no longer listens"),
        })
    }

    fn read(&self, peer: PeerId, read: Read, done: Completion) {
        let regions = self.network.peers().get(&peer).map(|member| member.regions.clone());
        let outcome = match regions {
            Some(regions) => copy(&regions, &read).map_err(|denied| read.denied(peer, denied)),
            None => Err(TransportError::gone(peer, "it has left")),
        };
        drop(read);
        done.complete(outcome);
    }
}

/// Copies chunk by chunk. It doesn't wait for what the holder is still receiving.
fn copy(regions: &Regions, read: &Read) -> Result<(), Denied> {
    let (claim, wanted) = (read.claim(), read.wanted());
    let span = regions.find(wanted)?;
    if !span.is_on_host() || !claim.span().is_on_host() {
        return Err(Denied::OffHost);
    }
    let bytes = claim.bytes();
    let mut at = bytes.start;
    while at < bytes.end {
        let len = (bytes.end - at).min(CHUNK_BYTES);
        let from = wanted.offset + (at - bytes.start);
        span.wait(from, len, Instant::now())?;
        let len = usize::try_from(len).expect("a chunk");
        let source = from - span.remote().offset;
        if !span.copy_to(source, claim.landing(at, len), len) {
            return Err(Denied::Revoked);
        }
        claim.arrive(at);
        at += len as u64;
    }
    Ok(())
}

impl Drop for InProcess {
    fn drop(&mut self) {
        let mut peers = self.network.peers();
        let is_present = peers.get(&self.peer).is_some_and(|member| Arc::ptr_eq(&member.regions, &self.regions));
        if is_present {
            peers.remove(&self.peer);
        }
    }
}
