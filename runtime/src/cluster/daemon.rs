//! The daemon's loop: letters and timers in, letters out. One thread runs all machines of the process.

use super::control::{Question, Surface, SurfaceError, SurfaceSetup};
use super::desk::{Desk, Timer};
use super::head::Head;
use super::home::{Home, HomeError};
use super::ledger::{LedgerFile, LedgerFileError, Record};
use super::letter::{Address, Envelope, Letter, Place};
use super::post::{HEAD, Post, fresh_peer};
use super::seat::Seat;
use super::secret::Keys;
use super::workers::{Fate, Workers};
use crate::config::Config;
use rayline_core::Limits;
use rayline_core::ids::NodeId;
use rayline_core::members::JoinRefusal;
use rayline_transport::tcp::{Options, Tcp};
use rayline_transport::{Event, PeerId, Regions, TransportError};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

/// How long a node that leaves waits for the head to say so.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a daemon is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its folder.
    pub home: Home,
    /// The cluster.
    pub keys: Keys,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the head is; `None` makes this daemon the head.
    pub head: Option<SocketAddr>,
    /// Where a head's control surface listens; port 0 takes a free one.
    pub control: SocketAddr,
    /// Whether the control surface is encrypted on loopback too.
    pub encrypts: bool,
    /// What the node offers.
    pub config: Config,
    /// Whether it may listen where others can reach it, though nothing is encrypted.
    pub trusts_network: bool,
    /// How long it tries to join at first.
    pub join_within: Duration,
}

/// The control plane of one node, with the head in one of them.
pub struct Daemon {
    desk: Desk,
    events: Receiver<Event>,
    head: Option<Head>,
    surface: Option<Surface>,
    seat: Seat,
    /// What becomes of workers.
    fates: Receiver<Fate>,
    link: Link,
    join_within: Duration,
    runtime: Option<Runtime>,
}

/// What a daemon tells of itself: that it has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// Its name.
    pub node: NodeId,
    /// Where the head listens.
    pub head: SocketAddr,
}

