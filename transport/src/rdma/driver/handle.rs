//! What the driver makes of commands.

use super::super::card::{End, QueuePair, RECEIVES_PER_REQUEST};
use super::super::machine::{Event, LaneId, TransferId};
use super::super::wire::{Grant, Message, Verdict};
use super::run::{Driver, LaneEndState};
use super::{Command, Job};
use crate::error::TransportError;
use crate::face::PeerId;
use std::time::Instant;

impl Driver {
    pub(super) fn handle(&mut self, command: Command) {
        match command {
            Command::Start(job) => self.start(*job),
            Command::Event(event) => self.event(event),
            Command::Linked { peer, pairs, link } => {
                self.links.insert(peer, link);
                self.machine.handle(Instant::now(), Event::Linked { peer, pairs });
            }
            Command::Made { lane, pair } => self.made(lane, pair),
            Command::Answered { lane, end } => self.answered(lane, end),
            Command::Connected { lane, pair } => self.connected(lane, pair),
            Command::Granted { transfer, grant } => self.granted(transfer, grant),
            Command::Released { transfer, verdict, checksums } => self.released(transfer, verdict, checksums),
            Command::Hold { conduit, lane, pair, place, done } => {
                self.holds.hold(conduit, lane, pair, place);
                self.holds.prepare(self.shared.work_per_lane_max * RECEIVES_PER_REQUEST);
                // As for what is forgotten.
                let _ = done.send(());
            }
            Command::Unhold { conduit, lane } => self.holds.unhold(conduit, lane),
            Command::Land(landing) => self.holds.land(*landing),
            Command::Landed(landed) => self.holds.landed(landed, Instant::now()),
            Command::Forget { conduit, done } => {
                self.holds.forget(conduit, &self.shared);
                // Whoever asked may have been stopped meanwhile.
                let _ = done.send(());
            }
            Command::Stop => self.is_stopped = true,
        }
    }

    fn event(&mut self, event: Event) {
        if let Event::Unlinked { peer } = event {
            self.links.remove(&peer);
        }
        self.machine.handle(Instant::now(), event);
    }

    fn start(&mut self, job: Job) {
        let peer = job.peer();
        if self.jobs.len() >= self.transfers_max {
            return job.refuse(TransportError::Full { peer, what: "reads", limit: self.transfers_max });
        }
        self.next += 1;
        let (transfer, len) = (TransferId(self.next), job.len());
        self.jobs.insert(transfer, job);
        self.machine.handle(Instant::now(), Event::Start { transfer, peer, len });
    }

    /// The peer is told of our end.
    fn made(&mut self, lane: LaneId, pair: QueuePair) {
        let Some(end) = self.lanes.get_mut(&lane) else { return };
        let (rail, remote) = (number(end.rail), number(end.remote));
        let message = Message::Join { lane, rail, remote, end: pair.end() };
        end.state = LaneEndState::Asked(pair);
        let peer = end.peer;
        self.send(peer, message);
    }

    fn answered(&mut self, lane: LaneId, theirs: End) {
        let Some(end) = self.lanes.get_mut(&lane) else { return };
        let state = std::mem::replace(&mut end.state, LaneEndState::Connecting);
        let (LaneEndState::Asked(pair), Some(link)) = (state, self.links.get(&end.peer)) else {
            // A peer that answers what it wasn't asked.
            return self.machine.handle(Instant::now(), Event::NotJoined { lane });
        };
        let address = link.rails[end.remote];
        let shared = self.shared.clone();
        self.shared.control.runtime().spawn_blocking(move || {
            let told = match pair.connect(&address, theirs) {
                Ok(()) => Command::Connected { lane, pair },
                Err(error) => {
                    tracing::debug!(%error, "a queue pair can't be connected");
                    Command::Event(Event::NotJoined { lane })
                }
            };
            shared.tell(told);
        });
    }

    fn connected(&mut self, lane: LaneId, pair: QueuePair) {
        let Some(end) = self.lanes.get_mut(&lane) else { return };
        end.state = LaneEndState::Up(pair);
        self.machine.handle(Instant::now(), Event::Joined { lane });
    }

    fn granted(&mut self, transfer: TransferId, grant: Grant) {
        let Some(job) = self.jobs.get_mut(&transfer) else { return };
        let rails = self.links.get(&job.peer()).map_or(0, |link| link.rails.len());
        let cut = grant.cut;
        let event = match job.grant(grant, rails) {
            true => Event::Granted { transfer, cut },
            false => Event::Declined { transfer },
        };
        self.machine.handle(Instant::now(), event);
    }

    /// The answer to a release, and to what isn't granted: the machine knows which.
    fn released(&mut self, transfer: TransferId, verdict: Verdict, checksums: Vec<u32>) {
        let Some(job) = self.jobs.get_mut(&transfer) else { return };
        job.check_by(checksums);
        let now = Instant::now();
        match verdict {
            Verdict::Whole => self.machine.handle(now, Event::Released { transfer }),
            Verdict::Declined => self.machine.handle(now, Event::Declined { transfer }),
            Verdict::Denied(denied) => self.machine.handle(now, Event::Denied { transfer, denied }),
        }
    }

    /// A peer that doesn't take what we say is lost.
    pub(super) fn send(&mut self, peer: PeerId, message: Message) {
        let Some(link) = self.links.get(&peer) else { return };
        if link.messages.try_send(message).is_err() {
            self.links.remove(&peer);
            self.machine.handle(Instant::now(), Event::Unlinked { peer });
        }
    }
}

fn number(rail: usize) -> u8 {
    u8::try_from(rail).expect("a machine has fewer than 256 rails")
}
