//! A worker: one thread of the pool, which looks for cells and runs them.

mod stand_by;

pub(crate) use stand_by::park;

use crate::cell::{self, Header};
use crate::deque::Steal;
use crate::outbox::Outbox;
use crate::pool::{Seat, Shared};
use crate::sync::Ordering;
use crate::waits::Place;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

/// Every so many jobs a worker looks at the outboxes first, and whether it is still wanted.
const TICKS: u32 = 61;
/// The longest run of cells taken from an outbox at once.
const RUN: usize = 64;
/// How deep jobs may be nested on one stack, by waiting for each other, before the thread rather blocks.
const DEPTH_MAX: u32 = 256;
/// How many cells on top of its deque a job that waits looks at.
const REACH: usize = 16;

thread_local! {
    static CURRENT: Cell<*const Worker> = const { Cell::new(std::ptr::null()) };
}

/// A worker's own state; others see only its [`Seat`].
pub(crate) struct Worker {
    shared: &'static Shared,
    index: usize,
    seat: &'static Seat,
    ticks: Cell<u32>,
    random: Cell<u64>,
    outboxes: RefCell<Outboxes>,
    frame: Cell<Frame>,
    /// The jobs on this stack that wait, while others run on top of them.
    suspended: RefCell<Vec<Place>>,
}

/// The job that runs now, and where what was pushed since it began starts on the deque.
#[derive(Clone, Copy)]
struct Frame {
    cell: Option<NonNull<Header>>,
    mark: isize,
    depth: u32,
    /// Who calls actors, 0 until it does.
    caller: u64,
    /// The mailbox whose other messages wait until this job ends, 0 for none.
    mailbox: u32,
}

#[derive(Default)]
struct Outboxes {
    version: usize,
    /// The one to begin with: the next after the last that had something, or it could keep the others waiting.
    first: usize,
    known: Vec<Arc<Outbox<Header>>>,
}

impl Worker {
    /// The body of a worker's thread; it was counted as awake and searching by whoever started it.
    pub(crate) fn run(shared: &'static Shared, index: usize) {
        let worker = Self {
            shared,
            index,
            seat: shared.seat(index),
            ticks: Cell::new(0),
            random: Cell::new(0x9E37_79B9_7F4A_7C15 ^ (index as u64 + 1)),
            outboxes: RefCell::default(),
            frame: Cell::new(Frame { cell: None, mark: 0, depth: 0, caller: 0, mailbox: 0 }),
            suspended: RefCell::default(),
        };
        CURRENT.set(&worker);
        worker.work();
        CURRENT.set(std::ptr::null());
    }