/// Why a daemon ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// It was asked to, and has left the cluster.
    #[error("it was asked to stop")]
    Asked,
    /// What it offers makes no sense.
    #[error(transparent)]
    Config(crate::Error),
    /// Its folder can't be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// It can't listen.
    #[error("can't listen at {address}: choose another with --listen, or end what uses it")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the transport said.
        #[source]
        source: TransportError,
    },
    /// What the head must not forget can't be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerFileError),
    /// The head has no control surface.
    #[error(transparent)]
    Surface(#[from] SurfaceError),
    /// The head refuses it.
    #[error("the head at {head} refuses this node")]
    Refused {
        /// Where the head is.
        head: SocketAddr,
        /// Why.
        #[source]
        source: TransportError,
    },
    /// The head doesn't want another node.
    #[error("the head refuses this node: {0}")]
    NoSeat(JoinRefusal),
    /// It has not joined in time.
    #[error("no head has answered at {head} for {waited_ms} ms: check the address, and that the head runs")]
    Unanswered {
        /// Where the head should be.
        head: SocketAddr,
        /// For how long it was tried, in milliseconds.
        waited_ms: u128,
        /// What was tried last.
        #[source]
        source: Option<TransportError>,
    },
    /// The system refuses something.
    #[error("can't {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// How things stand with the head.
///
/// ```text
///   Joining --welcome--> Joined <--a letter of the head-- Lost
///                          '-------- its connection ends ---^
/// ```
#[derive(Debug)]
enum Link {
    Joining { until: Instant, last: Option<TransportError> },
    Joined,
    Lost,
}

impl Daemon {
    /// Listens, and prepares the first life of the node. For who has the folder's lock.
    ///
    /// # Errors
    /// `Config`, `Home`, `Listen`, `Ledger`, `Surface`, `System`.
    pub fn new(setup: Setup) -> Result<Daemon, Ended> {
        let Setup { ref home, ref keys, listen, head, ref config, trusts_network, join_within, .. } = setup;
        let capacity = config.capacity().map_err(Ended::Config)?;
        let me = match head {
            None => HEAD,
            Some(_) => fresh_peer().map_err(|source| Ended::System { what: "find randomness", source })?,
        };
        let loopback = Options::loopback(me, keys.cluster, keys.secret.clone());
        let options = Options { address: listen, allows_plain_text: trusts_network, ..loopback };
        let (tcp, events) =
            Tcp::bind(options, Regions::new()).map_err(|source| Ended::Listen { address: listen, source })?;
        if let Some(address) = head {
            tcp.introduce(HEAD, address);
        }
        let limits = Limits::default();
        let place = Place::here(me, tcp.address());
        let (surface, head) = if head.is_none() { reign(&setup, tcp.address(), &limits)? } else { (None, None) };
        let peer = home.next_life()?;
        let tcp = Arc::new(tcp);
        let offer = (config.cpu_count(), trusts_network);
        let (workers, fates) = Workers::new(tcp.clone(), keys.clone(), offer, home.path().to_owned());
        let mut post = Post::new(tcp);
        post.note(Address::Head, HEAD);
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Daemon {
            desk: Desk::new(post),
            events,
            head,
            surface,
            seat: Seat::new((home.clone(), workers), peer, capacity, place, limits),
            fates,
            link: Link::Joining { until: Instant::now() + join_within, last: None },
            join_within,
            runtime: Some(runtime.map_err(|source| Ended::System { what: "start tokio", source })?),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.desk.post.tcp().address()
    }

    /// Runs until it is asked to stop by `SIGTERM` or `SIGINT`, or can't join. `tell` hears when it has joined at first.
    pub fn run(mut self, head: SocketAddr, tell: impl FnOnce(News)) -> Ended {
        let runtime = self.runtime.take().expect("it is taken here only, and this takes the daemon");
        runtime.block_on(self.turn(head, tell))
    }

    async fn turn(&mut self, head: SocketAddr, tell: impl FnOnce(News)) -> Ended {
        let system = |source| Ended::System { what: "listen to signals", source };
        let (mut term, mut int) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(term), Ok(int)) => (term, int),
            (Err(error), _) | (_, Err(error)) => return system(error),
        };
        let mut tell = Some(tell);
        self.seat.start(&mut self.desk);
        loop {
            self.settle();
            if let Some(node) = self.joined()
                && let Some(tell) = tell.take()
            {
                tell(News { node, head });
            }
            if let Some(ended) = self.failed(head) {
                return ended;
            }
            tokio::select! {
                () = sleep_until(self.next_due()) => {}
                event = self.events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => return Ended::System { what: "use the network", source: io::ErrorKind::BrokenPipe.into() },
                },
                Some(fate) = self.fates.recv() => self.seat.hear(&mut self.desk, fate),
                Some(question) = question(&mut self.surface) => if let Some(head) = &mut self.head {
                    question(head, &mut self.desk);
                },
                () = asked(&mut term, &mut int) => return self.leave().await,
            }
        }
    }

    /// Timers that are due, and letters to itself, until there are none.
    fn settle(&mut self) {
        let me = self.desk.me();
        loop {
            if let Some(envelope) = self.desk.post.take_own() {
                self.deliver(me, envelope);
            } else if let Some(timer) = self.desk.take_due() {
                self.ring(timer);
            } else {
                return;
            }
        }
    }

    fn ring(&mut self, timer: Timer) {
        match (timer, &mut self.head) {
            (Timer::Members(token), Some(head)) => head.members_timer(&mut self.desk, token),
            (Timer::Controller(token), Some(head)) => head.controller_timer(&mut self.desk, token),
            (Timer::Call(peer), _) => self.desk.post.call(peer),
            (Timer::Driver(owner), Some(head)) => head.driver_timer(&mut self.desk, owner),
            (Timer::Members(_) | Timer::Controller(_) | Timer::Driver(_), None) => {}
            (Timer::Member(boot, token), _) => self.seat.timer(&mut self.desk, boot, token),
            (Timer::NextLife, _) => self.seat.next_life(&mut self.desk),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Up { peer, incarnation } => {
                self.desk.post.connected(peer, incarnation);
                if let Some(head) = &mut self.head {
                    head.connected(peer);
                }
            }
            Event::Frame { peer, bytes } => match self.desk.post.receive(peer, &bytes) {
                Ok(Some(envelope)) => self.deliver(peer, envelope),
                Ok(None) => {}
                Err(error) => warn!(%peer, %error, "a frame that is no letter"),
            },
            Event::Down { peer, error } => {
                if let Some(wait) = self.desk.post.disconnected(peer) {
                    self.desk.set_timer(self.desk.now() + wait, Timer::Call(peer));
                }
                self.down(peer, error);
            }
            other => debug!(?other, "an event of no concern"),
        }
    }

    fn deliver(&mut self, from: PeerId, Envelope { to, letter }: Envelope) {
        if from == HEAD && matches!(self.link, Link::Lost) {
            info!("the head is back");
            self.link = Link::Joined;
        }
        match (to, &mut self.head) {
            (Address::Head, Some(head)) => head.handle(&mut self.desk, from, letter),
            (to, _) if self.seat.is_at(to) => self.seat.handle(&mut self.desk, from, letter),
            (to, _) => debug!(%from, ?to, "a letter for a life that is not here"),
        }
    }

    fn down(&mut self, peer: PeerId, error: TransportError) {
        if let Some(head) = &mut self.head {
            // What the system says of the other side's end; silence and our own doings say nothing of it.
            if matches!(error, TransportError::PeerGone { source: Some(_), .. }) {
                head.closed(&mut self.desk, peer);
            }
            return;
        }
        if peer != HEAD {
            return;
        }
        match &mut self.link {
            Link::Joining { last, .. } => *last = Some(error),
            Link::Joined => {
                warn!(error = &error as &dyn std::error::Error, "the head is gone; trying again until it is back");
                self.link = Link::Lost;
                self.seat.disconnected(&mut self.desk);
            }
            // Nothing was acknowledged since, so that the node's time is running already.
            Link::Lost => debug!(%error, "the head is still gone"),
        }
    }

    /// Its name, once it has joined for the first time.
    fn joined(&mut self) -> Option<NodeId> {
        let node = self.seat.node()?;
        if let Link::Joining { .. } = self.link {
            self.link = Link::Joined;
            return Some(node);
        }
        None
    }

    /// Why it can't join, while it has not.
    fn failed(&mut self, head: SocketAddr) -> Option<Ended> {
        let Link::Joining { until, last } = &mut self.link else { return None };
        if let Some(why) = self.seat.refused() {
            return Some(Ended::NoSeat(why));
        }
        match last.take() {
            Some(source @ TransportError::Refused { .. }) => Some(Ended::Refused { head, source }),
            source if *until <= Instant::now() => {
                Some(Ended::Unanswered { head, waited_ms: self.join_within.as_millis(), source })
            }
            other => {
                *last = other;
                None
            }
        }
    }

    fn next_due(&self) -> Instant {
        let timer = Instant::from_std(self.desk.next_due());
        match &self.link {
            Link::Joining { until, .. } => timer.min(*until),
            Link::Joined | Link::Lost => timer,
        }
    }

    /// Leaves the cluster, so that the node is gone and not dead.
    async fn leave(&mut self) -> Ended {
        info!("leaving the cluster");
        if self.seat.leave(&mut self.desk) {
            let said = timeout(FAREWELL, self.farewell()).await;
            if said.is_err() {
                warn!("the head has not said that this node has left");
            }
        }
        Ended::Asked
    }

    async fn farewell(&mut self) {
        loop {
            while let Some(envelope) = self.desk.post.take_own() {
                if envelope.letter == Letter::Farewell {
                    return;
                }
                self.deliver(HEAD, envelope);
            }
            match self.events.recv().await {
                Some(Event::Frame { peer: HEAD, bytes }) => {
                    let said = self.desk.post.receive(HEAD, &bytes);
                    if matches!(said, Ok(Some(Envelope { letter: Letter::Farewell, .. }))) {
                        return;
                    }
                }
                Some(Event::Down { peer: HEAD, .. }) | None => return,
                Some(_) => {}
            }
        }
    }
}

/// The head, as its ledger has it, and its control surface.
fn reign(setup: &Setup, head: SocketAddr, limits: &Limits) -> Result<(Option<Surface>, Option<Head>), Ended> {
    let Setup { home, keys, control: listen, encrypts, .. } = setup;
    let ledger = Arc::new(LedgerFile::open(&home.ledger_file(), keys.cluster)?);
    let (record, lives) = Record::open(ledger.clone()).map_err(LedgerFileError::from)?;
    let (listen, encrypts, term) = (*listen, *encrypts, record.term());
    let surface = Surface::start(SurfaceSetup { home, keys, head, listen, encrypts, ledger, term })?;
    let head = Head::new(limits, record, lives, surface.control());
    Ok((Some(surface), Some(head)))
}

/// What the control surface wants of the head; never anything where there is none.
async fn question(surface: &mut Option<Surface>) -> Option<Question> {
    match surface {
        Some(surface) => surface.question().await,
        None => std::future::pending().await,
    }
}

/// Somebody wants the daemon to stop.
async fn asked(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
