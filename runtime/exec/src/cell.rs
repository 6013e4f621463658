//! The cell: one allocation that holds a job until it runs and its outcome afterwards.

use crate::claim::Claim;
use crate::outcome::{Fault, Outcome, panicked};
use crate::state::State;
use crate::waiter::Waiter;
use crate::worker::Worker;
use std::cell::{Cell as Plain, UnsafeCell};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the executor knows about a cell: how to run it, and who still needs it.
///
/// The executor's own share isn't counted: it has one until the cell is done (CELL-1). `handles` counts handles only.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) vtable: &'static VTable,
    pub(crate) state: State,
    handles: AtomicU32,
    /// Dependencies that aren't ready, plus one while the cell is being set up.
    pub(crate) pending: AtomicU32,
    pub(crate) claim: Claim,
    holds: Plain<Holds>,
    /// The mailbox that the job was sent to, 0 for a task; written before anybody else knows the cell.
    pub(crate) mailbox: Plain<u32>,
}

/// What the body of a cell holds; written by whoever has the claim, read by others only after `DONE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    Job,
    Outcome,
    Nothing,
}

/// The operations of one type of cell.
pub(crate) struct VTable {
    /// Runs the job of a cell whose claim the caller has started.
    run: unsafe fn(NonNull<Header>, Env),
    /// All dependencies are ready: queues the cell where it belongs.
    pub(crate) ready: unsafe fn(NonNull<Header>),
    /// Drops the job unrun and leaves the outcome of a fault.
    fail: unsafe fn(NonNull<Header>, Fault),
    /// Drops what the body holds and frees the cell.
    free: unsafe fn(NonNull<Header>),
    /// Drops the job of a cell that was cancelled before it started.
    discard: unsafe fn(NonNull<Header>),
    outcome_offset: usize,
    pub(crate) name: &'static str,
    /// A method that needs its actor for itself.
    pub(crate) exclusive: bool,
}

/// What the runner of a cell hands to its job: nothing to a task, the mailbox to a method.
pub(crate) type Env = *const ();

/// A function to be run once, with the name that errors and logs give it.
///
/// # Safety
/// `run` may rely on `env` being what the queue that `ready` chooses hands out.
pub(crate) unsafe trait Job: Send + 'static {
    type Outcome: Outcome;
    const NAME: &'static str;
    const EXCLUSIVE: bool = false;

    /// # Safety
    /// `env` is what the queue of this job hands out.
    unsafe fn run(self, env: Env) -> Self::Outcome;

    /// Ends unrun.
    fn fail(self, fault: Fault) -> Self::Outcome
    where
        Self: Sized,
    {
        let outcome = Outcome::from_fault(Self::NAME, fault);
        calmly(|| drop(self));
        outcome
    }

    /// Queues the cell whose job this is; called once its dependencies are ready.
    ///
    /// # Safety
    /// `this` is the job in `cell`; once that is queued, both may be gone.
    unsafe fn ready(this: *mut Self, cell: NonNull<Header>);
}

/// A cell in memory.
#[repr(C)]
pub(crate) struct JobCell<J: Job> {
    header: Header,
    body: UnsafeCell<Body<J, J::Outcome>>,
}

/// `repr(C)`, as only that puts each field at the beginning, where `outcome_offset` says that it is.
#[repr(C)]
union Body<J, O> {
    job: ManuallyDrop<J>,
    outcome: ManuallyDrop<O>,
    nothing: (),
}

impl<J: Job> JobCell<J> {
    /// A cell with one handle. `pending` is 0 for a cell that is queued at once.
    #[inline]
    pub(crate) fn allocate(job: J, pending: u32) -> NonNull<Header> {
        let body = UnsafeCell::new(Body { job: ManuallyDrop::new(job) });
        Self::leak(Header::new(&Self::VTABLE, State::pending(), Claim::idle(), pending, Holds::Job), body)
    }

    /// A cell that is done, with one handle.
    pub(crate) fn done(outcome: J::Outcome) -> NonNull<Header> {
        let body = UnsafeCell::new(Body { outcome: ManuallyDrop::new(outcome) });
        Self::leak(Header::new(&Self::VTABLE, State::done(), Claim::started(), 0, Holds::Outcome), body)
    }

    /// A cell without a job, which a promise will complete, with one handle.
    pub(crate) fn promised() -> NonNull<Header> {
        let body = UnsafeCell::new(Body { nothing: () });
        Self::leak(Header::new(&Self::VTABLE, State::pending(), Claim::idle(), 0, Holds::Nothing), body)
    }

    #[inline]
    fn leak(header: Header, body: UnsafeCell<Body<J, J::Outcome>>) -> NonNull<Header> {
        count_live(1);
        NonNull::from(Box::leak(Box::new(Self { header, body }))).cast()
    }

    const VTABLE: VTable = VTable {
        run: Self::run,
        ready: Self::ready,
        fail: Self::fail,
        free: Self::free,
        discard: Self::discard,
        outcome_offset: std::mem::offset_of!(Self, body),
        name: J::NAME,
        exclusive: J::EXCLUSIVE,
    };

