//! The mailbox of an actor: its messages in order, its state, and the runner that brings them together.

mod jobs;

use crate::args::sealed::Link;
use crate::args::{Args, count_off};
use crate::caller;
use crate::cell::{self, Env, Header, JobCell, calmly};
use crate::future::Unwatched;
use crate::handle::Handle;
use crate::inbox::Inbox;
use crate::message::{AsyncCall, Call, Message, MethodName, Waiting};
use crate::method::{AsyncMethod, Method, Receiver};
use crate::outcome::Fault;
use crate::pool::{Halt, Pool};
use crate::promise::promise;
use crate::turn::Turn;
use crate::worker::Worker;
use jobs::{Beside, Refusal, Turnstile};
use std::any::Any;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// How many messages a runner takes before others get the thread.
const BATCH: usize = 128;

/// What a mailbox tells of its actor.
pub trait ActorHooks: Send + Sync + 'static {
    /// `method` panicked with `message`: the mailbox is paused until it is opened anew or closed.
    fn crashed(&self, method: &'static str, message: &str);

    /// The actor was dropped, as [`Mailbox::stop`] asked; the mailbox is paused.
    fn stopped(&self);
}

/// A mailbox for an actor with state `S`; clones are the same mailbox.
///
/// Messages of one caller run in the order in which they were sent. A method by `&mut` runs alone; methods by `&`
/// overlap up to `concurrency`. See the crate's README for the states.
pub struct Mailbox<S>(Arc<Inner<S>>);

pub(crate) struct Inner<S> {
    pub(crate) pool: Pool,
    /// Tells it from other mailboxes, in what says who waits for what. 0 for those beyond the range.
    id: u32,
    pub(crate) turn: Turn,
    pub(crate) inbox: Inbox,
    phase: AtomicU8,
    /// Set while an asynchronous method by `&mut` goes on.
    pub(crate) taken: AtomicBool,
    concurrency: usize,
    orders: Mutex<Vec<Order<S>>>,
    ordered: AtomicBool,
    closed_for: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
    hooks: Box<dyn ActorHooks>,
    /// Touched by the runner and, between `start_method` and `end_method`, by methods that it started (ACT-1).
    state: UnsafeCell<Option<S>>,
    /// A message that can't run yet; the runner's.
    stash: UnsafeCell<Option<NonNull<Header>>>,
}

/// What the runner does between two messages, with the actor to itself.
enum Order<S> {
    Open(S),
    Stop,
    Close,
}

/// The phases. Closed is the last one: a closed mailbox refuses all messages, which whoever finds one does at once.
const PAUSED: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

// SAFETY: `state` and `stash` belong to the one runner (ACT-1) or to methods that borrow the state under its rules;
// `S` moves to the threads of the pool (`Send`) and is shared by methods by `&` (`Sync`).
unsafe impl<S: Send + Sync> Send for Inner<S> {}
// SAFETY: as above.
unsafe impl<S: Send + Sync> Sync for Inner<S> {}

