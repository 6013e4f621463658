//! The endpoint.

use super::card::{CardError, Completions, RECEIVES_PER_REQUEST, Rail, Wanted};
use super::driver::{Command, Driver, Job, Moved, Waker};
use super::hold;
use super::machine::{Machine, Settings};
use super::memory::Cards;
use super::shared::{Parts, Shared};
use super::verbs::Verbs;
use super::{Mode, Options, Route};
use crate::error::{Refusal, TransportError};
use crate::face::{Completion, Event, PeerId, Read, Transport};
use crate::region::{CHUNK_BYTES, Extent, Regions, RemoteSpan};
use crate::tcp::{Stream, Tcp};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{TrySendError, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::mpsc;
use tracing::{debug, info};

/// Commands that wait for the driver; beyond it `read` answers `Full`, and peers aren't listened to.
const COMMANDS_MAX: usize = 16_384;

/// An endpoint that reads by the cards where it can. It is closed when dropped.
pub struct Rdma {
    // Before the TCP endpoint, by which it lives.
    cards: Option<Endpoint>,
    tcp: Tcp,
    // After the TCP endpoint, whose tasks register memory.
    _registrations: Option<Registrations>,
    mode: Mode,
}

/// What the regions keep for an endpoint; its end deregisters it.
struct Registrations {
    regions: Arc<Regions>,
    number: u64,
}

/// The part that has cards.
struct Endpoint {
    shared: Arc<Shared>,
    driver: Option<JoinHandle<()>>,
}

impl Rdma {
    /// Listens, opens the cards, and starts the endpoint's threads. Without cards it is one of TCP alone, if the mode
    /// allows that. Events come out of the receiver, as for [`Tcp::bind`].
    ///
    /// # Errors
    /// As for [`Tcp::bind`], and `Local` with [`Mode::Rdma`] where no card can be used.
    ///
    /// # Panics
    /// As [`Tcp::bind`] does, and for extents that are shorter than a chunk.
    pub fn bind(options: Options, regions: Arc<Regions>) -> Result<(Self, mpsc::Receiver<Event>), TransportError> {
        Self::bind_with(options, regions, || Verbs::load().copied().map_err(String::from))
    }

    /// The same by given functions.
    pub(super) fn bind_with(
        options: Options,
        regions: Arc<Regions>,
        load: impl FnOnce() -> Result<Verbs, String>,
    ) -> Result<(Self, mpsc::Receiver<Event>), TransportError> {
        assert!(options.extent_bytes >= CHUNK_BYTES, "an extent is at least a chunk");
        let mode = options.mode;
        let rails = match mode {
            Mode::Tcp => Err(String::from("RDMA is switched off")),
            Mode::Auto | Mode::Rdma => load().and_then(|verbs| open(verbs, &options)),
        };
        let (tcp, events) = Tcp::bind(options.tcp.clone(), regions)?;
        let cards = match rails {
            Ok(rails) => Some(Endpoint::start(&tcp, rails, &options)?),
            Err(why) if mode == Mode::Rdma => {
                return Err(TransportError::local("use RDMA, as is asked for", io::Error::other(why)));
            }
            Err(why) => {
                debug!(why, "no RDMA");
                None
            }
        };
        let registrations = cards
            .as_ref()
            .map(|cards| Registrations { regions: tcp.regions().clone(), number: cards.shared.cards.number });
        Ok((Self { cards, tcp, _registrations: registrations, mode }, events))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.tcp.address()
    }

    /// Where a peer listens. Connections are made when they are needed.
    pub fn introduce(&self, peer: PeerId, address: SocketAddr) {
        self.tcp.introduce(peer, address);
    }

    /// As [`Tcp::open_stream`].
    ///
    /// # Errors
    /// As there.
    pub fn open_stream(&self, peer: PeerId) -> Result<Stream, TransportError> {
        self.tcp.open_stream(peer)
    }

    /// What was asked for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How bytes come from a peer now.
    pub fn route(&self, peer: PeerId) -> Route {
        self.cards.as_ref().map_or(Route::Tcp { error: None }, |cards| cards.shared.route(peer))
    }

    /// Names of the cards in use, in the order of the rails.
    pub fn rails(&self) -> Vec<String> {
        let rails = self.cards.iter().flat_map(|cards| cards.shared.cards.rails.iter());
        rails.map(|rail| format!("{} port {}, {}", rail.name(), rail.port(), rail.gid())).collect()
    }

    /// Writes a whole object into a landing place of a peer, which has told us its span: for weights that many receive.
    /// The peer's extent is complete when it ends well. It ends exactly once, as a read does; `Refused` with `NoCards`
    /// where the cards of both don't reach each other: then the peer should read.
    pub fn push(&self, peer: PeerId, source: &Extent, target: RemoteSpan, done: Completion) {
        let span = source.remote();
        let error = |why| TransportError::Region { key: span.key, offset: span.offset, len: span.len, why };
        if !source.is_complete() {
            return done.complete(Err(error("it isn't there as a whole, so that it can't be pushed")));
        }
        if span.len != target.len || span.len == 0 {
            return done.complete(Err(error("what is pushed has the length of its landing place, and is not empty")));
        }
        let Some(cards) = &self.cards else {
            return done.complete(Err(TransportError::Refused { peer, refusal: Refusal::NoCards }));
        };
        cards.begin(peer, Moved::There { source: source.span().clone(), target, done });
    }
}

impl Transport for Rdma {
    fn local(&self) -> PeerId {
        self.tcp.local()
    }

    fn regions(&self) -> &Arc<Regions> {
        self.tcp.regions()
    }

    fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), TransportError> {
        self.tcp.send(peer, frame)
    }

    fn read(&self, peer: PeerId, read: Read, done: Completion) {
        match &self.cards {
            Some(cards) => cards.begin(peer, Moved::Here { read, done }),
            None => self.tcp.read(peer, read, done),
        }
    }
}