    /// The job in place, for its dependencies to be linked.
    ///
    /// # Safety
    /// `cell` is of this type and holds its job, which no thread is running.
    pub(crate) unsafe fn job(cell: NonNull<Header>) -> *mut J {
        // SAFETY: by the caller. `ManuallyDrop` is transparent.
        unsafe { (&raw mut (*(*cell.cast::<Self>().as_ptr()).body.get()).job).cast() }
    }

    unsafe fn ready(cell: NonNull<Header>) {
        // SAFETY: the last dependency calls this once, and the cell isn't queued yet, so the job is this thread's.
        unsafe { J::ready(Self::job(cell), cell) };
    }

    unsafe fn run(cell: NonNull<Header>, env: Env) {
        // SAFETY: the caller has the claim, so the body is this thread's until the cell completes; it holds the job.
        let job = unsafe { ManuallyDrop::take(&mut (*(*cell.cast::<Self>().as_ptr()).body.get()).job) };
        // SAFETY: the header is valid until the cell completes.
        unsafe { cell.as_ref() }.holds.set(Holds::Nothing);
        // SAFETY: the caller took the cell from the queue whose `env` this is.
        let outcome = match catch_unwind(AssertUnwindSafe(|| unsafe { job.run(env) })) {
            Ok(outcome) => outcome,
            // SAFETY: as above.
            Err(payload) => panicked(unsafe { cell.as_ref() }.vtable.name, payload),
        };
        // SAFETY: this thread has the claim and has not completed the cell.
        unsafe { complete(cell, outcome) };
    }

    unsafe fn fail(cell: NonNull<Header>, fault: Fault) {
        // SAFETY: as for `run`.
        let header = unsafe { cell.as_ref() };
        let outcome = if header.holds.replace(Holds::Nothing) == Holds::Job {
            // SAFETY: the mark says that the job is there, and the claim that it is this thread's.
            let job = unsafe { ManuallyDrop::take(&mut (*(*cell.cast::<Self>().as_ptr()).body.get()).job) };
            let ended = catch_unwind(AssertUnwindSafe(|| job.fail(fault)));
            ended.unwrap_or_else(|payload| panicked(J::NAME, payload))
        } else {
            J::Outcome::from_fault(J::NAME, fault)
        };
        // SAFETY: this thread has the claim and has not completed the cell.
        unsafe { complete(cell, outcome) };
    }

    unsafe fn discard(cell: NonNull<Header>) {
        // SAFETY: nobody else touches the body: the claim was lost to a cancellation, which doesn't.
        let header = unsafe { cell.as_ref() };
        if header.holds.replace(Holds::Nothing) == Holds::Job {
            // SAFETY: the mark says that the job is there.
            let job = unsafe { ManuallyDrop::take(&mut (*(*cell.cast::<Self>().as_ptr()).body.get()).job) };
            calmly(|| drop(job));
        }
    }

    unsafe fn free(cell: NonNull<Header>) {
        count_live(-1);
        // SAFETY: CELL-1: this is the only one who frees, and nobody else has a pointer to the cell.
        let mut cell = unsafe { Box::from_raw(cell.cast::<Self>().as_ptr()) };
        match cell.header.holds.get() {
            // SAFETY: the mark says which of the two is there.
            Holds::Job => unsafe { ManuallyDrop::drop(&mut cell.body.get_mut().job) },
            // SAFETY: as above.
            Holds::Outcome => unsafe { ManuallyDrop::drop(&mut cell.body.get_mut().outcome) },
            Holds::Nothing => {}
        }
    }
}

impl Header {
    #[inline]
    fn new(vtable: &'static VTable, state: State, claim: Claim, pending: u32, holds: Holds) -> Self {
        let (handles, pending) = (AtomicU32::new(1), AtomicU32::new(pending));
        Self { vtable, state, handles, pending, claim, holds: Plain::new(holds), mailbox: Plain::new(0) }
    }

    /// Counts one more handle.
    #[inline]
    pub(crate) fn retain(&self) {
        let before = self.handles.fetch_add(1, Ordering::Relaxed);
        if before > u32::MAX / 2 {
            std::process::abort();
        }
    }

    /// The cell's outcome; `None` where it was cancelled before it started.
    ///
    /// # Safety
    /// The cell is done, its outcome is of type `O`, and the caller keeps a handle for `'a`.
    #[inline]
    pub(crate) unsafe fn outcome<'a, O>(cell: NonNull<Header>) -> Option<&'a O> {
        // SAFETY: by the caller, the cell lives for `'a` and is no longer written.
        unsafe {
            let header = cell.as_ref();
            if header.claim.never_starts() || header.holds.get() != Holds::Outcome {
                return None;
            }
            Some(cell.byte_add(header.vtable.outcome_offset).cast::<O>().as_ref())
        }
    }

