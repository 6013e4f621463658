//! The workers of this driver on the nodes of its cluster: at most one on each.

use super::Ends;
use crate::actor::{Host, Proxy};
use crate::cluster::{Address, Hire, Letter, Place, Post, Published};
use crate::control::{Leased, Run, tell_ended};
use crate::process::{Answered, Crew, Joined, Lane, run_on};
use rayline_core::controller::ActorEnd;
use rayline_core::ids::{ActorId, Incarnation, LeaseId, NodeId, OwnerId};
use rayline_core::resources::Grant;
use rayline_core::{controller, node};
use rayline_transport::PeerId;
use rayline_transport::tcp::Tcp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// A worker that ended sooner than this after it was hired, as the one before did, is not hired again at once.
const BRIEF: Duration = Duration::from_secs(1);
/// After so many workers in a row that never ran a node is left alone.
const FAILURES_MAX: u32 = 3;

/// What the control thread does for its owner in a cluster.
pub(crate) struct Staff {
    post: Post,
    tcp: Arc<Tcp>,
    owner: OwnerId,
    place: Place,
    program: Published,
    pub(crate) crew: Arc<Crew>,
    ends: Arc<Ends>,
    posts: BTreeMap<NodeId, Position>,
    is_closed: bool,
}

/// What there is of this driver on a node.
struct Position {
    /// The node's daemon.
    peer: PeerId,
    hired_at: Instant,
    worker: Worker,
    /// Leases of threads for plain tasks.
    executors: BTreeSet<LeaseId>,
    /// What waits for the worker.
    queued: Vec<Queued>,
    /// Lives that were begun there.
    actors: BTreeMap<ActorId, (Incarnation, Arc<Proxy>)>,
    /// How often in a row it never ran.
    failures: u32,
    /// Whether the last one ended soon after it was hired.
    was_brief: bool,
}

/// ```text
///  Hired --it calls--> Here --its connection ends--> Gone --hired again--> Hired
///    '--it never ran--> Gone, or Unfit after the third time
/// ```
enum Worker {
    Hired,
    Here(Arc<Lane>, Joined),
    Gone,
    Unfit,
}

/// What waits for a worker.
enum Queued {
    Task(Arc<dyn Leased>, Run),
    Actor(Arc<Proxy>, Incarnation, LeaseId, Grant),
}

/// A node without a worker.
pub(crate) enum Vacancy {
    /// It is to be hired again, after a while.
    Again(Duration),
    /// It can't have one.
    Unfit,
}

impl Staff {
    pub(crate) fn new(
        (tcp, post): (Arc<Tcp>, Post),
        (owner, place): (OwnerId, Place),
        program: Published,
        crew: Arc<Crew>,
        ends: Arc<Ends>,
    ) -> Self {
        Self { post, tcp, owner, place, program, crew, ends, posts: BTreeMap::new(), is_closed: false }
    }

    pub(crate) fn tell_node(&mut self, node: NodeId, event: node::Event) {
        self.send(Address::Node(node), Letter::Node(event));
    }

    pub(crate) fn tell_controller(&mut self, event: controller::Event) {
        self.send(Address::Head, Letter::Controller(event));
    }

    /// Whether it hires nobody any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Hires nobody any more.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Leaves the cluster: its leases, actors and groups there end.
    pub(crate) fn leave(&mut self) {
        let closed = rayline_core::members::Event::OwnerClosed { owner: self.owner };
        self.send(Address::Head, Letter::Members(closed));
    }

    /// Asks the head to take this driver in again, under its name: it is another head.
    pub(crate) fn enlist_again(&mut self) {
        let (place, known, binary) = (self.place.clone(), Some(self.owner), self.program.binary().id);
        self.send(Address::Head, Letter::Enlist { place, known, binary });
    }

    /// What a frame says, if that is new.
    pub(crate) fn open(&mut self, peer: PeerId, frame: &[u8]) -> Option<Letter> {
        let opened = self.post.receive(peer, frame);
        opened
            .inspect_err(|error| warn!(%peer, %error, "a frame that is no letter"))
            .ok()?
            .map(|envelope| envelope.letter)
    }

    /// The letters of this driver.
    pub(crate) fn post(&mut self) -> &mut Post {
        &mut self.post
    }

    fn send(&mut self, to: Address, letter: Letter) {
        if let Err(error) = self.post.send(to, letter) {
            // Whoever is gone is said to be by the head; then what it was asked for is asked of another.
            warn!(?to, %error, "a letter is lost");
        }
    }

