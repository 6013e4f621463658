//! Loom models of every lock-free type: all interleavings of two or three threads, up to a bound on preemptions.
//!
//! `ring`, below the two queues, is checked with them: both models begin with a ring that is too small.
//!
//! Loom treats a `SeqCst` access as `AcqRel`, and models `SeqCst` fences; where a type's argument rests on `SeqCst`
//! accesses alone, the type has a fence as well, and the model checks that.
//!
//! Run: `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p rayline-exec --lib --release`.

use crate::claim::Claim;
use crate::deque::{Deque, Steal};
use crate::gate::Gate;
use crate::outbox::Outbox;
use crate::ring::Ring;
use crate::state::State;
use crate::turn::Turn;
use crate::waiter::Waiter;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::ptr::NonNull;

/// A pointer that stands for the number `n`; nobody looks through it.
fn item(n: usize) -> NonNull<usize> {
    NonNull::new((n * 8) as *mut usize).expect("numbers begin at 1")
}

fn number(item: NonNull<usize>) -> usize {
    item.as_ptr() as usize / 8
}

/// A waiter that counts its firings.
#[repr(C)]
struct Counting {
    waiter: Waiter,
    fired: AtomicUsize,
}

unsafe fn count(waiter: NonNull<Waiter>) {
    // SAFETY: `Counting` begins with its waiter, and the model keeps it.
    unsafe { waiter.cast::<Counting>().as_ref() }.fired.fetch_add(1, Ordering::Relaxed);
}

/// State: a waiter that registers while the cell completes fires once, or is told that it is done (CELL-2); of the last
/// handle and the executor exactly one frees (CELL-1).
#[test]
fn state_hands_out_each_waiter_and_frees_once() {
    loom::model(|| {
        let state = Arc::new(State::pending());
        let frees = Arc::new(AtomicUsize::new(0));
        let counting = Arc::new(Counting { waiter: Waiter::new(count), fired: AtomicUsize::new(0) });
        let executor = {
            let (state, frees) = (state.clone(), frees.clone());
            thread::spawn(move || {
                let done = state.complete();
                // SAFETY: what `complete` handed out.
                unsafe { Waiter::fire_all(done.waiters) };
                frees.fetch_add(usize::from(done.abandoned), Ordering::Relaxed);
            })
        };
        let waiter: *const Counting = &*counting;
        // SAFETY: `counting` outlives the model's threads.
        let waits = unsafe { state.register(waiter.cast_mut().cast()) };
        frees.fetch_add(usize::from(state.abandon()), Ordering::Relaxed);
        executor.join().unwrap();
        assert_eq!(counting.fired.load(Ordering::Relaxed), usize::from(waits));
        assert_eq!(frees.load(Ordering::Relaxed), 1);
    });
}

/// State: two waiters register at once, and both fire.
#[test]
fn state_keeps_waiters_that_register_at_once() {
    loom::model(|| {
        let state = Arc::new(State::pending());
        let countings: [_; 2] =
            std::array::from_fn(|_| Arc::new(Counting { waiter: Waiter::new(count), fired: AtomicUsize::new(0) }));
        let register = |which: usize| {
            let (state, counting) = (state.clone(), countings[which].clone());
            thread::spawn(move || {
                let waiter: *const Counting = &*counting;
                // SAFETY: the model keeps `countings`.
                unsafe { state.register(waiter.cast_mut().cast()) }
            })
        };
        let threads = [register(0), register(1)];
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        // SAFETY: what `complete` handed out.
        unsafe { Waiter::fire_all(state.complete().waiters) };
        assert!(countings.iter().all(|counting| counting.fired.load(Ordering::Relaxed) == 1));
    });
}

/// State: a cell that was cancelled is freed once, by the queue that lets go of it or by the last handle.
#[test]
fn state_that_is_held_is_freed_once() {
    loom::model(|| {
        let state = Arc::new(State::pending());
        assert!(state.complete_held().is_null());
        let queue = {
            let state = state.clone();
            thread::spawn(move || usize::from(state.release()))
        };
        let by_handle = usize::from(state.abandon());
        assert_eq!(by_handle + queue.join().unwrap(), 1);
    });
}

/// State: the same where the last handle goes while the cell is cancelled, as a shutdown does.
#[test]
fn state_that_is_abandoned_while_it_is_cancelled_is_freed_once() {
    loom::model(|| {
        let state = Arc::new(State::pending());
        let handle = {
            let state = state.clone();
            thread::spawn(move || usize::from(state.abandon()))
        };
        assert!(state.complete_held().is_null());
        let by_queue = usize::from(state.release());
        assert_eq!(by_queue + handle.join().unwrap(), 1);
    });
}