    /// Moves the outcome out, where this handle is the only one.
    ///
    /// # Safety
    /// As for `outcome`, and the caller's handle is used for nothing but to be dropped afterwards.
    pub(crate) unsafe fn take_outcome<O>(cell: NonNull<Header>) -> Option<O> {
        // SAFETY: by the caller; with one handle left and the cell done, nobody else reads the body.
        unsafe {
            let header = cell.as_ref();
            if header.handles.load(Ordering::Acquire) != 1
                || header.claim.never_starts()
                || header.holds.get() != Holds::Outcome
            {
                return None;
            }
            header.holds.set(Holds::Nothing);
            Some(cell.byte_add(header.vtable.outcome_offset).cast::<O>().read())
        }
    }
}

/// Cells that are allocated now; counted in debug builds only, as a shared counter costs as much as a small task.
#[cfg(debug_assertions)]
static LIVE: std::sync::atomic::AtomicIsize = std::sync::atomic::AtomicIsize::new(0);

/// How many cells there are in this process, all pools together; `None` in release builds, which don't count.
pub fn live_cells() -> Option<usize> {
    #[cfg(debug_assertions)]
    return Some(LIVE.load(Ordering::SeqCst).unsigned_abs());
    #[cfg(not(debug_assertions))]
    None
}

#[inline]
fn count_live(_more: isize) {
    #[cfg(debug_assertions)]
    LIVE.fetch_add(_more, Ordering::SeqCst);
}

/// Writes the outcome, wakes who waits, and frees the cell where no handle is left.
///
/// # Safety
/// `O` is the cell's type of outcome; the caller has the claim; the body holds nothing.
#[inline]
pub(crate) unsafe fn complete<O>(cell: NonNull<Header>, outcome: O) {
    // SAFETY: by the caller, the body is this thread's until the state says done; then handles read it.
    unsafe {
        let header = cell.as_ref();
        cell.byte_add(header.vtable.outcome_offset).cast::<O>().write(outcome);
        header.holds.set(Holds::Outcome);
        let done = header.state.complete();
        // Waiters first: the table of hubs knows the cell by its address, which is free for another after this.
        if !done.waiters.is_null() {
            // What a waiter does may ask for the current job, which is no longer to be touched.
            Worker::forget_job(cell);
            Waiter::fire_all(done.waiters);
        }
        if done.abandoned {
            // Dropped, the outcome may ask for it as well.
            Worker::forget_job(cell);
            calmly(|| (header.vtable.free)(cell));
        }
    }
}

/// Runs code of the user that isn't the job itself (a `drop`, a waker). If it panics, the panic hook has said so, and the
/// executor goes on: a panic takes no thread with it, and leaves no cell open.
pub(crate) fn calmly(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f))
        && let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        // What it panicked with panicked when it was dropped; this one isn't.
        std::mem::forget(again);
    }
}

/// Runs a queued cell, or lets go of it where it was cancelled.
///
/// # Safety
/// The caller took the cell from a queue, which is the executor's share of it.
#[inline]
pub(crate) unsafe fn run(cell: NonNull<Header>, env: Env) {
    // SAFETY: the executor's share keeps the cell until it is done.
    unsafe {
        let header = cell.as_ref();
        if header.claim.start() { (header.vtable.run)(cell, env) } else { let_go(cell) }
    }
}

/// Ends a queued cell with a fault.
///
/// # Safety
/// As for `run`.
pub(crate) unsafe fn fail(cell: NonNull<Header>, fault: Fault) {
    // SAFETY: as for `run`.
    unsafe {
        let header = cell.as_ref();
        if header.claim.start() { (header.vtable.fail)(cell, fault) } else { let_go(cell) }
    }
}

/// Gives up the executor's share of a cell that was cancelled before it started.
///
/// # Safety
/// As for `run`, and the claim was lost to a cancellation.
#[cold]
pub(crate) unsafe fn let_go(cell: NonNull<Header>) {
    // SAFETY: `HELD` keeps the cell until `release`.
    unsafe {
        let header = cell.as_ref();
        (header.vtable.discard)(cell);
        if header.state.release() {
            calmly(|| (header.vtable.free)(cell));
        }
    }
}

/// Cancels a cell: it completes at once if it had not started.
///
/// # Safety
/// The caller keeps a handle, or a promise of it.
pub(crate) unsafe fn cancel(cell: NonNull<Header>) {
    // SAFETY: by the caller, the cell is valid; what `cancel_unheard` hands out is fired once.
    unsafe { Waiter::fire_all(cancel_unheard(cell)) };
}

/// As `cancel`, but leaves it to the caller to fire the waiters; null where there are none.
///
/// # Safety
/// As for `cancel`.
pub(crate) unsafe fn cancel_unheard(cell: NonNull<Header>) -> *mut Waiter {
    // SAFETY: by the caller, the cell is valid.
    let header = unsafe { cell.as_ref() };
    if header.claim.cancel() { header.state.complete_held() } else { std::ptr::null_mut() }
}

/// Drops one handle.
///
/// # Safety
/// The caller owned it.
#[inline]
pub(crate) unsafe fn drop_handle(cell: NonNull<Header>) {
    // SAFETY: the handle keeps the cell until it is counted off.
    unsafe {
        let header = cell.as_ref();
        // A unique handle needs no locked operation: nobody else can make another one.
        if header.handles.load(Ordering::Acquire) != 1 && header.handles.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        if header.state.abandon() {
            (header.vtable.free)(cell);
        }
    }
}
