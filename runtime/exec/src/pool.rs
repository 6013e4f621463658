//! The pool: worker threads that come when there is work, and everything they share.

use crate::cell::{self, Header};
use crate::deque::{Deque, Steal};
use crate::ending::Ending;
use crate::gate::Gate;
use crate::lane;
use crate::outbox::Outbox;
use crate::outcome::Fault;
use crate::waiter::Waiter;
use crate::waits::Waits;
use crate::worker::Worker;
use crossbeam_queue::SegQueue;
use crossbeam_utils::CachePadded;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

/// How a pool is made.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// How many workers may run at once.
    pub workers: usize,
    /// How many threads there may be in all, with those that stand in for workers that block.
    pub threads_max: usize,
    /// Virtual size of a worker's stack, in bytes; memory is used as it is touched.
    pub stack_bytes: usize,
    /// How long a worker looks for work, and a `get` for its outcome, before it sleeps.
    pub spin: Duration,
    /// Prefix of the threads' names.
    pub thread_name: &'static str,
    /// Called, on any thread, when the pool has come down to its target after it was lowered.
    pub on_shrunk: fn(),
    /// Called by a worker that blocks, just before, and just after with `false`.
    pub on_block: fn(bool),
    /// Runs one poll of a future, inside whatever context its wakers need.
    pub poll_in: fn(&mut dyn FnMut()),
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            threads_max: 512,
            stack_bytes: 32 << 20,
            spin: Duration::from_micros(50),
            thread_name: "worker",
            on_shrunk: || {},
            on_block: |_| {},
            poll_in: |poll| poll(),
        }
    }
}

