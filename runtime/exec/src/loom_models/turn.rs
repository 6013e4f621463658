//! The `turn` of a mailbox.

use crate::turn::Turn;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// A mailbox as `Turn` sees it: how many messages wait, and how many runners there are.
struct Mail {
    turn: Turn,
    messages: AtomicUsize,
    runners: AtomicUsize,
}

impl Mail {
    fn new() -> Arc<Self> {
        Arc::new(Self { turn: Turn::new(), messages: AtomicUsize::new(0), runners: AtomicUsize::new(0) })
    }

    /// Takes all messages, as the one runner (ACT-1); returns how many.
    fn run(&self) -> usize {
        assert_eq!(self.runners.fetch_add(1, Ordering::Relaxed), 0, "a second runner");
        let mut taken = 0;
        loop {
            taken += self.messages.swap(0, Ordering::Relaxed);
            // Off the list before the turn may be another's.
            self.runners.fetch_sub(1, Ordering::Relaxed);
            if self.turn.yield_turn(|| self.messages.load(Ordering::Relaxed) == 0) {
                return taken;
            }
            assert_eq!(self.runners.fetch_add(1, Ordering::Relaxed), 0, "a second runner");
        }
    }

    fn send(&self) -> usize {
        self.messages.fetch_add(1, Ordering::Relaxed);
        if self.turn.call() { self.run() } else { 0 }
    }
}

/// Turn (ACT-1, ACT-2): two senders, never two runners, and no message is left.
#[test]
fn turn_runs_every_message_once() {
    loom::model(|| {
        let mailbox = Mail::new();
        let other = {
            let mailbox = mailbox.clone();
            thread::spawn(move || mailbox.send())
        };
        let taken = mailbox.send() + other.join().unwrap();
        let left = mailbox.messages.load(Ordering::Relaxed);
        assert_eq!((taken, left), (2, 0), "messages taken and left");
    });
}

/// Turn (ACT-3): a runner that waits for a method to end goes on by itself, or is scheduled by that method, once.
#[test]
fn turn_that_is_blocked_goes_on_once() {
    loom::model(|| {
        let turn = Arc::new(Turn::new());
        assert!(turn.call());
        turn.start_method();
        let method = {
            let turn = turn.clone();
            thread::spawn(move || turn.end_method())
        };
        let goes_on = !turn.block(|| turn.running() == 0);
        assert!(goes_on ^ method.join().unwrap(), "the runner goes on, or is scheduled: exactly one");
        assert_eq!(turn.running(), 0);
    });
}
