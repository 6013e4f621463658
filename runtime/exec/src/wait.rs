//! Waiting for cells: by blocking, with a deadline, for some of many, and in a future.

use crate::handle::Handle;
use crate::hub::{self, Subscription};
use crate::waiter::Waiter;
use crate::waits::{Exhausted, Place};
use crate::worker::{Worker, park};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long a thread that waits looks before it sleeps: about what waking it costs.
const SPIN: Duration = Duration::from_micros(30);

/// Of how many cells that a job waits for at once it may run some itself.
const AWAITED_MAX: usize = 64;

thread_local! {
    /// Whether the last wait of this thread ended while it looked; then looking is worth it again.
    static SPIN_PAYS: Cell<bool> = const { Cell::new(true) };
}

impl<O> Handle<O> {
    fn place(&self) -> Place {
        Place { cell: self.cell().as_ptr() as usize, mailbox: self.header().mailbox.get() }
    }

    /// Blocks until the job is done. A worker runs it itself where it lies on its own deque, else lets another thread take
    /// its place.
    ///
    /// # Errors
    /// [`Exhausted`] where all threads are taken, and the job can't be done before the one that calls this.
    #[inline]
    pub fn wait(&self) -> Result<(), Exhausted> {
        if self.is_done() { Ok(()) } else { wait_slow(self) }
    }

    /// As [`wait`](Self::wait), but gives up at `deadline`; `true` where the job is done.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        wait_some(&[self], 1, Some(deadline)) == Ok(1)
    }

    /// Completes when the job is done.
    pub fn done(&self) -> Done<'_, O> {
        Done { handle: self, subscription: None }
    }
}

#[cold]
fn wait_slow<O>(handle: &Handle<O>) -> Result<(), Exhausted> {
    let done = || handle.is_done();
    Worker::with_current(|worker| {
        if worker.is_some_and(|worker| worker.help(|cell| cell == handle.cell(), done)) || spin(done) {
            return Ok(());
        }
        match worker {
            // It may have to give up, so it waits where it can leave.
            Some(_) => park_for_some(worker, &[handle], 1, None),
            None => {
                park_until_done(handle);
                Ok(())
            }
        }
    })
}

/// Runs `f`, which may block; where this thread is a worker, another may take its place meanwhile.
pub fn blocking<R>(f: impl FnOnce() -> R) -> R {
    Worker::with_current(|worker| match worker {
        Some(worker) => worker.block(f),
        None => f(),
    })
}

/// Sleeps until `over`, or `deadline`, for something that may come from anywhere; whoever makes it so unparks this thread.
pub(crate) fn sleep(over: impl Fn() -> bool, deadline: Option<Instant>) {
    Worker::with_current(|worker| match worker {
        Some(worker) => {
            let slept = worker.sleep_until((Vec::new(), 0), over, deadline);
            slept.expect("a wait for unknown jobs may always go on");
        }
        None => park(over, deadline),
    });
}

/// Looks for a while; `true` where `done`.
fn spin(done: impl Fn() -> bool) -> bool {
    let patience = if SPIN_PAYS.get() { SPIN } else { SPIN / 8 };
    let begin = Instant::now();
    let outside = LOOK.get();
    look(outside, Look::First);
    let paid = loop {
        for _ in 0..32 {
            std::hint::spin_loop();
        }
        if done() {
            break true;
        }
        if begin.elapsed() > patience {
            break false;
        }
        match outside {
            Some(look) => look(Look::Again),
            None => std::thread::yield_now(),
        }
    };
    look(outside, if paid { Look::Over } else { Look::Sleeps });
    SPIN_PAYS.set(paid);
    paid
}

/// Which of the looks of a waiting thread it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// It begins to wait.
    First,
    /// It still does.
    Again,
    /// It waits no more.
    Over,
    /// It goes to sleep.
    Sleeps,
}

/// Where outcomes come from that no thread of this process makes.
static LOOK: OnceLock<fn(Look)> = OnceLock::new();

/// Has threads that wait look there before they sleep: `look` takes what came from another process, and completes
/// promises with it. Set once for the process.
pub fn look_outside(look: fn(Look)) {
    LOOK.get_or_init(|| look);
}

fn look(outside: Option<&fn(Look)>, which: Look) {
    if let Some(look) = outside {
        look(which);
    }
}

