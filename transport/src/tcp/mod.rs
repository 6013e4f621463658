//! Peers over TCP: one control connection a peer, lanes for object bytes, and streams for protocols of others.
//!
//! One thread (`rayline-tcp`) runs tokio: it accepts, shakes hands, and carries control frames. A lane has a thread of its
//! own at either end, which blocks in the kernel's copy between socket and region.

mod accept;
mod cards;
mod control;
mod handshake;
mod header;
mod lane;
mod message_stream;
mod peers;
mod serve;
mod stream;

use self::peers::Peers;
use crate::error::TransportError;
use crate::face::{Completion, Event, PeerId, Read, Transport};
use crate::limits::Limits;
use crate::region::Regions;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::{mpsc, watch};

pub(crate) use self::cards::Control;
pub use self::handshake::WIRE_VERSION;
pub use self::message_stream::Stream;

/// Names a cluster; peers of another one are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterId(pub u128);

/// What all peers of a cluster know, and nobody else. It is never sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

/// Who an endpoint is, where it listens, and what it may.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Our name; not 0.
    pub peer: PeerId,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its secret.
    pub secret: Secret,
    /// All bounds.
    pub limits: Limits,
    /// Listens elsewhere than on loopback although nothing is encrypted: for a network that is trusted as a whole.
    pub allows_plain_text: bool,
    /// What each lane that we serve may send, in bytes a second; 0 for no bound.
    pub lane_bytes_per_s: u32,
}

/// An endpoint: it listens, dials, and is closed when dropped.
pub struct Tcp {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Who we are, in the handshake.
#[derive(Clone, Debug)]
struct Identity {
    peer: PeerId,
    cluster: ClusterId,
    secret: Secret,
    incarnation: u64,
}

/// What the threads of an endpoint share.
struct Shared {
    me: Identity,
    limits: Limits,
    lane_bytes_per_s: u32,
    regions: Arc<Regions>,
    runtime: runtime::Handle,
    events: mpsc::Sender<Event>,
    peers: Mutex<Peers>,
    served: serve::Served,
    cards: cards::Cards,
}

impl Options {
    /// On a free port of the loopback device, with the default limits.
    pub fn loopback(peer: PeerId, cluster: ClusterId, secret: Secret) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            address,
            peer,
            cluster,
            secret,
            limits: Limits::default(),
            allows_plain_text: false,
            lane_bytes_per_s: 0,
        }
    }
}

impl Tcp {
    /// Listens, and starts the endpoint's thread. Events come out of the receiver, which must be read: where it is full
    /// (`events_queued_max`), frames aren't taken from the peers.
    ///
    /// # Errors
    /// `Insecure` for an address that others can reach, `Local` where the system refuses the socket or the thread.
    ///
    /// # Panics
    /// Where the peer's id is 0, which stands for nobody, or without a source of randomness.
    pub fn bind(options: Options, regions: Arc<Regions>) -> Result<(Self, mpsc::Receiver<Event>), TransportError> {
        assert!(options.peer.0 != 0, "peer 0 stands for nobody");
        if !options.address.ip().is_loopback() && !options.allows_plain_text {
            return Err(TransportError::Insecure { address: options.address });
        }
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| TransportError::local("start tokio", error))?;
        let listener = runtime
            .block_on(TcpListener::bind(options.address))
            .map_err(|error| TransportError::local("listen", error))?;
        let address = listener.local_addr().map_err(|error| TransportError::local("listen", error))?;
        let (events, receiver) = mpsc::channel(options.limits.events_queued_max);
        let shared = Arc::new(Shared::new(options, regions, runtime.handle().clone(), events));
        let (stop, mut stopped) = watch::channel(false);
        let run = {
            let shared = shared.clone();
            move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept::run(shared, listener) => {}
                        // An error means that the endpoint is gone, which is what is waited for.
                        _ = stopped.changed() => {}
                    }
                });
            }
        };
        let thread = std::thread::Builder::new()
            .name("rayline-tcp".into())
            .spawn(run)
            .map_err(|error| TransportError::local("start a thread", error))?;
        Ok((Self { shared, address, stop, thread: Some(thread) }, receiver))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a peer listens. Connections are made when they are needed.
    pub fn introduce(&self, peer: PeerId, address: SocketAddr) {
        self.shared.peers().introduce(peer, address);
    }

    /// What a transport by cards needs of this one.
    pub(crate) fn control(&self) -> Control {
        Control::new(self.shared.clone())
    }

    /// Dials a peer for a stream of our own, which it receives as [`Event::Stream`]. Blocks until it is there, for at most
    /// `connect_timeout`. A stream outlives its endpoint.
    ///
    /// # Errors
    /// `PeerUnknown`, `PeerGone`, `TimedOut`, `Refused` (`Busy` where its events aren't read), `Protocol`, `Local`.
    pub fn open_stream(&self, peer: PeerId) -> Result<Stream, TransportError> {
        message_stream::open(&self.shared, peer)
    }
}

impl Transport for Tcp {
    fn local(&self) -> PeerId {
        self.shared.me.peer
    }

    fn regions(&self) -> &Arc<Regions> {
        &self.shared.regions
    }

    fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), TransportError> {
        control::send(&self.shared, peer, frame)
    }

    fn read(&self, peer: PeerId, read: Read, done: Completion) {
        lane::read(&self.shared, peer, read, done);
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.shared.peers().end();
        self.shared.served.end();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a TCP endpoint panicked");
        }
    }
}

impl Shared {
    fn new(options: Options, regions: Arc<Regions>, runtime: runtime::Handle, events: mpsc::Sender<Event>) -> Self {
        let Options { peer, cluster, secret, limits, lane_bytes_per_s, .. } = options;
        let incarnation = getrandom::u64().expect("the system has randomness");
        let me = Identity { peer, cluster, secret, incarnation };
        let served = serve::Served::new(limits.lanes_served_max);
        let cards = cards::Cards::default();
        Self { me, limits, lane_bytes_per_s, regions, runtime, events, peers: Mutex::default(), served, cards }
    }

    fn peers(&self) -> std::sync::MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
