//! The messages of an actor, in the order in which each caller sent them.

use crate::cell::Header;
use crossbeam_queue::SegQueue;
use std::collections::{HashMap, VecDeque};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Messages that may run, and behind gates those that wait for arguments, or for their caller's earlier ones.
///
/// A message whose arguments aren't there holds up what the same caller sends after it, and nobody else: another
/// caller's message may be what the argument depends on.
#[derive(Default)]
pub(crate) struct Inbox {
    queue: SegQueue<Message>,
    gates: Mutex<HashMap<u64, VecDeque<Gated>>>,
    /// How many callers have a gate.
    gated: AtomicUsize,
}

struct Message(NonNull<Header>);

struct Gated {
    message: Message,
    ready: bool,
}

// SAFETY: a message is the executor's share of its cell, which may be used on any one thread at a time.
unsafe impl Send for Message {}

impl Inbox {
    #[inline]
    pub(crate) fn push(&self, cell: NonNull<Header>) {
        self.queue.push(Message(cell));
    }

    pub(crate) fn pop(&self) -> Option<NonNull<Header>> {
        self.queue.pop().map(|message| message.0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether any caller has a gate.
    #[inline]
    pub(crate) fn is_gated(&self) -> bool {
        self.gated.load(Ordering::Acquire) != 0
    }

    /// Keeps a place for a message behind the caller's earlier ones.
    pub(crate) fn reserve(&self, caller: u64, cell: NonNull<Header>) {
        let mut gates = self.lock();
        let gate = gates.entry(caller).or_default();
        if gate.is_empty() {
            self.gated.fetch_add(1, Ordering::Release);
        }
        gate.push_back(Gated { message: Message(cell), ready: false });
    }

    /// The arguments of a reserved message are there: queues it, unless an earlier one still waits.
    pub(crate) fn deliver(&self, caller: u64, cell: NonNull<Header>) {
        let mut gates = self.lock();
        let gate = gates.get_mut(&caller).expect("a reserved message keeps its gate");
        let gated = gate.iter_mut().find(|gated| gated.message.0 == cell);
        gated.expect("a message is delivered once").ready = true;
        while gate.front().is_some_and(|gated| gated.ready) {
            self.queue.push(gate.pop_front().expect("it has a front").message);
        }
        if gate.is_empty() {
            gates.remove(&caller);
            self.gated.fetch_sub(1, Ordering::Release);
        }
    }

    /// Takes the messages that have their arguments and wait only for their caller's earlier ones: the mailbox is closed.
    pub(crate) fn take_ready(&self) -> Vec<NonNull<Header>> {
        let mut taken = Vec::new();
        if self.is_gated() {
            // The first of each caller isn't ready, so no gate gets empty.
            for gate in self.lock().values_mut() {
                taken.extend(gate.iter().filter(|gated| gated.ready).map(|gated| gated.message.0));
                gate.retain(|gated| !gated.ready);
            }
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, VecDeque<Gated>>> {
        self.gates.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