impl Endpoint {
    fn start(tcp: &Tcp, rails: Vec<Rail>, options: &Options) -> Result<Self, TransportError> {
        let rails: Arc<[Arc<Rail>]> = rails.into_iter().map(Arc::new).collect();
        let pairs = options.queue_pairs_max + options.queue_pairs_served_max;
        // A queue that can't overflow: every request and receive of every queue pair at once.
        let of_each = options.requests_in_flight_max * (1 + RECEIVES_PER_REQUEST);
        let entries = u32::try_from(pairs).unwrap_or(u32::MAX).saturating_mul(of_each);
        let room = rails.iter().map(|rail| rail.entries_max()).fold(entries, u32::min);
        // Where a card's queues are shorter, there are as many queue pairs less.
        let fitting = usize::try_from(room / of_each).expect("32 bits").max(2);
        let of_ours = (options.queue_pairs_max * fitting / pairs).clamp(1, options.queue_pairs_max.max(1));
        let completions =
            rails.iter().map(|rail| Completions::new(rail, room).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let waker = Waker::new().map_err(|error| TransportError::local("make a waker", error))?;
        let (commands, inbox) = sync_channel(COMMANDS_MAX);
        let control = tcp.control();
        let cards = Cards { rails, number: control.regions().fresh(), extent_bytes: options.extent_bytes };
        let parts = Parts {
            control: control.clone(),
            mode: options.mode,
            cards,
            completions,
            work_per_lane_max: options.requests_in_flight_max,
            served_max: fitting.saturating_sub(of_ours).max(1),
        };
        let shared = Arc::new(Shared::new(parts, commands, waker));
        let machine = Machine::new(settings(options, of_ours));
        let driver = Driver::new(shared.clone(), machine, inbox, options.transfers_max);
        let thread = std::thread::Builder::new().name("rayline-cards".into());
        let driver = thread.spawn(|| driver.run()).map_err(|error| TransportError::local("start a thread", error))?;
        let dialled = control.accept_cards(control.limits().handshakes_max);
        control.runtime().spawn(hold::accept_all(shared.clone(), dialled));
        Ok(Self { shared, driver: Some(driver) })
    }

    /// Registers our memory where it isn't, and hands the driver what is to be moved.
    fn begin(&self, peer: PeerId, moved: Moved) {
        let (span, range) = moved.place();
        let Some(memory) = self.shared.cards.memory(&span) else { return moved.go_elsewhere(peer, &self.shared) };
        if memory.is_registered(&range) {
            return submit(&self.shared, Job::new(peer, moved, memory));
        }
        let shared = self.shared.clone();
        self.shared.control.runtime().spawn_blocking(move || match memory.register(&range) {
            Ok(()) => submit(&shared, Job::new(peer, moved, memory)),
            Err(error) => {
                info!(%error, "memory can't be registered: its bytes don't go by the cards");
                drop(memory);
                moved.go_elsewhere(peer, &shared);
            }
        });
    }
}

fn submit(shared: &Arc<Shared>, job: Job) {
    let peer = job.peer();
    match shared.try_tell(Command::Start(Box::new(job))) {
        Ok(()) => {}
        Err(TrySendError::Full(Command::Start(job))) => {
            job.refuse(TransportError::Full { peer, what: "reads", limit: COMMANDS_MAX });
        }
        Err(TrySendError::Disconnected(Command::Start(job))) => {
            job.refuse(TransportError::gone(peer, "this endpoint is closed"));
        }
        Err(_) => unreachable!("it was a start"),
    }
}

fn open(verbs: Verbs, options: &Options) -> Result<Vec<Rail>, String> {
    let wanted = Wanted { cards: options.cards.clone(), gid_index: options.gid_index };
    let rails = Rail::open_all(verbs, &wanted).map_err(|error: CardError| format!("{error}: {}", error.source))?;
    if rails.is_empty() {
        return Err("no card has a port that is up and has an address: see what `probe` finds".into());
    }
    rails.iter().for_each(|rail| debug!(card = rail.name(), gid = %rail.gid(), "a card is used"));
    Ok(rails)
}

fn settings(options: &Options, lanes_max: usize) -> Settings {
    let limits = &options.tcp.limits;
    Settings {
        lanes_max,
        work_per_lane_max: options.requests_in_flight_max as usize,
        leases_per_peer_max: super::lease::LEASES_MAX / 2,
        lane_quantum: options.quantum,
        lane_idle: limits.lane_idle,
        stall_timeout: limits.stall_timeout,
        lane_timeout: options.queue_pair_timeout,
        is_patient: options.mode == Mode::Rdma,
        // The holder waits so long for what it is itself still receiving.
        answer_timeout: limits.chunk_wait + limits.peer_timeout,
        pause_min: limits.source_pause,
        pause_max: options.pause_max,
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.tell(Command::Stop);
        if let Some(driver) = self.driver.take()
            && driver.join().is_err()
        {
            tracing::error!("the thread of the cards panicked");
        }
    }
}

impl Drop for Registrations {
    fn drop(&mut self) {
        self.regions.detach(self.number);
    }
}