    /// A node is up: hires a worker there.
    pub(crate) fn node_up(&mut self, node: NodeId, place: &Place) {
        let peer = PeerId(place.peer);
        self.tcp.introduce(peer, place.address);
        self.post.note(Address::Node(node), peer);
        self.ends.note_node(node, false);
        self.posts.entry(node).or_insert_with(|| Position {
            peer,
            hired_at: Instant::now(),
            worker: Worker::Gone,
            executors: BTreeSet::new(),
            queued: Vec::new(),
            actors: BTreeMap::new(),
            failures: 0,
            was_brief: false,
        });
        self.hire(node);
    }

    /// The connection with a daemon has ended, or is there: whether words of its workers can come.
    pub(crate) fn heard(&self, peer: PeerId, is_silent: bool) {
        if let Some((node, _)) = self.posts.iter().find(|(_, position)| position.peer == peer) {
            self.ends.note_node(*node, is_silent);
        }
    }

    /// Hires a worker on a node that has none.
    pub(crate) fn hire(&mut self, node: NodeId) {
        let Some(position) = self.posts.get_mut(&node).filter(|_| !self.is_closed) else { return };
        if !matches!(position.worker, Worker::Gone) {
            return;
        }
        position.worker = Worker::Hired;
        position.hired_at = Instant::now();
        let job = Hire {
            owner: self.owner,
            driver: self.place.clone(),
            binary: self.program.binary(),
            name: std::env::args().next().unwrap_or_default(),
            variables: std::env::vars().filter(|(name, _)| name.starts_with("RUST_")).collect(),
        };
        self.send(Address::Node(node), Letter::Hire(job));
    }