/// Claim and State, as a cell uses them: a handle cancels and goes while the executor takes the cell from its queue. The
/// cell is freed once, whoever comes first, and isn't touched afterwards.
#[test]
fn cell_that_is_cancelled_while_it_is_popped_is_freed_once() {
    loom::model(|| {
        let cell = Arc::new((Claim::idle(), State::pending(), AtomicUsize::new(0)));
        let free = |cell: &(Claim, State, AtomicUsize)| {
            assert_eq!(cell.2.fetch_add(1, Ordering::Relaxed), 0, "freed twice");
        };
        let executor = {
            let cell = cell.clone();
            thread::spawn(move || {
                let frees = if cell.0.start() { cell.1.complete().abandoned } else { cell.1.release() };
                frees.then(|| free(&cell));
            })
        };
        if cell.0.cancel() {
            assert!(cell.1.complete_held().is_null());
        }
        assert!(cell.2.load(Ordering::Relaxed) == 0, "freed under the handle");
        if cell.1.abandon() {
            free(&cell);
        }
        executor.join().unwrap();
        assert_eq!(cell.2.load(Ordering::Relaxed), 1, "never freed");
    });
}

/// Claim: of a start and a cancellation one wins (CELL-3), and a job that runs sees that it was cancelled.
#[test]
fn claim_goes_to_one() {
    loom::model(|| {
        let claim = Arc::new(Claim::idle());
        let starter = {
            let claim = claim.clone();
            thread::spawn(move || claim.start())
        };
        let cancelled = claim.cancel();
        let started = starter.join().unwrap();
        assert!(started ^ cancelled);
        assert!(claim.is_cancelled());
        assert_eq!(claim.never_starts(), cancelled);
    });
}

fn steal_all(deque: &Deque<usize>, tries: usize) -> usize {
    (0..tries).map(|_| if let Steal::Taken(item) = deque.steal() { number(item) } else { 0 }).sum()
}

/// Deque: while the owner pushes beyond the first ring and pops, and a thief steals, each item is taken once.
#[test]
fn deque_gives_each_item_once() {
    loom::model(|| {
        let deque = Arc::new(Deque::<usize>::with_capacity(2));
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || steal_all(&deque, 2))
        };
        let mut mine = 0;
        // SAFETY: this is the owner's thread.
        unsafe {
            for n in [1, 2, 4] {
                deque.push(item(n));
            }
            while let Some(item) = deque.pop_above(0) {
                mine += number(item);
            }
        }
        assert_eq!(mine + thief.join().unwrap(), 7);
        assert!(deque.is_empty());
    });
}

/// Deque: two thieves and the owner race for the last item.
#[test]
fn deque_gives_its_last_item_to_one() {
    loom::model(|| {
        let deque = Arc::new(Deque::<usize>::with_capacity(2));
        // SAFETY: this is the owner's thread.
        unsafe { deque.push(item(1)) };
        let thieves: [_; 2] = std::array::from_fn(|_| {
            let deque = deque.clone();
            thread::spawn(move || steal_all(&deque, 1))
        });
        // SAFETY: this is the owner's thread.
        let mine = unsafe { deque.pop_above(0) }.map_or(0, number);
        let stolen: usize = thieves.into_iter().map(|thief| thief.join().unwrap()).sum();
        assert_eq!(mine + stolen, 1);
    });
}

/// Ring: a position beyond the capacity wraps around.
#[test]
fn ring_wraps_around() {
    loom::model(|| {
        let ring = Ring::<usize>::with_capacity(2);
        ring.set(2, item(1).as_ptr());
        assert_eq!((ring.capacity(), ring.get(0)), (2, item(1).as_ptr()));
    });
}

fn take_run(outbox: &Outbox<usize>) -> usize {
    let mut run = [std::ptr::null_mut(); 4];
    let taken = outbox.steal(&mut run).unwrap_or(0);
    run[..taken].iter().map(|&item| number(NonNull::new(item).expect("an item"))).sum()
}

/// Outbox: while its producer pushes beyond the first ring, two consumers take runs, and each item goes to one.
#[test]
fn outbox_gives_each_item_once() {
    loom::model(|| {
        let outbox = Arc::new(Outbox::<usize>::with_capacity(2));
        let consumers: [_; 2] = std::array::from_fn(|_| {
            let outbox = outbox.clone();
            thread::spawn(move || take_run(&outbox))
        });
        for n in [1, 2, 4] {
            // SAFETY: this is the producer's thread.
            unsafe { outbox.push(item(n)) };
        }
        let mut taken: usize = consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum();
        while !outbox.is_empty() {
            taken += take_run(&outbox);
        }
        assert_eq!(taken, 7);
    });
}

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
