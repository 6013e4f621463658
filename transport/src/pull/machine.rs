//! What decides about pulls: which are admitted, and which chunks are asked for next, from whom.
//!
//! It has no thread, clock or socket: events and the time come in, and it returns what is to be done.

use super::budget::{Budget, Class};
use super::handle::{Pull, Shared};
use super::{Ask, ObjectKey, Source};
use crate::error::TransportError;
use crate::face::{PeerId, Read};
use crate::limits::Limits;
use crate::region::{CHUNK_BYTES, Extent, Span, chunk_count};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// What happens to a puller.
pub enum Event {
    /// Somebody wants an object; the handle is given back through `reply`.
    Ask { ask: Ask, reply: Sender<Result<Pull, TransportError>> },
    /// A read has ended.
    Done { pull: u64, peer: PeerId, bytes: u64, result: Result<(), TransportError> },
    /// The last interest in a pull is gone.
    Cancel { pull: u64 },
    /// The puller ends.
    Stop,
}

/// A read to start.
pub struct Start {
    pub pull: u64,
    pub peer: PeerId,
    pub read: Read,
}

/// All pulls of a node.
pub struct Machine {
    limits: Limits,
    events: Sender<Event>,
    budget: Budget,
    admitted_bytes: u64,
    next: u64,
    /// In the order in which they are served. Invariant PULL-1: one for an object, and each of `ids` and `objects` is here.
    pulls: BTreeMap<(Class, u64), OnePull>,
    ids: HashMap<u64, Class>,
    objects: HashMap<ObjectKey, u64>,
}

struct OnePull {
    object: ObjectKey,
    len: u64,
    sources: Vec<Supplier>,
    shared: Arc<Shared>,
    stage: Stage,
    last: Option<TransportError>,
}

/// ```text
///  Queued --admitted--> Running --all chunks there--> ended
///     +--cancelled, no landing place--> ended <--no source, cancelled--+ (from Running)
/// ```
enum Stage {
    /// Waits for room.
    Queued(Box<dyn FnOnce() -> Result<Extent, TransportError> + Send>),
    /// Its chunks come.
    Running { extent: Arc<Extent>, in_flight: usize },
    /// Between two stages, within one event.
    Ended,
}

struct Supplier {
    source: Source,
    failures: u32,
    paused_until: Option<Instant>,
}

impl Machine {
    pub fn new(limits: Limits, events: Sender<Event>) -> Self {
        Self {
            limits,
            events,
            budget: Budget::default(),
            admitted_bytes: 0,
            next: 0,
            pulls: BTreeMap::new(),
            ids: HashMap::new(),
            objects: HashMap::new(),
        }
    }

