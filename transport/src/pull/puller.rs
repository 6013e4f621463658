//! The thread that drives the machine of pulls.

use super::machine::{Event, Machine, Start};
use super::{Ask, Pull};
use crate::error::TransportError;
use crate::face::{Completion, Transport};
use crate::limits::Limits;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const REST: Duration = Duration::from_secs(3600);

/// Pulls whole objects: one pull per object, whoever asks, with the next source where one fails. Dropped, it cancels all.
///
/// Its queue is bounded by `pulls_max` and the reads in flight.
pub struct Puller {
    events: Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Puller {
    /// A puller over a transport, with a thread of its own.
    ///
    /// # Errors
    /// `Local` where the system gives no thread.
    pub fn new(transport: Arc<dyn Transport>, limits: Limits) -> Result<Self, TransportError> {
        let (events, inbox) = mpsc::channel();
        let (machine, done) = (Machine::new(limits, events.clone()), events.clone());
        let thread = std::thread::Builder::new()
            .name("rayline-pull".into())
            .spawn(move || run(machine, &*transport, &inbox, &done))
            .map_err(|error| TransportError::local("start a thread", error))?;
        Ok(Self { events, thread: Some(thread) })
    }

    /// Asks for an object. Where it is being pulled already, the sources are added and the class is raised.
    ///
    /// # Errors
    /// `Full` where as many pulls as may be are under way, `Cancelled` where the puller has ended.
    pub fn pull(&self, ask: Ask) -> Result<Pull, TransportError> {
        let (reply, handle) = mpsc::channel();
        self.events.send(Event::Ask { ask, reply }).map_err(|_| TransportError::Cancelled)?;
        handle.recv().unwrap_or(Err(TransportError::Cancelled))
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        // A thread that has ended needs no telling.
        let _ = self.events.send(Event::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a puller panicked");
        }
    }
}

fn run(mut machine: Machine, transport: &dyn Transport, inbox: &Receiver<Event>, events: &Sender<Event>) {
    loop {
        let now = Instant::now();
        while let Some(start) = machine.poll_start(now) {
            begin(transport, start, events);
        }
        let rest = machine.deadline(now).map_or(REST, |deadline| deadline.saturating_duration_since(now));
        match inbox.recv_timeout(rest) {
            Ok(event) => {
                let is_last = matches!(event, Event::Stop);
                machine.handle(Instant::now(), event);
                if is_last {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn begin(transport: &dyn Transport, start: Start, events: &Sender<Event>) {
    let Start { pull, peer, read } = start;
    let (bytes, events) = (read.wanted().len, events.clone());
    // A puller that has ended wants to hear of nothing.
    let done = move |result| drop(events.send(Event::Done { pull, peer, bytes, result }));
    transport.read(peer, read, Completion::new(peer, done));
}