/// A pool of workers. A cheap copy; the pool lives until [`shutdown`](Self::shutdown).
///
/// What its workers share (about 20 KB) is never freed, since a cell that waits for its arguments may outlive the
/// pool: it then ends with [`Fault::Shutdown`].
#[derive(Clone, Copy)]
pub struct Pool(&'static Shared);

pub(crate) struct Shared {
    pub(crate) gate: CachePadded<Gate>,
    seats: Box<[OnceLock<Seat>]>,
    pub(crate) seated: AtomicUsize,
    /// Cells that go before all others.
    urgent: SegQueue<Urgent>,
    outboxes: Mutex<Vec<Arc<Outbox<Header>>>>,
    pub(crate) outboxes_version: AtomicUsize,
    threads: Mutex<Threads>,
    /// The promises of futures that haven't ended, by the callers that they are: on the list, a promise lives.
    futures: Mutex<HashMap<u64, Promised>>,
    /// The mailboxes, by their addresses; `None` once the pool is shut down.
    mailboxes: Mutex<Option<HashMap<usize, Weak<dyn Halt>>>>,
    pub(crate) waits: Waits,
    shrinking: AtomicBool,
    /// As the gate says, but on a line that nobody writes to: it is read before each push.
    closed: CachePadded<AtomicBool>,
    ending: Ending,
    pub(crate) options: PoolOptions,
}

/// What has to end with its pool.
pub(crate) trait Halt: Send + Sync {
    /// The pool is closed: ends what waits in it, now and from now on.
    fn halt(self: Arc<Self>);
}

struct Promised(NonNull<Header>);

// SAFETY: a promise's cell is only cancelled here, which any thread may do.
unsafe impl Send for Promised {}

struct Urgent(NonNull<Header>);

// SAFETY: the executor's share of a cell, which may be used on any one thread at a time.
unsafe impl Send for Urgent {}

/// What others may know of a worker: its deque, and how to wake it.
pub(crate) struct Seat {
    pub(crate) deque: Deque<Header>,
    pub(crate) called: AtomicBool,
    thread: OnceLock<Thread>,
}

#[derive(Default)]
struct Threads {
    asleep: Vec<usize>,
    started: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool without a thread; they start when work comes.
    ///
    /// # Panics
    /// Where `workers` is more than `threads_max`, or `threads_max` is over 65,535.
    pub fn new(options: PoolOptions) -> Self {
        let fits = options.workers <= options.threads_max && options.threads_max < 1 << 16;
        assert!(fits, "a pool needs workers <= threads_max < 65,536; got {options:?}");
        Self(Box::leak(Box::new(Shared {
            gate: CachePadded::new(Gate::new(options.workers)),
            seats: (0..options.threads_max).map(|_| OnceLock::new()).collect(),
            seated: AtomicUsize::new(0),
            urgent: SegQueue::new(),
            outboxes: Mutex::default(),
            outboxes_version: AtomicUsize::new(0),
            threads: Mutex::default(),
            futures: Mutex::default(),
            mailboxes: Mutex::new(Some(HashMap::new())),
            waits: Waits::default(),
            shrinking: AtomicBool::new(false),
            closed: CachePadded::new(AtomicBool::new(false)),
            ending: Ending::default(),
            options,
        })))
    }

    pub(crate) fn options(&self) -> &'static PoolOptions {
        &self.0.options
    }

    #[inline]
    pub(crate) fn shared(&self) -> &'static Shared {
        self.0
    }

    /// How many threads the pool has started and not yet joined.
    pub fn threads(&self) -> usize {
        self.0.lock_threads().started.len()
    }

    /// How many workers may run at once from now on, at most `threads_max`. `on_shrunk` is called once no more than that
    /// run.
    pub fn set_workers(&self, workers: usize) {
        let shared = self.0;
        shared.gate.set_target(workers.min(shared.options.threads_max));
        shared.shrinking.store(true, Ordering::SeqCst);
        shared.report_shrunk();
        if shared.has_work() {
            shared.wake();
        }
    }

    /// Lets running jobs end, gives all others the outcome of [`Fault::Shutdown`], also those in mailboxes, and joins all
    /// threads. Whoever calls it meanwhile blocks until that is done, too.
    ///
    /// # Panics
    /// On a thread of the pool itself, which would wait for itself.
    pub fn shutdown(&self) {
        assert!(!Worker::is_current(self.0), "a pool can't be shut down by one of its own workers");
        let shared = self.0;
        let Some(duty) = shared.ending.begin() else { return };
        shared.gate.close();
        shared.closed.store(true, Ordering::SeqCst);
        shared.cancel_futures();
        shared.halt_mailboxes();
        let started = std::mem::take(&mut shared.lock_threads().started);
        // A running job may wait for one that is queued: fail those for as long as any thread lives.
        while !started.iter().all(JoinHandle::is_finished) {
            shared.wake_everybody();
            shared.fail_queued();
            std::thread::sleep(Duration::from_micros(100));
        }
        for thread in started {
            thread.join().expect("a worker contains the panics of its jobs");
        }
        // Who queued something before this left it to this thread.
        duty.leave();
        shared.fail_queued();
    }
}

impl Shared {
    /// Queues a cell that may start, which is the executor's share of it, and sees that somebody is awake.
    #[inline]
    pub(crate) fn queue(&'static self, cell: NonNull<Header>) {
        if self.closed.load(Ordering::Relaxed) {
            return self.refuse(cell);
        }
        self.push(cell);
        self.after_push();
    }

    /// As `queue`, behind what this thread has queued: for a job that would else run again at once, for ever.
    pub(crate) fn queue_behind(&'static self, cell: NonNull<Header>) {
        // A worker that does this has an outbox as well, which it gets to after its deque, and now and then before.
        lane::push(self, cell);
        self.after_push();
    }

    #[inline]
    fn push(&'static self, cell: NonNull<Header>) {
        if !Worker::push_current(self, cell) {
            lane::push(self, cell);
        }
    }

    /// As `queue`, before all that is queued.
    pub(crate) fn queue_urgent(&'static self, cell: NonNull<Header>) {
        self.urgent.push(Urgent(cell));
        self.after_push();
    }

    #[inline]
    fn after_push(&'static self) {
        let now = self.gate.read_after_push();
        if now.wants_wake() {
            self.wake();
        }
        if now.is_closed() {
            self.fail_left_over();
        }
    }

    /// Wakes or starts one worker, if one is wanted.
    #[cold]
    pub(crate) fn wake(&'static self) {
        if !self.gate.try_wake() {
            return;
        }
        let mut threads = self.lock_threads();
        if let Some(index) = threads.asleep.pop() {
            drop(threads);
            return self.seat(index).call();
        }
        if !self.start_thread(&mut threads) {
            // All threads that there may be block. The next one that goes on looks for work itself.
            self.gate.end_search();
            self.gate.leave();
        }
    }

