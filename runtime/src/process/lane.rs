//! A driver's way to one worker process: calls there, answers back.

use super::fetcher::Fetcher;
use super::lives::{Ended, LifeId};
use super::ring_end::RingEnd;
use super::socket::Socket;
use super::values::{Release, Value, Values};
use super::wire::{Garbled, Haste, Header, Kind, Outlet};
use super::{FEW, Hello};
use crate::control::{Arrival, Packed};
use crate::error::Error;
use crate::runtime;
use rayline_core::ids::{ActorId, LeaseId, TaskId};
use rayline_core::resources::Grant;
use rayline_exec::Look;
use rayline_store::{Region, decode, decode_copied, encode};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

/// The calls that are under way in one worker process.
///
/// Answers are taken by the lane's own thread, or by a thread that waits for one and looks for it itself: that saves
/// the time to wake another.
///
/// Invariant LANE-1: each call is answered once: by the worker, or by the end of the process.
pub(crate) struct Lane {
    outlet: Outlet,
    end: End,
    /// Which of the driver's processes it is.
    number: u64,
    values: Arc<Values>,
    /// Decodes values that have yet to be read.
    fetcher: Arc<Fetcher>,
    calls: Mutex<Calls>,
    under_way: AtomicUsize,
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
struct Calls {
    /// Each at its place, with its serial number. Free places are used again.
    waiting: Vec<Option<(u32, Box<dyn Waiting>)>>,
    free: Vec<u32>,
    serial: u32,
    /// Why it was killed from here.
    verdict: Option<String>,
    /// How the process ended.
    ended: Option<String>,
}

/// What a call is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    Task,
    Constructor,
    Method,
}

/// Keeps the checkpoints of an actor.
pub(crate) trait Keeper: Send + Sync {
    fn keep(&self, saved: Vec<u8>);
}

/// A call that waits for its answer.
pub(crate) trait Waiting: Send {
    /// What is called of it.
    fn called(&self) -> Called {
        Called::Task
    }
    /// What is called.
    fn packed(&self) -> &Packed;
    /// Which try it is, from 1.
    fn attempt(&self) -> u32;
    /// Its answer has come, in its turn; what is in it may still have to be read.
    fn came(&self, _: &Answered) {}
    /// It has an answer.
    fn answered(self: Box<Self>, answered: Answered);
}

/// How a call in a worker process ended.
pub(crate) enum Answered {
    /// With a value, encoded.
    Value(Value),
    /// With an error of the task.
    Failed { error: Error, retryable: bool },
    /// With the process, as said.
    Died(String),
    /// It never began, and won't: why.
    Refused(String),
    /// It has not begun: the life that it was sent to has ended.
    NotBegun,
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
    /// A lane to the driver's process of that number, which has access to `values`.
    pub(super) fn new(outlet: Outlet, end: End, number: u64, values: Arc<Values>) -> Arc<Self> {
        let (calls, under_way, threads) = (Mutex::default(), AtomicUsize::new(0), AtomicU32::new(0));
        let (keepers, fetcher) = (Mutex::default(), Arc::default());
        Arc::new(Self { outlet, end, number, values, fetcher, calls, under_way, threads, keepers })
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the process hasn't ended.
    pub(super) fn is_open(&self) -> bool {
        match &self.end {
            End::Ring(end) => end.is_open(),
            End::Socket(socket) => socket.is_open(),
        }
    }

    /// How many calls wait for their answer.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
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
        };
        // The end of a ring is that process already.
        let isolated = packed.is_isolated && matches!(self.end, End::Socket(_));
        let mut calls = self.lock();
        if let Some(how) = calls.ended.clone() {
            drop(calls);
            call.answered(Answered::Died(how));
            return u64::MAX;
        }
        let number = calls.add(call);
        drop(calls);
        let haste = if self.under_way.fetch_add(1, Ordering::Relaxed) < FEW { Haste::Now } else { Haste::Soon };
        let given_bytes = given.len() as u32;
        let header = Header { flag: isolated, function, attempt, given_bytes, ..Header::new(kind, number) };
        // Where the process is gone its end answers the call.
        let _ = self.outlet.send(header, [&args, given], haste);
        number
    }

    /// Sets the worker up, before anything else.
    pub(super) fn greet(&self, hello: &Hello) {
        let hello = encode(hello).expect("numbers can be encoded");
        // Where the process is gone its end says so.
        let _ = self.outlet.send(Header::new(Kind::Hello, 0), [&hello, &[]], Haste::Now);
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
        // Also where nobody waits for it: what a value names is this process's now, and goes with it.
        let answered = match header.kind {
            Kind::Value => Answered::Value(self.values.receive(body, self.number, || self.release(header.call))),
            Kind::LifeEnded => return life_ended(&body),
            Kind::Saved => return self.saved(header, &body),
            Kind::NotBegun => Answered::NotBegun,
            Kind::Died => Answered::Died(decode(&body).unwrap_or_else(|_| "has died".to_owned())),
            _ => match decode(&body) {
                Ok(error) => Answered::Failed { error, retryable: header.flag },
                Err(error) => Answered::Died(format!("sent an error that can't be read: {error}")),
            },
        };
        let Some(call) = self.lock().remove(header.call) else { return };
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        call.came(&answered);
        match answered {
            Answered::Value(value) if value.is_elsewhere() => {
                self.fetcher.run(Box::new(move || call.answered(Answered::Value(value))));
            }
            answered => call.answered(answered),
        }
    }

    /// What lets a worker on a node let an answer go.
    fn release(&self, call: u64) -> Option<Release> {
        match &self.end {
            End::Ring(_) => None,
            End::Socket(socket) => Some(Release { socket: socket.clone(), call }),
        }
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
        let mut calls = self.lock();
        let how = calls.verdict.take().unwrap_or(how);
        calls.ended = Some(how.clone());
        let waiting = std::mem::take(&mut calls.waiting);
        drop(calls);
        waiting.into_iter().flatten().for_each(|(_, call)| call.answered(Answered::Died(how.clone())));
    }
}

/// A life has ended in a worker.
fn life_ended(body: &Region) {
    match decode::<Ended>(body) {
        Ok(ended) => runtime::control().arrived(Arrival::LifeEnded(ended)),
        Err(error) => tracing::warn!(%error, "a worker says something unreadable of an actor"),
    }
}

impl Calls {
    /// The call's number: its place below, its serial number above, so that a late cancellation finds no other call.
    fn add(&mut self, call: Box<dyn Waiting>) -> u64 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() as u32 - 1
        });
        self.serial = self.serial.wrapping_add(1);
        self.waiting[place as usize] = Some((self.serial, call));
        u64::from(self.serial) << 32 | u64::from(place)
    }

    fn remove(&mut self, number: u64) -> Option<Box<dyn Waiting>> {
        let (serial, place) = ((number >> 32) as u32, number as u32);
        let (_, call) = self.waiting.get_mut(place as usize)?.take_if(|(found, _)| *found == serial)?;
        self.free.push(place);
        Some(call)
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
