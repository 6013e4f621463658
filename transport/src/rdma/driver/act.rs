//! What the driver does for the machine.

use super::super::card::QueuePair;
use super::super::conduit;
use super::super::machine::{Action, Event, LaneId, Outcome, Piece, TransferId, WorkId};
use super::super::wire::Message;
use super::Command;
use super::run::{Driver, LaneEnd, LaneEndState};
use crate::face::PeerId;
use std::time::Instant;
use tracing::debug;

impl Driver {
    /// Does what the machine wants, and what it wants in consequence.
    pub(super) fn act(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        loop {
            self.machine.take_actions(&mut actions);
            if actions.is_empty() {
                break;
            }
            actions.drain(..).for_each(|action| self.act_one(action));
        }
        self.actions = actions;
    }

    fn act_one(&mut self, action: Action) {
        match action {
            Action::Dial { peer } => conduit::dial(self.shared.clone(), peer),
            Action::HangUp { peer } => drop(self.links.remove(&peer)),
            Action::Join { lane, peer, rail, remote } => self.join(lane, peer, rail, remote),
            Action::Part { lane, peer } => {
                self.lanes.remove(&lane);
                self.send(peer, Message::Part { lane });
            }
            Action::Ask { transfer } => self.say(transfer, |job| job.ask(transfer)),
            Action::Release { transfer, is_whole } => self.say(transfer, |_| Message::Release { transfer, is_whole }),
            Action::Post { work, lane, transfer, piece } => self.post(work, lane, transfer, piece),
            Action::End { transfer, ended } => {
                if let Some(job) = self.jobs.remove(&transfer) {
                    job.end(ended, &self.shared);
                }
            }
        }
    }

    fn say(&mut self, transfer: TransferId, message: impl FnOnce(&super::Job) -> Message) {
        if let Some((peer, message)) = self.jobs.get(&transfer).map(|job| (job.peer(), message(job))) {
            self.send(peer, message);
        }
    }

    /// A queue pair takes a card its time: it is made elsewhere.
    fn join(&mut self, lane: LaneId, peer: PeerId, rail: usize, remote: usize) {
        self.lanes.insert(lane, LaneEnd { peer, rail, remote, state: LaneEndState::Making });
        let shared = self.shared.clone();
        self.shared.control.runtime().spawn_blocking(move || {
            let (card, completions) = (&shared.cards.rails[rail], &shared.completions[rail]);
            let told = match QueuePair::new(card, completions, shared.work_per_lane_max) {
                Ok(pair) => Command::Made { lane, pair },
                Err(error) => {
                    debug!(%error, "a queue pair can't be made");
                    Command::Event(Event::NotJoined { lane })
                }
            };
            shared.tell(told);
        });
    }

    fn post(&mut self, work: WorkId, lane: LaneId, transfer: TransferId, piece: Piece) {
        // Neither is there any more where a message before this one could not be sent.
        let (Some(end), Some(job)) = (self.lanes.get(&lane), self.jobs.get(&transfer)) else { return };
        let (LaneEndState::Up(pair), Some(link)) = (&end.state, self.links.get(&end.peer)) else { return };
        let request = job.request(piece, end.rail, (end.remote, link.rails.len()));
        // SAFETY: the job keeps the memory, and what is read its claim, until the machine ends it: when this work has
        // completed, or its lane was parted, which has ended the queue pair by then (RAIL-3).
        let posted = unsafe {
            match request.word {
                None => pair.read(work.0, request.local, request.remote),
                Some(word) => pair.write(work.0, request.local, request.remote, word),
            }
        };
        if let Err(error) = posted {
            debug!(%error, "a request can't be posted");
            self.machine.handle(Instant::now(), Event::Completed { work, outcome: Outcome::Failed });
        }
    }
}
