//! The driver's loop.

use super::super::card::QueuePair;
use super::super::machine::{Action, Event, LaneId, Machine, Outcome, TransferId, WorkId};
use super::super::shared::Shared;
use super::super::verbs::abi::*;
use super::held::{Holds, RECEIVE};
use super::job::Job;
use super::{Command, Link};
use crate::face::PeerId;
use crate::ring::spin::Spin;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// The cards are looked at for so long, at most, before the thread sleeps.
const SPIN_MAX: Duration = Duration::from_micros(30);
const TICK: Duration = Duration::from_millis(10);

/// The thread of an endpoint's cards.
pub struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) machine: Machine,
    pub(super) commands: Receiver<Command>,
    pub(super) transfers_max: usize,
    pub(super) jobs: HashMap<TransferId, Job>,
    pub(super) links: HashMap<PeerId, Link>,
    pub(super) lanes: HashMap<LaneId, LaneEnd>,
    pub(super) holds: Holds,
    pub(super) next: u64,
    pub(super) ticked: Instant,
    pub(super) is_stopped: bool,
    pub(super) spin: Spin,
    pub(super) actions: Vec<Action>,
    pub(super) completions: Vec<ibv_wc>,
}

/// Our end of a lane.
pub(super) struct LaneEnd {
    pub(super) peer: PeerId,
    pub(super) rail: usize,
    pub(super) remote: usize,
    pub(super) state: LaneEndState,
}

/// ```text
///  Making --made--> Asked --the peer's end is known--> Connecting --connected--> Up
/// ```
pub(super) enum LaneEndState {
    Making,
    Asked(QueuePair),
    Connecting,
    Up(QueuePair),
}

impl Driver {
    pub fn new(shared: Arc<Shared>, machine: Machine, commands: Receiver<Command>, transfers_max: usize) -> Self {
        Self {
            shared,
            machine,
            commands,
            transfers_max,
            jobs: HashMap::new(),
            links: HashMap::new(),
            lanes: HashMap::new(),
            holds: Holds::default(),
            next: 0,
            ticked: Instant::now(),
            is_stopped: false,
            spin: Spin::new(),
            actions: vec![],
            completions: vec![],
        }
    }

    /// Runs until it is told to stop; all queue pairs have ended then, and nothing is moved any more.
    pub fn run(mut self) {
        while !self.is_stopped {
            if !self.step() {
                self.rest();
            }
        }
        // Queue pairs end before jobs do: what was being written belongs to others afterwards.
        self.lanes.clear();
        self.holds = Holds::default();
        self.jobs.clear();
    }

    /// Does what there is to do; false where that was nothing.
    fn step(&mut self) -> bool {
        let mut is_busy = false;
        while let Some(command) = self.commands.try_recv().ok().filter(|_| !self.is_stopped) {
            self.handle(command);
            is_busy = true;
        }
        is_busy |= self.poll_cards();
        let now = Instant::now();
        if now.duration_since(self.ticked) >= TICK {
            self.ticked = now;
            self.machine.tick(now);
        }
        self.holds.settle(now, &self.shared);
        self.act();
        is_busy
    }

    /// Sleeps until there is something to do. Cards are armed, then looked at once more.
    fn rest(&mut self) {
        let began = Instant::now();
        let mut spin = std::mem::replace(&mut self.spin, Spin::new());
        let has_come = spin.until(SPIN_MAX, || self.poll_cards());
        if !has_come {
            self.shared.waker().doze();
            for completions in &self.shared.completions {
                if let Err(error) = completions.arm() {
                    warn!(%error, "a card's completions can't be waited for");
                }
            }
            if !self.step() {
                self.wait();
            }
            self.shared.waker().rise();
        }
        spin.learn(began.elapsed(), SPIN_MAX);
        self.spin = spin;
    }

    fn wait(&self) {
        let shared = &self.shared;
        let settling = self.holds.is_settling().then_some(TICK);
        let limit = [self.machine.rest(), settling].into_iter().flatten().min();
        let limit = limit.map(|limit| Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() });
        let channels = shared.completions.iter().map(|completions| completions.descriptor());
        let all: Vec<BorrowedFd<'_>> = std::iter::once(shared.waker().descriptor()).chain(channels).collect();
        let mut all: Vec<PollFd<'_>> = all.iter().map(|one| PollFd::new(one, PollFlags::IN)).collect();
        // Interrupted or not: the loop looks at everything.
        let _ = poll(&mut all, limit.as_ref());
        shared.completions.iter().for_each(|completions| completions.take_events());
    }

    /// Takes what has completed; whether anything has.
    fn poll_cards(&mut self) -> bool {
        let mut found = std::mem::take(&mut self.completions);
        for completions in &self.shared.completions {
            if let Err(error) = completions.poll(&mut found) {
                warn!(%error, "a card's completions can't be read");
            }
        }
        let (now, is_busy) = (Instant::now(), !found.is_empty());
        for completion in found.drain(..) {
            if completion.wr_id & RECEIVE != 0 {
                self.holds.received(&completion);
            } else {
                self.completed(now, &completion);
            }
        }
        self.completions = found;
        is_busy
    }

    fn completed(&mut self, now: Instant, completion: &ibv_wc) {
        let work = WorkId(completion.wr_id);
        let outcome = match completion.status {
            IBV_WC_SUCCESS => Outcome::Done,
            IBV_WC_REM_ACCESS_ERR | IBV_WC_REM_INV_REQ_ERR | IBV_WC_REM_OP_ERR => Outcome::Refused,
            _ => Outcome::Failed,
        };
        if outcome != Outcome::Done && self.machine.is_outstanding(work) {
            let status = self.shared.cards.rails[0].status_name(completion.status);
            debug!(%status, vendor_error = completion.vendor_err, "a request failed");
        }
        self.machine.handle(now, Event::Completed { work, outcome });
    }
}
