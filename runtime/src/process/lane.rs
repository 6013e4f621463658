//! A driver's way to one worker process: calls there, answers back.

use super::calls::{Answered, Called, Calls, Waiting};
use super::fetcher::Fetcher;
use super::held::Held;
use super::lent::Lent;
use super::lives::{Ended, LifeId};
use super::pace::Pace;
use super::reply::{Answering, Reply};
use super::ring_end::RingEnd;
use super::socket::Socket;
use super::values::{Release, Values};
use super::wire::{Garbled, Haste, Header, Kind, Outlet};
use super::{FEW, Hello, Joined};
use crate::control::Arrival;
use crate::refs::{self, Asked, ProcessId};
use crate::registry::{Answer, FunctionId};
use crate::runtime;
use rayline_core::ids::{ActorId, LeaseId, NodeId, TaskId};
use rayline_core::resources::Grant;
use rayline_exec::Look;
use rayline_store::{Region, decode, decode_copied, encode};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Wake;

/// The calls that are under way in one worker process.
///
/// Answers are taken by the lane's own thread, or by a thread that waits for one and looks for it itself: that saves
/// the time to wake another.
///
/// Invariant LANE-1: each call is answered once: by the worker, or by the end of the process.
pub(crate) struct Lane {
    me: Weak<Lane>,
    process: ProcessId,
    node: NodeId,
    outlet: Arc<Outlet>,
    end: End,
    /// Which of the driver's processes it is.
    number: u64,
    values: Arc<Values>,
    /// Decodes values that have yet to be read.
    fetcher: Arc<Fetcher>,
    state: Mutex<State>,
    /// What was given to the worker until it lets it go.
    held: Held,
    under_way: AtomicUsize,
    pace: Pace,
    /// How many threads the worker has for plain tasks, as it was told last.
    threads: AtomicU32,
    /// Who keeps the checkpoints of actors that live there.
    keepers: Mutex<HashMap<ActorId, Arc<dyn Keeper>>>,
}

/// Where answers come from.
pub(super) enum End {
    /// A process that this one has started.
    Ring(Box<RingEnd>),
    /// A process of a node.
    Socket(Arc<Socket>),
}

#[derive(Default)]
struct State {
    calls: Calls,
    /// Why it was killed from here.
    verdict: Option<String>,
    /// How the process ended.
    ended: Option<String>,
}

/// Keeps the checkpoints of an actor.
pub(crate) trait Keeper: Send + Sync {
    fn keep(&self, saved: Vec<u8>);
}

/// Why a process is ended that sent what no worker sends.
pub(super) const DAMAGED: &str = "sent what can't be read, as its memory is damaged; it was ended";

/// What a leased attempt was given, as its worker is told.
#[derive(Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) task: TaskId,
    pub(super) lease: LeaseId,
    pub(super) grant: Grant,
}