    /// Takes an event.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            // Whoever asked waits for the reply; one that went away has dropped its interest with it.
            Event::Ask { ask, reply } => drop(reply.send(self.ask(ask))),
            Event::Done { pull, peer, bytes, result } => self.done(now, pull, peer, bytes, result),
            Event::Cancel { pull } => self.cancel(pull),
            Event::Stop => self.stop(),
        }
    }

    /// The next read to start, if there is one.
    pub fn poll_start(&mut self, now: Instant) -> Option<Start> {
        let mut after = Bound::Unbounded;
        while let Some(key) = self.pulls.range((after, Bound::Unbounded)).next().map(|(key, _)| *key) {
            after = Bound::Excluded(key);
            if !self.admit(key) {
                // Later ones wait too: small pulls shall not keep a large one out for ever.
                return None;
            }
            match self.start(now, key) {
                Ok(Some(start)) => return Some(start),
                Ok(None) => {}
                Err(error) => self.end(key, Err(error)),
            }
        }
        None
    }

    /// When a source's pause is over, the first of them.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let suppliers = self.pulls.values().flat_map(|pull| &pull.sources);
        // One that is over but not noticed waits for something else, whose event will come.
        suppliers.filter_map(|supplier| supplier.paused_until.filter(|until| *until > now)).min()
    }

    fn ask(&mut self, ask: Ask) -> Result<Pull, TransportError> {
        if let Some(pull) = self.objects.get(&ask.object).copied()
            && let Some(handle) = self.join(pull, &ask)
        {
            return Ok(handle);
        }
        let limit = self.limits.pulls_max;
        if self.pulls.len() >= limit {
            let peer = ask.sources.first().map_or(PeerId(0), |source| source.peer);
            return Err(TransportError::Full { peer, what: "pulls", limit });
        }
        self.next += 1;
        let id = self.next;
        let shared = Arc::new(Shared::new(id, ask.len, self.events.clone()));
        let handle = shared.interest().expect("it has just begun");
        let sources = ask.sources.into_iter().map(Supplier::new).collect();
        let stage = Stage::Queued(ask.land);
        let pull = OnePull { object: ask.object, len: ask.len, sources, shared, stage, last: None };
        self.objects.insert(ask.object, id);
        self.ids.insert(id, ask.class);
        self.pulls.insert((ask.class, id), pull);
        Ok(handle)
    }

    /// Adds to a pull that is under way what the new ask brings.
    fn join(&mut self, id: u64, ask: &Ask) -> Option<Pull> {
        let class = self.ids.get_mut(&id)?;
        let mut pull = self.pulls.remove(&(*class, id))?;
        *class = ask.class.min(*class);
        for source in &ask.sources {
            if pull.sources.iter().all(|known| known.source.peer != source.peer) {
                pull.sources.push(Supplier::new(*source));
            }
        }
        let handle = pull.shared.interest();
        self.pulls.insert((*class, id), pull);
        handle
    }

    /// Lets a pull run if there is room; false where there isn't.
    fn admit(&mut self, key: (Class, u64)) -> bool {
        let pull = self.pulls.get_mut(&key).expect("PULL-1");
        let fits = self.admitted_bytes.saturating_add(pull.len) <= self.limits.admitted_bytes_max;
        if matches!(pull.stage, Stage::Queued(_)) && self.admitted_bytes > 0 && !fits {
            return false;
        }
        match std::mem::replace(&mut pull.stage, Stage::Ended) {
            Stage::Queued(land) => match land() {
                Ok(extent) => {
                    self.admitted_bytes += pull.len;
                    pull.stage = Stage::Running { extent: Arc::new(extent), in_flight: 0 };
                }
                Err(error) => self.end(key, Err(error)),
            },
            stage => pull.stage = stage,
        }
        true
    }

    /// A read of this pull, where a source and the budgets have room; an error where it can't go on.
    fn start(&mut self, now: Instant, key: (Class, u64)) -> Result<Option<Start>, TransportError> {
        let Self { limits, budget, pulls, .. } = self;
        let Some(pull) = pulls.get_mut(&key) else { return Ok(None) };
        let Stage::Running { extent, in_flight } = &mut pull.stage else { return Ok(None) };
        // The last read has let go of its claim by then, so that the place may be used again as soon as this is told.
        if *in_flight == 0 && extent.is_complete() {
            let extent = extent.clone();
            self.end(key, Ok(extent));
            return Ok(None);
        }
        pull.sources.iter_mut().for_each(|supplier| supplier.wake(now));
        if pull.sources.is_empty() {
            return Err(TransportError::NoSource { last: pull.last.clone().map(Arc::new) });
        }
        let room = limits.chunks_in_flight_max.saturating_sub(*in_flight).min(limits.chunks_per_read_max);
        let span: &Arc<Span> = extent.span();
        let Some(chunks) = (room > 0).then(|| span.chunks().next_absent(0, room)).flatten() else { return Ok(None) };
        let bytes = span.bytes_of(&chunks);
        let bytes = bytes.end - bytes.start;
        let awake = pull.sources.iter().filter(|supplier| supplier.paused_until.is_none());
        let rank = awake.clone().map(|supplier| supplier.source.rank).min();
        let usable = awake.filter(|supplier| Some(supplier.source.rank) == rank);
        let least = usable.min_by_key(|supplier| budget.used(supplier.source.peer));
        let Some(Supplier { source, .. }) = least else { return Ok(None) };
        if !budget.has_room(source.peer, bytes, limits) {
            return Ok(None);
        }
        let count = chunks.len();
        let read = Read::into_span(source.span, span, chunks)?;
        *in_flight += count;
        budget.take(source.peer, bytes);
        Ok(Some(Start { pull: key.1, peer: source.peer, read }))
    }

    fn done(&mut self, now: Instant, id: u64, peer: PeerId, bytes: u64, result: Result<(), TransportError>) {
        self.budget.give_back(peer, bytes);
        let Some(class) = self.ids.get(&id) else { return };
        let pull = self.pulls.get_mut(&(*class, id)).expect("PULL-1");
        let Stage::Running { extent, in_flight } = &mut pull.stage else { return };
        *in_flight -= chunk_count(bytes);
        let missing = extent.span().chunks().missing() as u64;
        pull.shared.advance(pull.len.saturating_sub(missing * CHUNK_BYTES));
        match result {
            Ok(()) => pull.sources.iter_mut().filter(|known| known.source.peer == peer).for_each(|s| s.failures = 0),
            Err(error) => {
                pull.sources.retain_mut(|known| known.source.peer != peer || known.fail(now, &error, &self.limits));
                pull.last = Some(error);
            }
        }
    }

    fn cancel(&mut self, id: u64) {
        let Some(class) = self.ids.get(&id).copied() else { return };
        // Somebody may have joined after the last interest was gone.
        if !self.pulls[&(class, id)].shared.is_wanted() {
            self.end((class, id), Err(TransportError::Cancelled));
        }
    }

    fn stop(&mut self) {
        let keys: Vec<(Class, u64)> = self.pulls.keys().copied().collect();
        keys.into_iter().for_each(|key| self.end(key, Err(TransportError::Cancelled)));
    }

    fn end(&mut self, key: (Class, u64), outcome: Result<Arc<Extent>, TransportError>) {
        let pull = self.pulls.remove(&key).expect("PULL-1");
        self.ids.remove(&key.1);
        self.objects.remove(&pull.object);
        if let Stage::Running { .. } = pull.stage {
            self.admitted_bytes -= pull.len;
        }
        let OnePull { len, shared, stage, .. } = pull;
        // Before anybody hears of it: the place is then held by those alone who hold the outcome.
        drop(stage);
        if outcome.is_ok() {
            shared.advance(len);
        }
        shared.finish(outcome);
    }
}

impl Supplier {
    fn new(source: Source) -> Self {
        Self { source, failures: 0, paused_until: None }
    }

    fn wake(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
    }

    /// Pauses it, longer each time; false where it is of no more use. Reads that were in flight together and fail
    /// together count once.
    fn fail(&mut self, now: Instant, error: &TransportError, limits: &Limits) -> bool {
        if matches!(error, TransportError::NotYet { .. } | TransportError::Full { .. }) {
            self.paused_until = Some(now + Duration::from_millis(2));
            return true;
        }
        let is_over = matches!(
            error,
            TransportError::Revoked { .. }
                | TransportError::OutOfBounds { .. }
                | TransportError::Refused { .. }
                | TransportError::PeerUnknown { .. }
        );
        if self.paused_until.is_none_or(|until| until <= now) {
            self.failures += 1;
            self.paused_until = Some(now + limits.source_pause * (1 << self.failures.min(10)) / 2);
        }
        !is_over && self.failures < limits.source_failures_max
    }
}