    /// Calls `f` with the worker that this thread is, if it is one.
    #[inline]
    pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Worker>) -> R) -> R {
        let current = CURRENT.get();
        // SAFETY: set by `run` for as long as the worker lives, on its own stack and thread.
        f(unsafe { current.as_ref() })
    }

    pub(crate) fn is_current(shared: &'static Shared) -> bool {
        Self::with_current(|worker| worker.is_some_and(|worker| std::ptr::eq(worker.shared, shared)))
    }

    /// Queues a cell on this thread's deque; `false` where it isn't a worker of that pool.
    #[inline]
    pub(crate) fn push_current(shared: &'static Shared, cell: NonNull<Header>) -> bool {
        Self::with_current(|worker| match worker {
            Some(worker) if std::ptr::eq(worker.shared, shared) => {
                // SAFETY: this is the owner's thread.
                unsafe { worker.seat.deque.push(cell) };
                true
            }
            _ => false,
        })
    }

    /// The job in `cell` is over; nobody may ask it anything from now on.
    pub(crate) fn forget_job(cell: NonNull<Header>) {
        Self::with_current(|worker| {
            if let Some(worker) = worker.filter(|worker| worker.frame.get().cell == Some(cell)) {
                worker.frame.set(Frame { cell: None, ..worker.frame.get() });
            }
        });
    }

    /// Runs `f` with `cell` as the current job: a method or a future, which the worker's own job runs. `mailbox` is one
    /// that it holds meanwhile, or 0.
    pub(crate) fn with_job<R>(cell: NonNull<Header>, caller: u64, mailbox: u32, f: impl FnOnce() -> R) -> R {
        Self::with_current(|worker| {
            let Some(worker) = worker else { return f() };
            let below = worker.frame.get();
            worker.frame.set(Frame { cell: Some(cell), mark: worker.seat.deque.mark(), caller, mailbox, ..below });
            let result = f();
            worker.frame.set(below);
            result
        })
    }

    /// The identity of this job as a caller of actors, made by `make` when it is first asked for.
    pub(crate) fn caller(&self, make: impl FnOnce() -> u64) -> u64 {
        let mut frame = self.frame.get();
        if frame.caller == 0 {
            frame.caller = make();
            self.frame.set(frame);
        }
        frame.caller
    }

    /// The job that this thread runs.
    pub(crate) fn current_job(&self) -> Option<NonNull<Header>> {
        self.frame.get().cell
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Runs what this job waits for itself, where it lies on top of this worker's deque, until `done` or there is no more
    /// of it; `true` where done.
    ///
    /// Only what it waits for: that can't wait for a job that is suspended on this stack without being stuck anyway. Any
    /// other job on the deque may, a child of this one as well as a runner of a mailbox.
    pub(crate) fn help(&self, is_awaited: impl Fn(NonNull<Header>) -> bool, done: impl Fn() -> bool) -> bool {
        let frame = self.frame.get();
        while !done() {
            if frame.depth >= DEPTH_MAX {
                return false;
            }
            match self.pull_out(frame.mark, &is_awaited) {
                Some(cell) => self.suspended(|| self.execute(cell)),
                None => return done(),
            }
        }
        true
    }

    /// Takes an awaited cell out of the few on top of the deque; what lay above it stays there, for thieves too.
    fn pull_out(&self, mark: isize, is_awaited: impl Fn(NonNull<Header>) -> bool) -> Option<NonNull<Header>> {
        let mut above = [None; REACH];
        let (mut passed, mut found) = (0, None);
        while passed < REACH {
            // SAFETY: this is the owner's thread.
            let Some(cell) = (unsafe { self.seat.deque.pop_above(mark) }) else { break };
            if is_awaited(cell) {
                found = Some(cell);
                break;
            }
            above[passed] = Some(cell);
            passed += 1;
        }
        for cell in above[..passed].iter().rev().flatten() {
            // SAFETY: this is the owner's thread.
            unsafe { self.seat.deque.push(*cell) };
        }
        found
    }

    /// Runs `f`, which blocks, while another thread may take this worker's place.
    pub(crate) fn block<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Back<'a>(&'a Worker);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.shared.gate.enter();
                (self.0.shared.options.on_block)(false);
            }
        }
        (self.shared.options.on_block)(true);
        self.shared.gate.leave();
        self.settle();
        let _back = Back(self);
        f()
    }

    /// After this worker left its place: somebody must be awake for what is queued.
    fn settle(&self) {
        if self.shared.is_shrinking() {
            self.shared.report_shrunk();
        }
        if self.shared.has_work() {
            self.shared.wake();
        }
    }

    fn work(&self) {
        let mut searching = true;
        loop {
            let found = if searching { self.search() } else { self.next() };
            match found {
                Some(cell) => {
                    self.execute(cell);
                    searching = self.tick();
                }
                None if !searching => {
                    self.shared.gate.start_search();
                    searching = true;
                }
                None if self.shared.gate.read().is_closed() => return self.shared.gate.sleep(),
                None => self.sleep(),
            }
        }
    }

    #[inline]
    fn execute(&self, cell: NonNull<Header>) {
        let below = self.frame.get();
        self.frame.set(Frame {
            cell: Some(cell),
            mark: self.seat.deque.mark(),
            depth: below.depth + 1,
            caller: 0,
            mailbox: 0,
        });
        // SAFETY: taken from a queue.
        unsafe { cell::run(cell, std::ptr::null()) };
        self.frame.set(below);
    }

    /// The next cell, without searching.
    #[inline]
    fn next(&self) -> Option<NonNull<Header>> {
        if self.ticks.get() == 0 {
            // Now and then the outboxes go first, or jobs that beget jobs would keep them waiting for ever.
            return self.take_run().or_else(|| self.pop());
        }
        self.shared.take_urgent().or_else(|| self.pop()).or_else(|| self.take_run())
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<Header>> {
        // SAFETY: this is the owner's thread.
        unsafe { self.seat.deque.pop_above(0) }
    }

    /// Counts a job. Now and then looks whether this worker is over the target, and then rests; `true` where it did,
    /// and was called back to search.
    #[inline]
    fn tick(&self) -> bool {
        let ticks = self.ticks.get();
        self.ticks.set(if ticks == 0 { TICKS } else { ticks - 1 });
        ticks == 0 && self.rest()
    }

    #[cold]
    fn rest(&self) -> bool {
        if self.shared.gate.read().is_closed() {
            self.shared.gate.start_search();
            return true;
        }
        let over = self.shared.gate.leave_if_over();
        if over {
            self.retire();
        }
        over
    }

    /// Looks everywhere for a while. This worker is counted as searching; afterwards it isn't, if it found something.
    fn search(&self) -> Option<NonNull<Header>> {
        let begin = Instant::now();
        let mut rounds = 0u32;
        while !self.shared.gate.read().is_closed() {
            if let Some(cell) = self.look() {
                if self.shared.gate.end_search() {
                    self.wake_next();
                }
                return Some(cell);
            }
            rounds += 1;
            std::hint::spin_loop();
            if rounds.is_multiple_of(16) {
                if begin.elapsed() > self.shared.options.spin {
                    return None;
                }
                std::thread::yield_now();
            }
        }
        None
    }

    /// GATE-2: the last searcher found work, so another may be worth waking.
    fn wake_next(&self) {
        if self.shared.gate.read().wants_wake() && self.shared.has_work() {
            self.shared.wake();
        }
    }

    fn look(&self) -> Option<NonNull<Header>> {
        self.shared.take_urgent().or_else(|| self.pop()).or_else(|| self.take_run()).or_else(|| self.rob())
    }

    /// Takes a run of cells from an outbox: returns the oldest, and puts the rest on the deque, oldest on top.
    fn take_run(&self) -> Option<NonNull<Header>> {
        let mut outboxes = self.outboxes.borrow_mut();
        outboxes.refresh(self.shared);
        let mut run = [std::ptr::null_mut(); RUN];
        let (before, from) = outboxes.known.split_at(outboxes.first.min(outboxes.known.len()));
        for (passed, outbox) in from.iter().chain(before).enumerate() {
            let Some(first) = self.take_run_of(outbox, &mut run) else { continue };
            outboxes.first = if passed < from.len() { before.len() + passed + 1 } else { passed - from.len() + 1 };
            return Some(first);
        }
        None
    }

    #[inline]
    fn take_run_of(&self, outbox: &Outbox<Header>, run: &mut [*mut Header; RUN]) -> Option<NonNull<Header>> {
        while !outbox.is_empty() {
            let Some(taken) = outbox.steal(run) else { continue };
            run[..taken].iter().for_each(|&cell| prefetch(cell));
            for &cell in run[..taken].iter().skip(1).rev() {
                // SAFETY: this is the owner's thread; an outbox holds no null.
                unsafe { self.seat.deque.push(NonNull::new_unchecked(cell)) };
            }
            if taken > 0 {
                return NonNull::new(run[0]);
            }
        }
        None
    }

    /// Takes the oldest cell of another worker, beginning with a random one.
    fn rob(&self) -> Option<NonNull<Header>> {
        let seats = self.shared.seated.load(Ordering::Acquire).max(1);
        let first = self.next_random() as usize % seats;
        (0..seats).map(|offset| (first + offset) % seats).filter(|&index| index != self.index).find_map(|index| {
            let deque = &self.shared.seat(index).deque;
            loop {
                match deque.steal() {
                    Steal::Taken(cell) => return Some(cell),
                    Steal::Empty => return None,
                    Steal::Retry => std::hint::spin_loop(),
                }
            }
        })
    }

    /// SplitMix64's stepping with a xorshift: enough to spread thieves.
    fn next_random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        x
    }

    /// Sleeps until called. Called, it counts as awake and searching.
    fn sleep(&self) {
        self.shared.lie_down(self.index, |gate| gate.sleep());
        self.settle();
        self.wait_for_call();
    }

    /// This worker gave up its place: as `sleep`, but it didn't search.
    fn retire(&self) {
        self.shared.lie_down(self.index, |_| ());
        self.settle();
        self.wait_for_call();
    }

    fn wait_for_call(&self) {
        while !self.seat.called.swap(false, Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

impl Outboxes {
    fn refresh(&mut self, shared: &'static Shared) {
        let version = shared.outboxes_version.load(Ordering::Acquire);
        if version != self.version {
            self.known = shared.outboxes();
            self.version = version;
        }
    }
}

/// Asks for the line of a cell that is about to be run: it is in another core's cache, 100 ns and more away.
#[inline]
fn prefetch(cell: *mut Header) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch touches no memory that the program sees, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(cell.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = cell;
}