impl<S> Clone for Mailbox<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Send + Sync + 'static> Mailbox<S> {
    /// A paused mailbox without an actor: messages wait until it is opened.
    pub fn new(pool: Pool, concurrency: usize, hooks: Box<dyn ActorHooks>) -> Self {
        let inner = Arc::new(Inner {
            pool,
            id: fresh_id(),
            turn: Turn::new(),
            inbox: Inbox::default(),
            phase: AtomicU8::new(PAUSED),
            taken: AtomicBool::new(false),
            concurrency: concurrency.max(1),
            orders: Mutex::default(),
            ordered: AtomicBool::new(false),
            closed_for: Mutex::default(),
            hooks,
            state: UnsafeCell::new(None),
            stash: UnsafeCell::new(None),
        });
        let weak: Weak<dyn Halt> = Arc::<Inner<S>>::downgrade(&inner);
        if !pool.shared().list_mailbox(inner.key(), weak) {
            inner.phase.store(CLOSED, Ordering::SeqCst);
        }
        Self(inner)
    }

    /// Sends a message; it runs after all that the same caller sent before, when its awaited arguments are there.
    #[inline]
    pub fn send<A: Args, M: Method<S, A>>(&self, args: A, method: M) -> Handle<M::Outcome> {
        self.post(Call { args, method, state: PhantomData })
    }

    /// As [`send`](Self::send), for a method that may await.
    pub fn send_async<A: Args, M: AsyncMethod<S, A>>(&self, args: A, method: M) -> Handle<M::Outcome> {
        let (promise, handle) = promise::<MethodName<S, A, M>, M::Outcome>();
        handle.header().mailbox.set(self.0.id);
        drop(self.post(AsyncCall { args, method, promise, state: PhantomData }));
        handle
    }

    /// Gives the mailbox a new actor, once nothing runs on the old one, and lets messages run.
    pub fn open(&self, state: S) {
        self.0.order(Order::Open(state));
    }

    /// Drops the actor, once nothing runs on it, and pauses the mailbox: messages wait until it is opened or closed.
    pub fn stop(&self) {
        self.0.order(Order::Stop);
    }

    /// Messages that haven't started end with [`Fault::Closed`], now and from now on; those that wait for arguments, once
    /// these are there. Drops the actor, once nothing runs on it. The first reason stays.
    pub fn close(&self, reason: Arc<dyn Any + Send + Sync>) {
        self.0.closed_for.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(reason);
        self.0.phase.store(CLOSED, Ordering::SeqCst);
        self.0.order(Order::Close);
        self.0.schedule_refusal();
    }

    /// Whether two handles are of one mailbox.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    #[inline]
    fn post<J: Message<S>>(&self, message: J) -> Handle<J::Outcome> {
        if J::Args::AWAITED > 0 || self.0.inbox.is_gated() {
            return self.post_in_order(message);
        }
        let cell = JobCell::allocate(message, 0);
        // SAFETY: the new cell's one handle.
        let handle = unsafe { Handle::from_cell(cell) };
        handle.header().mailbox.set(self.0.id);
        self.0.inbox.push(cell);
        self.0.call();
        handle
    }

    /// Some message of this caller may still wait for its arguments: this one stays behind it.
    #[cold]
    fn post_in_order<J: Message<S>>(&self, message: J) -> Handle<J::Outcome> {
        let caller = caller::current();
        let cell = JobCell::allocate(Waiting { inner: self.0.clone(), caller, message }, J::Args::AWAITED + 1);
        // SAFETY: the new cell's one handle.
        let handle = unsafe { Handle::from_cell(cell) };
        handle.header().mailbox.set(self.0.id);
        self.0.inbox.reserve(caller, cell);
        // SAFETY: the count for the set-up keeps the cell from being delivered until the last line.
        unsafe {
            let job = JobCell::<Waiting<S, J>>::job(cell);
            let ready = J::Args::link(J::args(&raw mut (*job).message), cell.cast());
            count_off(cell, ready + 1);
        }
        handle
    }
}

