//! A driver's way to one worker process: calls there, answers back.

use super::SPIN;
use super::values::{Value, Values};
use super::watch::{Looks, Watch};
use super::wire::{Header, Inbox, Kind, Outlet};
use crate::control::Packed;
use crate::error::Error;
use rayline_core::ids::{LeaseId, TaskId};
use rayline_core::resources::Grant;
use rayline_exec::Look;
use rayline_store::{Region, decode, encode};
use rayline_transport::ring::{Closer, Receiver, Wait};
use rustix::process::{Signal, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::Wake;

/// The calls that are under way in one worker process.
///
/// Answers are taken by the lane's own thread, or by a thread that waits for one and looks for it itself: that saves
/// the time to wake another.
///
/// Invariant LANE-1: each call is answered once: by the worker, or by the end of the process.
pub(crate) struct Lane {
    outlet: Outlet,
    inbox: Mutex<Inbox>,
    closer: Closer,
    /// Names the process also when the system uses its id again.
    process: OwnedFd,
    /// Which of the driver's processes it is.
    number: u64,
    values: Arc<Values>,
    calls: Mutex<Calls>,
    under_way: AtomicUsize,
    /// Threads that look for answers themselves.
    lookers: AtomicUsize,
    watch: Watch,
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

/// A call that waits for its answer.
pub(super) trait Waiting: Send {
    /// What is called.
    fn packed(&self) -> &Packed;
    /// Which try it is, from 1.
    fn attempt(&self) -> u32;
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
}

/// What a leased attempt was given, as its worker is told.
#[derive(Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) task: TaskId,
    pub(super) lease: LeaseId,
    pub(super) grant: Grant,
}

impl Lane {
    pub(super) fn new(
        (outlet, receiver, closer): (Outlet, Receiver, Closer),
        process: OwnedFd,
        number: u64,
        values: Arc<Values>,
    ) -> Arc<Self> {
        Arc::new(Self {
            outlet,
            inbox: Mutex::new(Inbox::new(receiver)),
            closer,
            process,
            number,
            values,
            calls: Mutex::default(),
            under_way: AtomicUsize::new(0),
            lookers: AtomicUsize::new(0),
            watch: Watch::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the process hasn't ended.
    pub(super) fn is_open(&self) -> bool {
        !self.closer.is_closed()
    }

    /// How many calls wait for their answer.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Asks the process to end once its running tasks have; what waits there is dropped.
    pub(super) fn dismiss(&self) {
        self.tell(Kind::Dismiss, 0, 0);
    }

    /// Tells the worker how many of its threads may run plain tasks.
    pub(super) fn set_threads(&self, threads: u32) {
        self.tell(Kind::Threads, 0, threads);
    }

    /// Kills the process, unless it has ended. Calls under way die for that `reason`.
    pub(super) fn kill(&self, reason: String) {
        self.lock().verdict.get_or_insert(reason);
        // Fails where the process is gone.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }

    /// Sends a call. It is answered here if the process is gone already, else by whoever takes the answer.
    pub(super) fn call(&self, call: Box<dyn Waiting>, given: Option<&Given>) -> u64 {
        let (attempt, function, args) = (call.attempt(), call.packed().function.0, call.packed().args.clone());
        let mut calls = self.lock();
        if let Some(how) = calls.ended.clone() {
            drop(calls);
            call.answered(Answered::Died(how));
            return u64::MAX;
        }
        let number = calls.add(call);
        drop(calls);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let given = given.map(|given| encode(given).expect("ids and amounts can be encoded"));
        let given = given.as_deref().unwrap_or_default();
        let header = Header { function, attempt, given_bytes: given.len() as u32, ..Header::new(Kind::Run, number) };
        // Where the process is gone its end answers the call.
        let _ = self.outlet.send(header, [&args, given]);
        number
    }

    fn tell(&self, kind: Kind, call: u64, function: u32) {
        // A process that is gone need not be told.
        let _ = self.outlet.send(Header { function, ..Header::new(kind, call) }, [&[], &[]]);
    }

    /// Takes the answers that are there, if nobody else does, as a thread does while it waits.
    pub(super) fn look(&self, look: Look) {
        if look == Look::First {
            self.lookers.fetch_add(1, Ordering::Relaxed);
        }
        let mut inbox = match self.inbox.try_lock() {
            Ok(inbox) => Some(inbox),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(inbox) = &mut inbox {
            self.receive(inbox);
        }
        let must_step_down = self.watch.polls();
        if look >= Look::Over {
            self.lookers.fetch_sub(1, Ordering::Relaxed);
            if let Some(inbox) = inbox.as_mut().filter(|_| must_step_down || look == Look::Sleeps) {
                inbox.receiver.step_down();
            }
        }
    }

    /// The body of the lane's thread: takes answers until the process is gone, then answers what is left. `how` waits
    /// for the end of the process, and says how it ended.
    pub(super) fn attend(&self, how: impl FnOnce() -> String) {
        let sleeper = self.lock_inbox().receiver.sleeper();
        let (mut looks, mut period) = (Looks::default(), None);
        while sleeper.sleep(period) != Wait::Closed {
            let mut inbox = self.lock_inbox();
            // Whoever waits for an answer takes the others, too.
            while self.receive(&mut inbox)
                && self.lookers.load(Ordering::Relaxed) == 0
                && period.is_none()
                && inbox.receiver.wait(SPIN, Some(SPIN)) == Wait::Ready
            {}
            period = self.watch.next_sleep(&mut looks);
            if period.is_none() {
                inbox.receiver.step_down();
            }
        }
        self.closer.close();
        self.end(how());
    }

    fn lock_inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is there. `false` where the worker's memory is damaged; its process is then ended.
    fn receive(&self, inbox: &mut Inbox) -> bool {
        let sound = inbox.receive(|header, body| self.take(header, body)).is_ok();
        if !sound {
            self.kill("sent what can't be read, as its memory is damaged; it was ended".into());
            self.closer.close();
        }
        sound
    }

    fn take(&self, header: Header, body: Region) {
        // Also where nobody waits for it: what a value names is this process's now, and goes with it.
        let answered = match header.kind {
            Kind::Value => Answered::Value(self.values.receive(body, self.number)),
            _ => match decode(&body) {
                Ok(error) => Answered::Failed { error, retryable: header.flag },
                Err(error) => Answered::Died(format!("sent an error that can't be read: {error}")),
            },
        };
        let Some(call) = self.lock().remove(header.call) else { return };
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        call.answered(answered);
    }

    fn end(&self, how: String) {
        let mut inbox = self.lock_inbox();
        self.receive(&mut inbox);
        // Nothing comes any more that could name what the process has made.
        self.values.sweep(self.number);
        drop(inbox);
        let mut calls = self.lock();
        let how = calls.verdict.take().unwrap_or(how);
        calls.ended = Some(how.clone());
        let waiting = std::mem::take(&mut calls.waiting);
        drop(calls);
        waiting.into_iter().flatten().for_each(|(_, call)| call.answered(Answered::Died(how.clone())));
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
