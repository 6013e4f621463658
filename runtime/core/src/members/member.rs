//! A node's own view of its membership.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::protocol::{JoinRefusal, Peer};
use crate::ids::{NodeId, TimerToken};
use crate::limits::Limits;
use crate::out::Out;
use crate::resources::Capacity;
use crate::time::Time;

/// What a [`Member`] is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The process has started.
    Start,
    /// From the controller: it is a member.
    Welcome {
        /// Its name in this life.
        node: NodeId,
    },
    /// From the controller: it will be none in this life.
    Refused {
        /// Why.
        why: JoinRefusal,
    },
    /// From the controller: a heartbeat has come.
    Ack {
        /// Which.
        beat: u64,
    },
    /// From the controller: it was declared dead.
    Fenced,
    /// From the driver: the connection with the controller has ended, at whichever side.
    Disconnected,
    /// A timer has come.
    Timer {
        /// The token that [`Action::SetTimer`] gave.
        token: TimerToken,
    },
}

/// What a [`Member`] wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// To the controller: [`super::Event::Join`].
    Join {
        /// Who.
        peer: Peer,
        /// What it has.
        capacity: Capacity,
    },
    /// To the controller: [`super::Event::Heartbeat`]. May be lost.
    Heartbeat {
        /// Who.
        node: NodeId,
        /// Which.
        beat: u64,
    },
    /// To itself: it is a member and may grant leases.
    Begin {
        /// Its name in this life.
        node: NodeId,
    },
    /// To itself: end all that runs here, now, and start anew in another life.
    End,
    /// Say [`Event::Timer`] at `at` or later.
    SetTimer {
        /// When.
        at: Time,
        /// What to say.
        token: TimerToken,
    },
}

/// Where a life is.
///
/// ```text
///   Start --> Joining -- Welcome --> Member -- silence, or a word of the controller --> Over
///                '------------------ Refused -------------------------------------------^
/// ```
#[derive(Debug)]
enum Life {
    /// `since` is when it first asked: of several joins that may be the one that was heard.
    Joining {
        since: Option<Time>,
    },
    /// `sent` are the heartbeats without an answer; `safe_until` counts from the sending of the last that has one.
    Member {
        node: NodeId,
        sent: BTreeMap<u64, Time>,
        safe_until: Time,
    },
    Over,
}

/// The machine of one life of a node's process: it joins, says that it is alive, and ends itself before the cluster takes
/// it for dead. **A driver asks [`Member::may_act`] before it handles anything**, not in a timer alone: a process that was
/// stopped for a minute wakes in the middle of whatever it did.
#[derive(Debug)]
pub struct Member {
    peer: Peer,
    capacity: Capacity,
    limits: Limits,
    life: Life,
    next_beat: u64,
    next_timer: u64,
    timer: Option<TimerToken>,
}

impl Member {
    /// A life that has not begun.
    pub fn new(peer: Peer, capacity: Capacity, limits: Limits) -> Member {
        Member { peer, capacity, limits, life: Life::Joining { since: None }, next_beat: 1, next_timer: 1, timer: None }
    }

    /// Takes one event and appends what is to be done.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Out<Action>) {
        if !self.may_act(now) {
            return self.end(out);
        }
        match event {
            Event::Start => self.beat(now, out),
            Event::Welcome { node } => self.welcome(now, node, out),
            Event::Refused { why: _ } | Event::Fenced => self.end(out),
            Event::Ack { beat } => self.ack(beat),
            Event::Disconnected => self.disconnected(now, out),
            Event::Timer { token } if self.timer == Some(token) => self.beat(now, out),
            Event::Timer { .. } => {}
        }
    }

    /// Whether the cluster can't have taken this life for dead yet. While it joins nothing runs that could do harm.
    pub fn may_act(&self, now: Time) -> bool {
        match &self.life {
            Life::Joining { .. } => true,
            Life::Member { safe_until, .. } => now < *safe_until,
            Life::Over => false,
        }
    }

    /// Its name, while it is a member.
    pub const fn node(&self) -> Option<NodeId> {
        match &self.life {
            Life::Member { node, .. } => Some(*node),
            Life::Joining { .. } | Life::Over => None,
        }
    }

    fn welcome(&mut self, now: Time, node: NodeId, out: &mut Out<Action>) {
        let Life::Joining { since: Some(since) } = self.life else { return };
        let safe_until = since + self.limits.fence_after;
        self.life = Life::Member { node, sent: BTreeMap::new(), safe_until };
        if now >= safe_until {
            return self.end(out);
        }
        out.push(Action::Begin { node });
        self.beat(now, out);
    }

    fn ack(&mut self, beat: u64) {
        if let Life::Member { sent, safe_until, .. } = &mut self.life
            && let Some(at) = sent.remove(&beat)
        {
            *safe_until = (*safe_until).max(at + self.limits.fence_after);
            // Earlier ones would say less.
            sent.retain(|other, _| *other > beat);
        }
    }

    /// The controller may take the end of a connection for the end of this process: only what is acknowledged from now on
    /// says that it does not.
    fn disconnected(&mut self, now: Time, out: &mut Out<Action>) {
        if let Life::Member { sent, safe_until, .. } = &mut self.life {
            sent.clear();
            *safe_until = (*safe_until).min(now + self.limits.closed_fence_after);
            self.beat(now, out);
        }
    }

    /// Says that it is alive, or asks again to join.
    fn beat(&mut self, now: Time, out: &mut Out<Action>) {
        let mut at = now + self.limits.heartbeat_every;
        match &mut self.life {
            Life::Joining { since } => {
                since.get_or_insert(now);
                out.push(Action::Join { peer: self.peer, capacity: self.capacity.clone() });
            }
            Life::Member { node, sent, safe_until } => {
                // Where its time may be over sooner, what runs must end then, and not a heartbeat later.
                at = at.min(*safe_until);
                let beat = self.next_beat;
                self.next_beat += 1;
                sent.insert(beat, now);
                while sent.len() > self.limits.heartbeats_unanswered_max {
                    sent.pop_first();
                }
                out.push(Action::Heartbeat { node: *node, beat });
            }
            Life::Over => return,
        }
        let token = TimerToken(self.next_timer);
        self.next_timer += 1;
        self.timer = Some(token);
        out.push(Action::SetTimer { at, token });
    }

    fn end(&mut self, out: &mut Out<Action>) {
        if !matches!(self.life, Life::Over) {
            self.life = Life::Over;
            out.push(Action::End);
        }
    }
}