impl<S: Send + Sync + 'static> Inner<S> {
    /// A message was queued.
    #[inline]
    pub(crate) fn call(self: &Arc<Self>) {
        if self.turn.call() {
            self.schedule();
        } else if self.is_closed() {
            // The runner may be in a method that waits for this very message.
            self.refuse_ready();
        }
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == CLOSED
    }

    fn schedule(self: &Arc<Self>) {
        self.pool.shared().queue(self.turnstile());
    }

    fn turnstile(self: &Arc<Self>) -> NonNull<Header> {
        let cell = JobCell::allocate(Turnstile(Some(self.clone())), 0);
        // SAFETY: the new cell's one handle, which nobody needs.
        drop(unsafe { Handle::<Unwatched>::from_cell(cell) });
        cell
    }

    /// Has what is queued refused on a thread of the pool, where the runner may be in a method that waits for it: what the
    /// user's messages do when they are dropped is no business of who closes.
    fn schedule_refusal(self: &Arc<Self>) {
        if !self.inbox.is_empty() || self.inbox.is_gated() {
            let cell = JobCell::allocate(Refusal(self.clone()), 0);
            // SAFETY: the new cell's one handle, which nobody needs.
            drop(unsafe { Handle::<Unwatched>::from_cell(cell) });
            self.pool.shared().queue_urgent(cell);
        }
    }

    fn order(self: &Arc<Self>, order: Order<S>) {
        self.orders.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(order);
        self.ordered.store(true, Ordering::SeqCst);
        self.rouse();
    }

    /// The phase or the orders changed.
    fn rouse(self: &Arc<Self>) {
        if self.turn.unblock() {
            self.schedule();
        } else {
            self.call();
        }
    }

    /// The runner: takes messages until there are none, the batch is full, or it must wait.
    fn run_turn(self: &Arc<Self>) {
        for _ in 0..BATCH {
            if self.step() {
                return;
            }
        }
        self.pool.shared().queue_behind(self.turnstile());
    }

    /// One message or order; `true` where the turn is over.
    fn step(self: &Arc<Self>) -> bool {
        let phase = self.phase.load(Ordering::SeqCst);
        if phase == CLOSED {
            // Before the orders, which wait for methods that may wait for this.
            self.end_queued(|| Fault::Shutdown);
        }
        if self.ordered.load(Ordering::SeqCst) {
            return self.obey();
        }
        if phase == PAUSED {
            let changed = || self.phase.load(Ordering::SeqCst) != PAUSED || self.ordered.load(Ordering::SeqCst);
            return self.turn.block(changed);
        }
        let Some(cell) = self.take_stash().or_else(|| self.inbox.pop()) else {
            return self.turn.yield_turn(|| self.inbox.is_empty() && !self.ordered.load(Ordering::SeqCst));
        };
        if phase == CLOSED {
            // Sent just now.
            self.refuse(cell, Fault::Shutdown);
            return false;
        }
        self.start(cell)
    }

    fn start(self: &Arc<Self>, cell: NonNull<Header>) -> bool {
        // SAFETY: a message in the inbox is the executor's share of its cell.
        let exclusive = unsafe { cell.as_ref() }.vtable.exclusive;
        let limit = if exclusive { 1 } else { self.concurrency };
        let fits = || self.turn.running() < limit && !self.taken.load(Ordering::SeqCst);
        if !fits() {
            // SAFETY: ACT-1: this is the runner.
            unsafe { *self.stash.get() = Some(cell) };
            return self.turn.block(|| fits() || self.ordered.load(Ordering::SeqCst) || self.is_closed());
        }
        if exclusive || self.concurrency == 1 {
            self.run_method(cell, self.id);
        } else {
            self.turn.start_method();
            let beside = JobCell::allocate(Beside::new(self.clone(), cell), 0);
            // SAFETY: the new cell's one handle, which nobody needs.
            drop(unsafe { Handle::<Unwatched>::from_cell(beside) });
            self.pool.shared().queue(beside);
        }
        false
    }

    /// Runs a method; `holds` is this mailbox, where no other message is taken meanwhile, or 0.
    fn run_method(self: &Arc<Self>, cell: NonNull<Header>, holds: u32) {
        let env: Env = Arc::as_ptr(self).cast();
        // SAFETY: taken from the inbox of this mailbox, whose messages expect it as `env`.
        Worker::with_job(cell, 0, holds, || unsafe { cell::run(cell, env) });
    }

    /// Carries out the orders, once no method goes on; `true` where the turn is over.
    fn obey(self: &Arc<Self>) -> bool {
        if self.turn.running() > 0 {
            return self.turn.block(|| self.turn.running() == 0);
        }
        self.ordered.store(false, Ordering::SeqCst);
        let orders = std::mem::take(&mut *self.orders.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        for order in orders {
            self.carry_out(order);
        }
        false
    }

    fn carry_out(&self, order: Order<S>) {
        let (phase, stopped) = (self.phase.load(Ordering::SeqCst), matches!(order, Order::Stop));
        let (state, refused) = match order {
            Order::Open(state) if phase != CLOSED => (Some(state), None),
            Order::Open(state) => (None, Some(state)),
            Order::Stop | Order::Close => (None, None),
        };
        let next = if state.is_some() { OPEN } else { PAUSED };
        // SAFETY: ACT-1: this is the runner, and no method goes on.
        let old = std::mem::replace(unsafe { &mut *self.state.get() }, state);
        if phase != CLOSED {
            // `close` may have come meanwhile, and stays.
            let _ = self.phase.compare_exchange(phase, next, Ordering::SeqCst, Ordering::SeqCst);
        }
        // The user's `drop` may panic; the mailbox goes on.
        calmly(|| drop(old));
        calmly(|| drop(refused));
        if stopped {
            calmly(|| self.hooks.stopped());
        }
    }

    /// A method panicked: no message runs until the mailbox is opened anew.
    pub(crate) fn crash(&self, method: &'static str, payload: &(dyn Any + Send)) {
        let _ = self.phase.compare_exchange(OPEN, PAUSED, Ordering::SeqCst, Ordering::SeqCst);
        calmly(|| self.hooks.crashed(method, panic_message(payload)));
    }

    pub(crate) fn end_method(self: &Arc<Self>) {
        if self.turn.end_method() {
            self.schedule();
        } else if self.ordered.load(Ordering::SeqCst) {
            // At a shutdown nobody is blocked on it: see `end_all`.
            self.call();
        }
    }

    /// The pool is shut down: in place of a runner, ends all that waits, and whatever comes before the turn is over.
    ///
    /// Orders are carried out unless a method still goes on. It isn't waited for, as it may itself wait for a message that
    /// it has yet to send; it calls for the orders when it ends.
    fn end_all(self: &Arc<Self>) {
        let may_obey = || self.ordered.load(Ordering::SeqCst) && self.turn.running() == 0;
        loop {
            self.end_queued(|| Fault::Shutdown);
            if may_obey() {
                self.obey();
            } else if self.turn.yield_turn(|| self.inbox.is_empty() && !may_obey()) {
                return;
            }
        }
    }

    /// # Safety
    /// Called by a method that the runner started, which ends before the runner gives the state to another.
    pub(crate) unsafe fn actor<'a, R: Receiver>(&self) -> R::Of<'a, S> {
        const OPEN: &str = "an open mailbox has an actor";
        let state = self.state.get();
        // SAFETY: ACT-1, by the caller: an exclusive method is alone. Others share the state, so that no `&mut` to it may
        // be made, not even for a moment.
        unsafe {
            R::of(if R::EXCLUSIVE {
                (*state).as_mut().expect(OPEN)
            } else {
                std::ptr::from_ref((*state).as_ref().expect(OPEN)).cast_mut()
            })
        }
    }
}

