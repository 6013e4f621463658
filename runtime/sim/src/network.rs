//! The network: delays, losses, repetitions, cuts; and the queue of all that will happen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use rayline_core::Time;
use rayline_core::ids::TimerToken;

use crate::message::{Addr, Class, Message};
use crate::plan::Net;
use crate::rng::Rng;
use crate::world::Local;

/// Where a process is: a machine, or the controller's, which is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Controller,
    Host(usize),
}

/// What happens at some time.
#[derive(Debug)]
pub(crate) enum Happening {
    Deliver {
        from: Addr,
        to: Addr,
        message: Message,
    },
    /// A channel that was cut is tried again.
    Retry {
        from: Addr,
        to: Addr,
    },
    Timer {
        at: Addr,
        token: TimerToken,
        kind: TimerKind,
    },
    Local(Local),
}

/// Which of the machines at an address set a timer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimerKind {
    Machine,
    Membership,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Channel {
    /// When the last message arrives: the next may not before.
    last: Time,
    /// What waits for a cut to end.
    held: VecDeque<Message>,
}

#[derive(Debug)]
pub(crate) struct Network {
    plan: Net,
    queue: BinaryHeap<Reverse<(Time, u64, usize)>>,
    slots: Vec<Option<Happening>>,
    free: Vec<usize>,
    seq: u64,
    channels: BTreeMap<(Addr, Addr), Channel>,
    /// Directions that nothing passes, with until when.
    cuts: BTreeMap<(Place, Place), Time>,
}

impl Network {
    pub(crate) fn new(plan: Net) -> Network {
        Network {
            plan,
            queue: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            seq: 0,
            channels: BTreeMap::new(),
            cuts: BTreeMap::new(),
        }
    }

    pub(crate) fn at(&mut self, at: Time, what: Happening) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(what);
        self.seq += 1;
        self.queue.push(Reverse((at, self.seq, slot)));
    }

    pub(crate) fn next(&mut self) -> Option<(Time, Happening)> {
        let Reverse((at, _, slot)) = self.queue.pop()?;
        self.free.push(slot);
        Some((at, self.slots[slot].take().expect("a queued slot is full")))
    }

    /// Sends a message: late, lost and sent again, or twice, as its class allows.
    pub(crate) fn send(&mut self, now: Time, rng: &mut Rng, (from, to): (Addr, Addr), message: Message) {
        let class = message.class();
        let delay = Duration::from_micros(10) + rng.wait(self.plan.delay);
        let is_lost = class != Class::Sequenced && rng.chance(self.plan.lost_permille);
        match class {
            Class::Lossy if is_lost => {}
            Class::Lossy => self.at(now + delay, Happening::Deliver { from, to, message }),
            Class::Repeated => {
                if rng.chance(self.plan.twice_permille) {
                    let again = delay + rng.wait(self.plan.again);
                    self.at(now + again, Happening::Deliver { from, to, message: message.clone() });
                }
                if is_lost {
                    let again = delay + rng.wait(self.plan.again);
                    self.at(now + again, Happening::Deliver { from, to, message });
                } else {
                    self.in_order(now + delay, (from, to), message);
                }
            }
            Class::Sequenced => self.in_order(now + delay, (from, to), message),
        }
    }

    fn in_order(&mut self, at: Time, (from, to): (Addr, Addr), message: Message) {
        let channel = self.channels.entry((from, to)).or_default();
        channel.last = channel.last.max(at);
        let at = channel.last;
        self.at(at, Happening::Deliver { from, to, message });
    }

    /// A message has arrived; `None` where a cut holds it up or has lost it.
    pub(crate) fn pass(
        &mut self,
        now: Time,
        (from, to): (Addr, Addr),
        places: (Place, Place),
        message: Message,
    ) -> Option<Message> {
        let is_cut = self.is_cut(now, places);
        if message.class() == Class::Lossy {
            return (!is_cut).then_some(message);
        }
        let channel = self.channels.entry((from, to)).or_default();
        if !is_cut && channel.held.is_empty() {
            return Some(message);
        }
        channel.held.push_back(message);
        if channel.held.len() == 1 {
            self.at(now + Duration::from_millis(20), Happening::Retry { from, to });
        }
        None
    }

    /// What a channel held, if it is not cut any more.
    pub(crate) fn retry(&mut self, now: Time, (from, to): (Addr, Addr), places: (Place, Place)) -> VecDeque<Message> {
        if self.is_cut(now, places) {
            self.at(now + Duration::from_millis(20), Happening::Retry { from, to });
            return VecDeque::new();
        }
        self.channels.get_mut(&(from, to)).map(|channel| std::mem::take(&mut channel.held)).unwrap_or_default()
    }

    pub(crate) fn cut(&mut self, from: Place, to: Place, until: Time) {
        let end = self.cuts.entry((from, to)).or_insert(until);
        *end = (*end).max(until);
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Forgets the channels of lives that are over.
    pub(crate) fn forget(&mut self, is_over: impl Fn(Addr) -> bool) {
        let dead: BTreeSet<(Addr, Addr)> =
            self.channels.keys().filter(|(from, to)| is_over(*from) || is_over(*to)).copied().collect();
        dead.iter().for_each(|channel| drop(self.channels.remove(channel)));
    }

    fn is_cut(&mut self, now: Time, (from, to): (Place, Place)) -> bool {
        if self.cuts.is_empty() {
            return false;
        }
        match self.cuts.get(&(from, to)) {
            Some(until) if *until > now => true,
            Some(_) => {
                self.cuts.remove(&(from, to));
                false
            }
            None => false,
        }
    }
}
