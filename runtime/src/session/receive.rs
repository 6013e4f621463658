//! What comes from the cluster, on a thread of its own.

use crate::control::Arrival;
use crate::process::Greeter;
use rayline_core::ids::NodeId;
use rayline_transport::Event;
use rayline_transport::tcp::Stream;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tracing::debug;

/// How long the end of a worker's connection waits to hear how the worker ended.
const WORD_WAIT: Duration = Duration::from_millis(500);

/// How workers have ended, by their names as peers: for their lanes, which hear that they have.
#[derive(Default)]
pub(crate) struct Ends {
    known: Mutex<Known>,
    came: Condvar,
}

#[derive(Default)]
struct Known {
    ends: HashMap<u128, String>,
    /// Nodes from which no word can come now.
    silent: HashSet<NodeId>,
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker has ended.
    pub(crate) fn note(&self, worker: u128, how: String) {
        self.lock().ends.insert(worker, how);
        self.came.notify_all();
    }

    /// The connection with a node has ended, or is there again.
    pub(crate) fn note_node(&self, node: NodeId, is_silent: bool) {
        let mut known = self.lock();
        if is_silent {
            known.silent.insert(node)
        } else {
            known.silent.remove(&node)
        };
        drop(known);
        self.came.notify_all();
    }

    /// How a worker ended, as far as it becomes known soon.
    fn wait(&self, worker: u128, node: NodeId) -> String {
        let until = Instant::now() + WORD_WAIT;
        let mut known = self.lock();
        loop {
            if let Some(how) = known.ends.remove(&worker) {
                return how;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || known.silent.contains(&node) {
                return format!("on {node} is gone: its connection has ended");
            }
            known = self.came.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Hands on what comes, until the endpoint is closed.
pub(crate) fn receive(
    mut events: Receiver<Event>,
    greeter: &Greeter,
    ends: &Arc<Ends>,
    tell: impl Fn(Arrival) + Clone + Send + 'static,
) {
    while let Some(event) = events.blocking_recv() {
        match event {
            Event::Frame { peer, bytes } => tell(Arrival::Frame(peer, bytes)),
            Event::Stream { stream, .. } => attend(stream, greeter, ends, tell.clone()),
            Event::Up { peer, incarnation } => tell(Arrival::Up(peer, incarnation)),
            Event::Down { peer, error } => tell(Arrival::Down(peer, error)),
            other => debug!(?other, "an event of no concern"),
        }
    }
}

/// Attends a worker, on a thread of its own.
fn attend(stream: Stream, greeter: &Greeter, ends: &Arc<Ends>, tell: impl Fn(Arrival) + Send + 'static) {
    let (greeter, ends) = (greeter.clone(), ends.clone());
    let attend = move || {
        let Some((joined, lane)) = greeter.welcome(stream) else { return };
        tell(Arrival::Worker(joined, lane.clone()));
        lane.attend(|| ends.wait(joined.peer, joined.node));
        tell(Arrival::WorkerGone(joined, lane));
    };
    let spawned = std::thread::Builder::new().name("rayline-lane".into()).spawn(attend);
    if let Err(error) = spawned {
        // The worker finds its connection ended, and its node says so.
        debug!(%error, "no thread for a worker's lane");
    }
}