impl<S: Send + Sync + 'static> Halt for Inner<S> {
    fn halt(self: Arc<Self>) {
        self.phase.store(CLOSED, Ordering::SeqCst);
        self.rouse();
        self.refuse_ready();
    }
}

impl<S> Inner<S> {
    /// Where it is on the pool's list.
    fn key(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// The mailbox is closed: ends the messages that are there, with their arguments, as any thread may.
    #[cold]
    fn refuse_ready(&self) {
        for cell in self.inbox.take_ready() {
            self.refuse(cell, Fault::Shutdown);
        }
        while let Some(cell) = self.inbox.pop() {
            self.refuse(cell, Fault::Shutdown);
        }
    }

    fn take_stash(&self) -> Option<NonNull<Header>> {
        // SAFETY: ACT-1: this is the runner. Mostly there is none, and a write would cost the senders a cache miss.
        unsafe { if (*self.stash.get()).is_some() { (*self.stash.get()).take() } else { None } }
    }

    fn end_queued(&self, otherwise: impl Fn() -> Fault) {
        while let Some(cell) = self.take_stash().or_else(|| self.inbox.pop()) {
            self.refuse(cell, otherwise());
        }
    }

    /// Ends a message unrun: for the reason of the mailbox's end, if it was closed.
    fn refuse(&self, cell: NonNull<Header>, otherwise: Fault) {
        let reason = self.closed_for.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        // SAFETY: taken from the inbox.
        unsafe { cell::fail(cell, reason.map_or(otherwise, Fault::Closed)) };
    }
}

/// The last handle of the mailbox went, and no runner is on its way. Where it was paused, messages may be left.
impl<S> Drop for Inner<S> {
    fn drop(&mut self) {
        self.pool.shared().unlist_mailbox(self.key());
        self.end_queued(|| Fault::Dropped);
        let (state, orders) = (self.state.get_mut().take(), std::mem::take(&mut self.orders));
        calmly(|| drop(state));
        calmly(|| drop(orders));
    }
}

/// A number for a mailbox, 0 once there are no more.
fn fresh_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |id| id.checked_add(1)).unwrap_or(0)
}

/// The text of a panic's payload.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}
