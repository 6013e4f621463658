//! The words of a cell: `state`, with its waiters, and `claim`.

use crate::claim::Claim;
use crate::state::State;
use crate::waiter::Waiter;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::ptr::NonNull;

/// A waiter that counts its firings.
#[repr(C)]
struct Counting {
    waiter: Waiter,
    fired: AtomicUsize,
}

/// A cell as those who share it see it: its words, and memory that they read while they have a share, and that is written
/// when it is freed. Loom tells if one doesn't come after the other.
struct Model {
    claim: Claim,
    state: State,
    memory: UnsafeCell<bool>,
}

// SAFETY: loom watches `memory`.
unsafe impl Sync for Model {}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self { claim: Claim::idle(), state: State::pending(), memory: UnsafeCell::new(false) })
    }

    /// Uses the share of the cell that the caller has.
    fn touch(&self) {
        // SAFETY: as above.
        self.memory.with(|freed| assert!(!unsafe { *freed }, "used after it was freed"));
    }

    fn free_if(&self, frees: bool) -> usize {
        if frees {
            // SAFETY: as above.
            self.memory.with_mut(|freed| unsafe { assert!(!std::mem::replace(&mut *freed, true), "freed twice") });
        }
        usize::from(frees)
    }

    fn abandon(&self) -> usize {
        self.touch();
        self.free_if(self.state.abandon())
    }

    fn release(&self) -> usize {
        self.touch();
        self.free_if(self.state.release())
    }

    fn complete(&self) -> usize {
        self.touch();
        self.free_if(self.state.complete().abandoned)
    }
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

/// State: a cell is freed once, by its executor or its last handle, and after all have used it (CELL-1).
#[test]
fn state_that_is_abandoned_while_it_completes_is_freed_once() {
    loom::model(|| {
        let cell = Model::new();
        let executor = {
            let cell = cell.clone();
            thread::spawn(move || cell.complete())
        };
        let by_handle = cell.abandon();
        assert_eq!(by_handle + executor.join().unwrap(), 1);
    });
}

/// State: a waiter that a promise registers keeps the marks, here that of the last handle, which goes meanwhile.
#[test]
fn state_keeps_its_marks_when_a_waiter_registers() {
    loom::model(|| {
        let cell = Model::new();
        let counting = Arc::new(Counting { waiter: Waiter::new(count), fired: AtomicUsize::new(0) });
        let handle = {
            let cell = cell.clone();
            thread::spawn(move || cell.abandon())
        };
        let waiter: *const Counting = &*counting;
        // SAFETY: `counting` outlives the model's threads.
        assert!(unsafe { cell.state.register(waiter.cast_mut().cast()) });
        let by_promise = cell.complete();
        assert_eq!(by_promise + handle.join().unwrap(), 1);
    });
}

/// State: a cell that was cancelled is freed once, by the queue that lets go of it or by the last handle.
#[test]
fn state_that_is_held_is_freed_once() {
    loom::model(|| {
        let cell = Model::new();
        assert!(cell.state.complete_held().is_null());
        let queue = {
            let cell = cell.clone();
            thread::spawn(move || cell.release())
        };
        let by_handle = cell.abandon();
        assert_eq!(by_handle + queue.join().unwrap(), 1);
    });
}

/// State: the same where the last handle goes while the cell is cancelled through its promise, as a shutdown does.
#[test]
fn state_that_is_abandoned_while_it_is_cancelled_is_freed_once() {
    loom::model(|| {
        let cell = Model::new();
        let handle = {
            let cell = cell.clone();
            thread::spawn(move || cell.abandon())
        };
        cell.touch();
        assert!(cell.state.complete_held().is_null());
        let by_promise = cell.release();
        assert_eq!(by_promise + handle.join().unwrap(), 1);
    });
}

/// Claim and State, as a cell uses them: a handle cancels and goes while the executor takes the cell from its queue. The
/// cell is freed once, whoever comes first, and isn't touched afterwards.
#[test]
fn cell_that_is_cancelled_while_it_is_popped_is_freed_once() {
    loom::model(|| {
        let cell = Model::new();
        let executor = {
            let cell = cell.clone();
            thread::spawn(move || if cell.claim.start() { cell.complete() } else { cell.release() })
        };
        if cell.claim.cancel() {
            cell.touch();
            assert!(cell.state.complete_held().is_null());
        }
        let by_handle = cell.abandon();
        assert_eq!(by_handle + executor.join().unwrap(), 1);
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