    /// The nodes that are up, as far as it is known.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.posts.keys().copied().collect()
    }

    /// A node is dead, and all that was there.
    pub(crate) fn node_died(&mut self, node: NodeId) {
        let Some(position) = self.posts.remove(&node) else { return };
        if let Worker::Here(lane, joined) = position.worker {
            self.crew.remove(&lane);
            let how = format!("on {node} is gone: the node is dead");
            // Nobody else will say how it ended.
            self.ends.note(joined.peer, how.clone());
            lane.kill(how);
        }
        crash(position.actors);
    }

    /// A worker has called: how many threads it may be asked to run.
    pub(crate) fn worker_came(&mut self, joined: Joined, lane: &Arc<Lane>) -> Option<u32> {
        let Some(position) = self.posts.get_mut(&joined.node).filter(|_| !self.is_closed) else {
            lane.kill("is not wanted any more".into());
            return None;
        };
        let took_ms = position.hired_at.elapsed().as_millis();
        info!(node = %joined.node, pid = joined.pid, cpus = joined.cpus, took_ms, "a worker is ready");
        position.worker = Worker::Here(lane.clone(), joined);
        position.failures = 0;
        let queued = std::mem::take(&mut position.queued);
        // Before anything is sent there that names memory of the other.
        self.introduce(&joined, lane);
        self.crew.add(lane.clone());
        self.set_threads(joined.node);
        for queued in queued {
            match queued {
                Queued::Task(task, run) => run_on(lane, task, run),
                Queued::Actor(proxy, incarnation, lease, grant) => proxy.start_on(lane, incarnation, lease, grant),
            }
        }
        Some(joined.cpus)
    }

    /// Tells a worker of all others, and them of it.
    fn introduce(&self, joined: &Joined, lane: &Lane) {
        for position in self.posts.values() {
            if let Worker::Here(other_lane, other) = &position.worker
                && other != joined
            {
                lane.introduce(other);
                other_lane.introduce(joined);
            }
        }
    }

    /// A worker's connection has ended.
    pub(crate) fn worker_gone(&mut self, node: NodeId, lane: &Arc<Lane>) -> Option<Vacancy> {
        self.crew.remove(lane);
        let is_closed = self.is_closed;
        let position = self.posts.get_mut(&node)?;
        if !matches!(&position.worker, Worker::Here(here, _) if Arc::ptr_eq(here, lane)) || is_closed {
            return None;
        }
        position.worker = Worker::Gone;
        let actors = std::mem::take(&mut position.actors);
        let is_brief = position.hired_at.elapsed() < BRIEF;
        let was_brief = std::mem::replace(&mut position.was_brief, is_brief);
        // One that is killed by chance is replaced at once; a program that can't live is not started in a loop.
        let wait = if is_brief && was_brief { BRIEF } else { Duration::ZERO };
        crash(actors);
        Some(Vacancy::Again(wait))
    }

    /// A node says what became of a worker.
    pub(crate) fn worker_ended(&mut self, node: NodeId, worker: u128, how: Result<String, String>) -> Option<Vacancy> {
        let why = match how {
            Ok(how) => {
                self.ends.note(worker, how.clone());
                how
            }
            Err(why) => why,
        };
        let position = self.posts.get_mut(&node)?;
        // One that has called is told of by its lane.
        if !matches!(position.worker, Worker::Hired) {
            return None;
        }
        position.failures += 1;
        warn!(%node, %why, failures = position.failures, "a worker never came");
        if position.failures < FAILURES_MAX {
            position.worker = Worker::Gone;
            return Some(Vacancy::Again(BRIEF));
        }
        position.worker = Worker::Unfit;
        let queued = std::mem::take(&mut position.queued);
        for queued in queued {
            queued.refuse(&why);
        }
        if self.posts.values().all(|position| matches!(position.worker, Worker::Unfit)) {
            self.crew.give_up(&format!("no node can run this program; on {node}: {why}"));
        }
        Some(Vacancy::Unfit)
    }

    /// A thread for plain tasks may run on this lease.
    pub(crate) fn open_executor(&mut self, lease: LeaseId) {
        if let Some(position) = self.posts.get_mut(&lease.node) {
            position.executors.insert(lease);
            self.set_threads(lease.node);
        }
    }

    /// It may no longer.
    pub(crate) fn close_executor(&mut self, lease: LeaseId) {
        if let Some(position) = self.posts.get_mut(&lease.node) {
            position.executors.remove(&lease);
            self.set_threads(lease.node);
        }
    }

    /// Starts an attempt on its lease's node.
    pub(crate) fn start(&mut self, task: Arc<dyn Leased>, run: Run) {
        let node = run.lease.node;
        let Some(position) = self.posts.get_mut(&node) else {
            let result = task.ended(&run, Answered::Died(format!("on {node} is gone: the node is dead")));
            return tell_ended(&run, result);
        };
        if let Worker::Here(lane, _) = &position.worker {
            run_on(lane, task, run);
        } else if let Worker::Unfit = position.worker {
            Queued::Task(task, run).refuse(&format!("{node} can't run this program"));
        } else {
            position.queued.push(Queued::Task(task, run));
        }
    }

    /// Begins an actor's life on its lease's node.
    pub(crate) fn start_actor(&mut self, proxy: Arc<Proxy>, incarnation: Incarnation, lease: LeaseId, grant: Grant) {
        self.posts.values_mut().for_each(|position| drop(position.actors.remove(&proxy.id())));
        let queued = Queued::Actor(proxy.clone(), incarnation, lease, grant);
        let Some(position) = self.posts.get_mut(&lease.node) else {
            return queued.refuse(&format!("{} is dead", lease.node));
        };
        match (&position.worker, queued) {
            (Worker::Here(lane, _), Queued::Actor(proxy, incarnation, lease, grant)) => {
                position.actors.insert(proxy.id(), (incarnation, proxy.clone()));
                proxy.start_on(lane, incarnation, lease, grant);
            }
            (Worker::Unfit, queued) => queued.refuse(&format!("{} can't run this program", lease.node)),
            (_, queued) => {
                position.actors.insert(proxy.id(), (incarnation, proxy));
                position.queued.push(queued);
            }
        }
    }

    /// Tells a worker how many threads for plain tasks there are leases for.
    fn set_threads(&self, node: NodeId) {
        let Some(position) = self.posts.get(&node) else { return };
        if let Worker::Here(lane, _) = &position.worker {
            lane.set_threads(position.executors.len() as u32);
            self.crew.refill();
        }
    }
}

/// Lives end with their worker.
fn crash(actors: BTreeMap<ActorId, (Incarnation, Arc<Proxy>)>) {
    actors.into_values().for_each(|(incarnation, proxy)| proxy.life_ended(incarnation, ActorEnd::Crashed, None));
}

impl Queued {
    /// It can't have what it waits for.
    fn refuse(self, why: &str) {
        match self {
            Self::Task(task, run) => {
                let result = task.ended(&run, Answered::Refused(why.to_owned()));
                tell_ended(&run, result);
            }
            Self::Actor(proxy, incarnation, ..) => proxy.refused(incarnation, why),
        }
    }
}