    fn start_thread(&'static self, threads: &mut Threads) -> bool {
        let index = self.seated.load(Ordering::Acquire);
        if index == self.options.threads_max || self.gate.read().is_closed() {
            return false;
        }
        self.seats[index].get_or_init(Seat::new);
        // First: what the new thread pushes is found by others, should it then block.
        self.seated.store(index + 1, Ordering::Release);
        let name = format!("{}-{index}", self.options.thread_name);
        let builder = std::thread::Builder::new().name(name).stack_size(self.options.stack_bytes);
        let Ok(handle) = builder.spawn(move || Worker::run(self, index)) else {
            self.seated.store(index, Ordering::Release);
            return false;
        };
        // The thread may run already; nobody calls it before it has gone to sleep, which takes this lock.
        let _ = self.seat(index).thread.set(handle.thread().clone());
        threads.started.push(handle);
        true
    }

    /// Puts a worker on the list of those to wake. `leave` tells the gate, under the list's lock.
    pub(crate) fn lie_down(&self, index: usize, leave: impl FnOnce(&Gate)) {
        let mut threads = self.lock_threads();
        threads.asleep.push(index);
        leave(&self.gate);
    }

    /// Takes a worker off the list of those to wake; `false` where somebody has, and calls it.
    pub(crate) fn get_up(&self, index: usize) -> bool {
        let mut threads = self.lock_threads();
        let place = threads.asleep.iter().position(|asleep| *asleep == index);
        place.map(|place| threads.asleep.swap_remove(place)).is_some()
    }

