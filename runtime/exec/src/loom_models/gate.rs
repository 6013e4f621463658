//! The `gate`, as workers and those who queue something use it.

use crate::gate::Gate;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// Gate (GATE-1): a worker goes to sleep while somebody queues something: it finds it, or it is woken.
#[test]
fn gate_loses_no_wake_up() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(1));
        let queued = Arc::new(AtomicUsize::new(0));
        assert!(gate.try_wake(), "the worker that is about to sleep");
        let submitter = {
            let (gate, queued) = (gate.clone(), queued.clone());
            thread::spawn(move || {
                queued.store(1, Ordering::Relaxed);
                gate.read_after_push().wants_wake() && gate.try_wake()
            })
        };
        gate.sleep();
        gate.order_look();
        let found = queued.load(Ordering::Relaxed) == 1;
        let woken = submitter.join().unwrap();
        assert!(found || woken, "the item is queued and everybody sleeps");
    });
}

/// A pool as `Gate` sees it: how much is queued, and how many were woken.
struct Queue {
    gate: Gate,
    queued: AtomicUsize,
    woken: AtomicUsize,
}

impl Queue {
    /// One worker is awake and searches.
    fn searched(target: usize) -> Arc<Self> {
        let (queued, woken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let queue = Arc::new(Self { gate: Gate::new(target), queued, woken });
        assert!(queue.gate.try_wake());
        queue
    }

    /// As `Shared::queue`.
    fn push(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        if self.gate.read_after_push().wants_wake() {
            self.wake();
        }
    }

    fn wake(&self) {
        if self.gate.try_wake() {
            self.woken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As `Worker::settle` and `Worker::wake_next`.
    fn settle(&self) {
        self.gate.order_look();
        if self.queued.load(Ordering::Relaxed) > 0 {
            self.wake();
        }
    }
}

/// Runs `worker` beside somebody who queues one item; afterwards somebody must have been woken for it.
fn nothing_is_left_asleep(target: usize, worker: fn(&Queue)) {
    loom::model(move || {
        let queue = Queue::searched(target);
        let submitter = {
            let queue = queue.clone();
            thread::spawn(move || queue.push())
        };
        worker(&queue);
        submitter.join().unwrap();
        assert_eq!(queue.woken.load(Ordering::Relaxed), 1, "for one item, one is woken");
    });
}

/// Gate (GATE-1): a worker goes to sleep.
#[test]
fn gate_wakes_one_for_a_worker_that_sleeps() {
    nothing_is_left_asleep(1, |queue| {
        queue.gate.sleep();
        queue.settle();
    });
}

/// Gate (GATE-2): the last searcher found something else, and another place is free.
#[test]
fn gate_wakes_one_beside_a_searcher_that_found_work() {
    nothing_is_left_asleep(2, |queue| {
        if queue.gate.end_search() && queue.gate.read().wants_wake() {
            queue.settle();
        }
    });
}

/// Gate: a worker blocks, and leaves its place to another.
#[test]
fn gate_wakes_one_for_a_worker_that_blocks() {
    nothing_is_left_asleep(1, |queue| {
        queue.gate.end_search();
        queue.gate.leave();
        queue.settle();
    });
}

/// Gate: the target rises.
#[test]
fn gate_wakes_one_when_the_target_rises() {
    nothing_is_left_asleep(1, |queue| {
        queue.gate.end_search();
        queue.gate.set_target(2);
        queue.settle();
    });
}

/// Gate (GATE-2): one that searches is enough, and the target is the most.
#[test]
fn gate_wakes_no_more_than_are_wanted() {
    loom::model(|| {
        let gate = Gate::new(2);
        assert!(gate.try_wake());
        assert!(!gate.try_wake(), "one searches");
        assert!(gate.end_search());
        assert!(gate.try_wake());
        assert!(gate.end_search());
        assert!(!gate.try_wake(), "all are awake");
    });
}

/// Gate: workers that are called all at once, as a shutdown does, may sleep again, and the fields keep apart.
#[test]
fn gate_counts_those_that_are_called() {
    loom::model(|| {
        let gate = Gate::new(0);
        gate.close();
        gate.call(3);
        assert_eq!((gate.read().awake(), gate.read().searching()), (3, 3));
        (0..3).for_each(|_| gate.sleep());
        assert_eq!((gate.read().awake(), gate.read().searching(), gate.read().target()), (0, 0, 0));
        assert!(gate.read().is_closed());
    });
}

/// Gate (GATE-2): the last searcher that finds work hears that it was the last, so that it wakes the next.
#[test]
fn gate_tells_the_last_searcher() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(2));
        assert!(gate.try_wake());
        gate.enter();
        gate.start_search();
        let other = {
            let gate = gate.clone();
            thread::spawn(move || gate.end_search())
        };
        let mine = gate.end_search();
        assert!(mine ^ other.join().unwrap(), "exactly one was the last");
        assert_eq!((gate.read().awake(), gate.read().searching()), (2, 0));
    });
}