/// A waiter on the stack of a thread outside the pool that sleeps until it fires.
#[repr(C)]
struct Sleeper {
    waiter: Waiter,
    thread: Thread,
    fired: AtomicBool,
}

fn park_until_done<O>(handle: &Handle<O>) {
    let sleeper =
        Sleeper { waiter: Waiter::new(wake_sleeper), thread: std::thread::current(), fired: AtomicBool::new(false) };
    // SAFETY: `sleeper` stays here until it has fired, or was never registered.
    if unsafe { handle.header().state.register((&raw const sleeper).cast_mut().cast()) } {
        park(|| sleeper.fired.load(Ordering::Acquire), None);
    }
}

unsafe fn wake_sleeper(waiter: NonNull<Waiter>) {
    let sleeper = waiter.cast::<Sleeper>().as_ptr();
    // SAFETY: `Sleeper` begins with its waiter and lives until `fired` is set, so the thread is read before.
    let thread = unsafe { (*sleeper).thread.clone() };
    // SAFETY: as above.
    unsafe { (*sleeper).fired.store(true, Ordering::Release) };
    thread.unpark();
}

/// Wakes a thread once enough cells are done.
struct Countdown {
    left: AtomicUsize,
    thread: Thread,
}

impl Wake for Countdown {
    fn wake(self: Arc<Self>) {
        let left = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        if left == Ok(1) {
            self.thread.unpark();
        }
    }
}

/// Blocks until `wanted` of the jobs are done, or until `deadline`; returns how many are.
///
/// # Errors
/// [`Exhausted`] where all threads are taken, there is no deadline, and too many of the jobs can't be done before the one
/// that calls this.
pub fn wait_some<O>(handles: &[&Handle<O>], wanted: usize, deadline: Option<Instant>) -> Result<usize, Exhausted> {
    let wanted = wanted.min(handles.len());
    loop {
        let ready = count_done(handles, wanted);
        if ready >= wanted || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(ready);
        }
        Worker::with_current(|worker| {
            let enough = || count_done(handles, wanted) >= wanted;
            let is_awaited = |cell| handles.iter().take(AWAITED_MAX).any(|handle| handle.cell() == cell);
            // Where some of them will do, or none in time, one that is run here may rightly wait for this very job.
            let needs_all = wanted == handles.len() && deadline.is_none();
            if worker.is_some_and(|worker| needs_all && worker.help(is_awaited, enough)) || spin(enough) {
                return Ok(());
            }
            park_for_some(worker, handles, wanted, deadline)
        })?;
    }
}

fn count_done<O>(handles: &[&Handle<O>], enough: usize) -> usize {
    handles.iter().filter(|handle| handle.is_done()).take(enough).count()
}

fn park_for_some<O>(
    worker: Option<&Worker>,
    handles: &[&Handle<O>],
    wanted: usize,
    deadline: Option<Instant>,
) -> Result<(), Exhausted> {
    let countdown = Arc::new(Countdown { left: AtomicUsize::new(wanted), thread: std::thread::current() });
    let waker = Waker::from(countdown.clone());
    let mut subscriptions = Vec::with_capacity(handles.len());
    for handle in handles {
        match hub::subscribe(handle, &waker) {
            Some(subscription) => subscriptions.push(subscription),
            None => waker.wake_by_ref(),
        }
    }
    let over = || countdown.left.load(Ordering::Acquire) == 0;
    let Some(worker) = worker else {
        park(over, deadline);
        return Ok(());
    };
    let left: Vec<_> = handles.iter().filter(|handle| !handle.is_done()).map(|handle| handle.place()).collect();
    let wanted = wanted.saturating_sub(handles.len() - left.len());
    worker.sleep_until((left, wanted), over, deadline)
}

/// A future that is ready once a job is done; see [`Handle::done`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Done<'a, O> {
    handle: &'a Handle<O>,
    subscription: Option<Subscription>,
}

impl<O> Future for Done<'_, O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.handle.is_done() {
            return Poll::Ready(());
        }
        if self.subscription.as_ref().is_some_and(|subscription| subscription.update(context.waker())) {
            return Poll::Pending;
        }
        self.subscription = hub::subscribe(self.handle, context.waker());
        if self.subscription.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}