impl Lane {
    /// A lane to a process of the driver's on that node, which has that number among them, and access to `values`.
    pub(super) fn new(
        (process, node, number): (ProcessId, NodeId, u64),
        (outlet, end): (Outlet, End),
        values: Arc<Values>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            process,
            node,
            outlet: Arc::new(outlet),
            end,
            number,
            values,
            fetcher: Arc::default(),
            state: Mutex::default(),
            held: Held::default(),
            under_way: AtomicUsize::new(0),
            pace: Pace::default(),
            threads: AtomicU32::new(0),
            keepers: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the process hasn't ended.
    pub(super) fn is_open(&self) -> bool {
        match &self.end {
            End::Ring(end) => end.is_open(),
            End::Socket(socket) => socket.is_open(),
        }
    }

    /// Which process it leads to.
    pub(super) fn process(&self) -> ProcessId {
        self.process
    }

    /// How many calls wait for their answer.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// How long a call that is sent now waits for others, in nanoseconds, as far as is known.
    pub(super) fn wait_nanos(&self) -> u64 {
        self.pace.wait_nanos(self.under_way())
    }

    /// How many threads it has for plain tasks.
    pub(super) fn threads(&self) -> u32 {
        self.threads.load(Ordering::Relaxed)
    }

    /// Asks the process to end once its running tasks have; what waits there is dropped.
    pub(super) fn dismiss(&self) {
        self.tell(Kind::Dismiss, 0, 0);
    }

    /// Tells the worker how many of its threads may run plain tasks.
    pub(crate) fn set_threads(&self, threads: u32) {
        self.threads.store(threads, Ordering::Relaxed);
        self.tell(Kind::Threads, 0, threads);
    }

    /// Kills the process, unless it has ended. Calls under way die for that `reason`.
    pub(crate) fn kill(&self, reason: String) {
        self.lock().verdict.get_or_insert(reason);
        match &self.end {
            End::Ring(end) => end.kill(),
            // It ends with its connection.
            End::Socket(socket) => socket.close(),
        }
    }

    /// Sends a call. It is answered here if the process is gone already, else by whoever takes the answer.
    pub(crate) fn call(&self, call: Box<dyn Waiting>, given: &[u8]) -> u64 {
        let (attempt, packed) = (call.attempt(), call.packed());
        let (function, args) = (packed.function.0, packed.args.clone());
        let kind = match call.called() {
            Called::Task => Kind::Run,
            Called::Constructor => Kind::Create,
            Called::Method => Kind::Method,
            Called::Ask => Kind::Ask,
        };
        // The end of a ring is that process already.
        let isolated = packed.is_isolated && matches!(self.end, End::Socket(_));
        let mut state = self.lock();
        if let Some(how) = state.ended.clone() {
            drop(state);
            call.answered(Answered::Died(how));
            return u64::MAX;
        }
        let number = state.calls.add(call);
        drop(state);
        // What is asked may be answered much later: it is no work that is under way.
        let before = if kind == Kind::Ask { 0 } else { self.under_way.fetch_add(1, Ordering::Relaxed) };
        let haste = if before < FEW { Haste::Now } else { Haste::Soon };
        let given_bytes = given.len() as u32;
        let header = Header { flag: isolated, function, attempt, given_bytes, ..Header::new(kind, number) };
        // Where the process is gone its end answers the call.
        let _ = self.outlet.send(header, [&args, given], haste);
        number
    }

    /// Asks the worker something of what it has referred to.
    pub(crate) fn ask(&self, asked: Asked, call: Box<dyn Waiting>) -> u64 {
        self.call(call, &encode(&asked).expect("numbers can be encoded"))
    }

    /// Has the worker let go what it gave, or keeps, for an answer.
    pub(crate) fn release(&self, call: u64) {
        self.tell(Kind::Release, call, 0);
    }

    /// Sets the worker up, before anything else.
    pub(super) fn greet(&self, hello: &Hello) {
        refs::connected(self.process, self.me.clone());
        let hello = encode(hello).expect("numbers can be encoded");
        // Where the process is gone its end says so.
        let _ = self.outlet.send(Header::new(Kind::Hello, 0), [&hello, &[]], Haste::Now);
    }

    /// Tells the worker of another, whose memory it may have to read.
    pub(crate) fn introduce(&self, other: &Joined) {
        let other = encode(other).expect("numbers can be encoded");
        // A process that is gone need not be told.
        let _ = self.outlet.send(Header::new(Kind::Peer, 0), [&other, &[]], Haste::Now);
    }

    /// Asks the worker to end a life.
    pub(crate) fn stop_actor(&self, life: LifeId) {
        let life = encode(&life).expect("ids can be encoded");
        // A process that is gone need not be told.
        let _ = self.outlet.send(Header::new(Kind::Stop, 0), [&life, &[]], Haste::Now);
    }

    fn tell(&self, kind: Kind, call: u64, function: u32) {
        // A process that is gone need not be told.
        let _ = self.outlet.send(Header { function, ..Header::new(kind, call) }, [&[], &[]], Haste::Now);
    }

    /// Takes the answers that are there, if nobody else does, as a thread does while it waits.
    pub(super) fn look(&self, look: Look) {
        match &self.end {
            End::Ring(end) => end.look(self, look),
            // Its own thread takes them.
            End::Socket(_) => {}
        }
    }

    /// The body of the lane's thread: takes answers until the process is gone, then answers what is left. `how` waits
    /// for the end of the process, and says how it ended.
    pub(crate) fn attend(&self, how: impl FnOnce() -> String) {
        match &self.end {
            End::Ring(end) => end.attend(self),
            End::Socket(socket) => {
                let take = |header, body| {
                    self.take(header, body);
                    ControlFlow::Continue(())
                };
                if let Err(Garbled) = socket.read(take, || {}) {
                    self.kill(DAMAGED.into());
                }
                socket.close();
            }
        }
        let how = how();
        if let End::Ring(end) = &self.end {
            // Nothing comes any more that could name what the process has made.
            end.finish(self, || self.values.sweep(self.number));
        }
        self.end(how);
    }

    pub(super) fn take(&self, header: Header, body: Region) {
        match header.kind {
            Kind::LifeEnded => return life_ended(&body),
            Kind::Saved => return self.saved(header, &body),
            Kind::Ask => return self.asked(header, &body),
            Kind::Release => return self.held.release(header.call),
            _ => {}
        }
        // Also where nobody waits for it: what a value names is this process's now, and goes with it.
        let release = || Release { outlet: self.outlet.clone(), call: header.call, node: self.node };
        let answered = Answered::of(header, body, |body| self.values.receive(body, self.number, release));
        let Some(call) = self.lock().calls.remove(header.call) else { return };
        if call.called() != Called::Ask {
            let before = self.under_way.fetch_sub(1, Ordering::Relaxed);
            self.pace.note(before - 1);
        }
        answered.hand_to(call, &self.fetcher);
    }

    /// The worker asks for something that it was given a reference to.
    fn asked(&self, header: Header, body: &Region) {
        let Some(me) = self.me.upgrade() else { return };
        let (args, asked) = header.split(body);
        let args = self.values.keep_named(args, self.number);
        refs::serve(decode_copied(asked), FunctionId(header.function), args, Reply::new(me, header.call));
    }

    /// A checkpoint of an actor that lives there.
    fn saved(&self, header: Header, body: &Region) {
        let (saved, life) = header.split(body);
        let keeper = decode_copied::<LifeId>(life).ok().and_then(|life| self.lock_keepers().get(&life.actor).cloned());
        if let Some(keeper) = keeper {
            keeper.keep(saved.to_vec());
        }
    }

    /// From now on checkpoints of an actor go there.
    pub(crate) fn keep_for(&self, actor: ActorId, keeper: Arc<dyn Keeper>) {
        self.lock_keepers().insert(actor, keeper);
    }

    /// Its life here has ended.
    pub(crate) fn forget(&self, actor: ActorId) {
        self.lock_keepers().remove(&actor);
    }

    fn lock_keepers(&self) -> MutexGuard<'_, HashMap<ActorId, Arc<dyn Keeper>>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, how: String) {
        self.lock_keepers().clear();
        refs::disconnected(self.process);
        let mut state = self.lock();
        let how = state.verdict.take().unwrap_or(how);
        state.ended = Some(how.clone());
        let waiting = state.calls.take_all();
        drop(state);
        waiting.for_each(|call| call.answered(Answered::Died(how.clone())));
        self.held.clear();
    }
}

/// It answers what the worker asks.
impl Answering for Lane {
    fn answer(&self, call: u64, answer: Answer) {
        let (header, body) = Header::of_answer(call, answer);
        self.held.keep(call, &body);
        // Where the process is gone nobody minds.
        let _ = self.outlet.send(header, [&body, &[]], Haste::Now);
    }

    fn lend(&self) -> Lent<'_> {
        Lent::Values(&self.values)
    }

    fn keep(&self, call: u64, thing: Box<dyn Any + Send>) {
        self.held.keep_thing(call, thing);
    }
}

/// A life has ended in a worker.
fn life_ended(body: &Region) {
    match decode::<Ended>(body) {
        Ok(ended) => runtime::control().arrived(Arrival::LifeEnded(ended)),
        Err(error) => tracing::warn!(%error, "a worker says something unreadable of an actor"),
    }
}

/// Tells a worker that a call was cancelled.
pub(super) struct CancelCall {
    pub(super) lane: Arc<Lane>,
    pub(super) call: u64,
}

impl Wake for CancelCall {
    fn wake(self: Arc<Self>) {
        self.lane.tell(Kind::Cancel, self.call, 0);
    }
}