    /// Whether all threads that there may be are started.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.seated.load(Ordering::Acquire) == self.options.threads_max
    }

    pub(crate) fn does_any_sleep(&self) -> bool {
        !self.lock_threads().asleep.is_empty()
    }

    fn wake_everybody(&self) {
        let asleep = std::mem::take(&mut self.lock_threads().asleep);
        self.gate.call(asleep.len());
        asleep.into_iter().for_each(|index| self.seat(index).call());
    }

    fn lock_threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn seat(&self, index: usize) -> &Seat {
        self.seats[index].get().expect("a worker's seat is made before its thread")
    }

    pub(crate) fn seats(&self) -> impl Iterator<Item = &Seat> {
        (0..self.seated.load(Ordering::Acquire)).map(|index| self.seat(index))
    }

    #[inline]
    pub(crate) fn take_urgent(&self) -> Option<NonNull<Header>> {
        if self.urgent.is_empty() { None } else { self.urgent.pop().map(|urgent| urgent.0) }
    }

    /// Whether anything is queued anywhere, for one who has just said in the gate what may keep others from looking.
    pub(crate) fn has_work(&self) -> bool {
        self.gate.order_look();
        !self.urgent.is_empty()
            || self.seats().any(|seat| !seat.deque.is_empty())
            || self.outboxes().iter().any(|outbox| !outbox.is_empty())
    }

    /// The outboxes that may hold something or get something.
    pub(crate) fn outboxes(&self) -> Vec<Arc<Outbox<Header>>> {
        let mut outboxes = self.outboxes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        outboxes.retain(|outbox| !outbox.is_orphaned() || !outbox.is_empty());
        outboxes.clone()
    }

    pub(crate) fn add_outbox(&self, outbox: Arc<Outbox<Header>>) {
        self.outboxes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(outbox);
        self.outboxes_version.fetch_add(1, Ordering::Release);
    }

    /// Tells, once, that the pool has come down to a lowered target.
    pub(crate) fn report_shrunk(&self) {
        let now = self.gate.read();
        if now.awake() <= now.target() && self.shrinking.swap(false, Ordering::SeqCst) {
            (self.options.on_shrunk)();
        }
    }

    pub(crate) fn is_shrinking(&self) -> bool {
        self.shrinking.load(Ordering::Relaxed)
    }

    /// The pool is closed: ends a cell that was to be queued, here, and nobody else's. What that makes ready is queued, as
    /// a chain of jobs may be longer than the stack.
    #[cold]
    fn refuse(&'static self, cell: NonNull<Header>) {
        if !lane::begin_failing() {
            return self.push(cell);
        }
        // SAFETY: the executor's share of the cell, which is not queued.
        unsafe { cell::fail(cell, Fault::Shutdown) };
        lane::end_failing();
        self.fail_left_over();
    }

    /// The thread that shuts down ends what is queued on its own stack, until the pool has ended; then whoever comes does.
    #[cold]
    fn fail_left_over(&self) {
        if self.ending.is_over() {
            self.fail_queued();
        }
    }

    /// The pool is closed: ends what is queued. What that makes ready is queued again, and met in the next round.
    #[cold]
    fn fail_queued(&self) {
        if !lane::begin_failing() {
            return;
        }
        while let Some(cell) = self.take_any() {
            // SAFETY: taken from a queue.
            unsafe { cell::fail(cell, Fault::Shutdown) };
        }
        lane::end_failing();
    }

    /// Puts the promise of a future on the list of those that a shutdown cancels: what it waits for may keep it for ever.
    ///
    /// # Safety
    /// `cell` is that of a promise that lives until `unlist_future`.
    pub(crate) unsafe fn list_future(&self, key: u64, cell: NonNull<Header>) {
        self.lock_futures().insert(key, Promised(cell));
    }

    pub(crate) fn unlist_future(&self, key: u64) {
        self.lock_futures().remove(&key);
    }

    /// Cancels all futures: each is then queued for its last poll, and dropped with that.
    fn cancel_futures(&self) {
        let futures = self.lock_futures();
        // SAFETY: a promise on the list lives, and can't leave it before the lock is free.
        let waiters: Vec<_> = futures.values().map(|promised| unsafe { cell::cancel_unheard(promised.0) }).collect();
        drop(futures);
        // SAFETY: each list was handed out just now, and is fired once.
        waiters.into_iter().for_each(|list| unsafe { Waiter::fire_all(list) });
    }

    /// Has a mailbox halted when the pool is shut down; `false` where it is.
    pub(crate) fn list_mailbox(&self, key: usize, mailbox: Weak<dyn Halt>) -> bool {
        self.lock_mailboxes().as_mut().map(|mailboxes| mailboxes.insert(key, mailbox)).is_some()
    }

    pub(crate) fn unlist_mailbox(&self, key: usize) {
        let gone = self.lock_mailboxes().as_mut().and_then(|mailboxes| mailboxes.remove(&key));
        drop(gone);
    }

    fn halt_mailboxes(&self) {
        let mailboxes = self.lock_mailboxes().take().unwrap_or_default();
        mailboxes.into_values().filter_map(|mailbox| mailbox.upgrade()).for_each(Halt::halt);
    }

    fn lock_mailboxes(&self) -> MutexGuard<'_, Option<HashMap<usize, Weak<dyn Halt>>>> {
        self.mailboxes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn lock_futures(&self) -> MutexGuard<'_, HashMap<u64, Promised>> {
        self.futures.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn take_any(&self) -> Option<NonNull<Header>> {
        if let Some(cell) = self.take_urgent() {
            return Some(cell);
        }
        let taken = self.seats().find_map(|seat| {
            loop {
                match seat.deque.steal() {
                    Steal::Taken(cell) => return Some(cell),
                    Steal::Empty => return None,
                    Steal::Retry => {}
                }
            }
        });
        taken.or_else(|| self.outboxes().iter().find_map(|outbox| take_one(outbox)))
    }
}

fn take_one(outbox: &Outbox<Header>) -> Option<NonNull<Header>> {
    let mut one = [std::ptr::null_mut()];
    loop {
        match outbox.steal(&mut one) {
            Some(0) => return None,
            Some(_) => return NonNull::new(one[0]),
            None => {}
        }
    }
}

impl Seat {
    fn new() -> Self {
        Self { deque: Deque::with_capacity(256), called: AtomicBool::new(false), thread: OnceLock::new() }
    }

    /// Wakes the worker, which lies or is about to.
    fn call(&self) {
        self.called.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}
