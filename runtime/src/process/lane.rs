//! A driver's way to one worker process: calls there, answers back.

use super::wire::{Header, Inlet, Kind, Outlet};
use crate::control::Packed;
use crate::error::Error;
use rayline_core::ids::{LeaseId, TaskId};
use rayline_core::resources::Grant;
use rayline_store::{Region, decode, encode};
use rayline_transport::ring::{Closer, Receiver, Wait};
use rustix::process::{Signal, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;
use std::time::Duration;

/// How long a thread spins for answers before it sleeps: less than it costs to be woken.
const SPIN: Duration = Duration::from_micros(50);

/// The calls that are under way in one worker process.
///
/// Invariant LANE-1: each call is answered once: by the worker, or by the end of the process.
pub(crate) struct Lane {
    outlet: Outlet,
    closer: Closer,
    /// Names the process also when the system uses its id again.
    process: OwnedFd,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    next: u64,
    waiting: HashMap<u64, Reply>,
    /// Why it was killed from here.
    verdict: Option<String>,
    /// How the process ended.
    ended: Option<String>,
}

/// What is to be done with the answer of a call.
pub(super) type Reply = Box<dyn FnOnce(Answered) + Send>;

/// How a call in a worker process ended.
pub(crate) enum Answered {
    /// With a value, encoded.
    Value(Region),
    /// With an error of the task.
    Failed { error: Error, retryable: bool },
    /// With the process, as said.
    Died(String),
}

/// What an attempt was given, as its worker is told.
#[derive(Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) task: TaskId,
    pub(super) lease: LeaseId,
    pub(super) grant: Grant,
}

impl Lane {
    pub(super) fn new(outlet: Outlet, closer: Closer, process: OwnedFd) -> Arc<Self> {
        Arc::new(Self { outlet, closer, process, calls: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the process hasn't ended.
    pub(super) fn is_open(&self) -> bool {
        self.lock().ended.is_none() && !self.closer.is_closed()
    }

    /// Asks the process to end once it has nothing to do.
    pub(super) fn close(&self) {
        self.closer.close();
    }

    /// Kills the process, unless it has ended. Calls under way die for that `reason`.
    pub(super) fn kill(&self, reason: String) {
        self.lock().verdict.get_or_insert(reason);
        // Fails where the process is gone.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }

    /// Sends a call. `reply` gets its answer, here if the process is gone already; else on the lane's thread.
    pub(super) fn call(&self, packed: &Packed, attempt: u32, given: &Given, reply: Reply) -> u64 {
        let mut calls = self.lock();
        let call = calls.next;
        calls.next += 1;
        if let Some(how) = calls.ended.clone() {
            drop(calls);
            reply(Answered::Died(how));
            return call;
        }
        calls.waiting.insert(call, reply);
        drop(calls);
        let given = encode(given).expect("ids and amounts can be encoded");
        let header = Header {
            function: packed.function.0,
            attempt,
            given_bytes: given.len() as u32,
            ..Header::new(Kind::Run, call)
        };
        // Where the process is gone its end answers the call.
        let _ = self.outlet.send(header, [&packed.args, &given]);
        call
    }

    /// Asks the worker to stop a call.
    fn cancel(&self, call: u64) {
        let _ = self.outlet.send(Header::new(Kind::Cancel, call), [&[], &[]]);
    }

    /// Takes answers until the process is gone, then answers what is left. `how` waits for the end of the process, and
    /// says how it ended.
    pub(super) fn attend(&self, mut receiver: Receiver, how: impl FnOnce() -> String) {
        let mut inlet = Inlet::default();
        while receiver.wait(SPIN, None) != Wait::Closed {
            let mut garbled = false;
            let received = receiver.recv_batch(|frame| match inlet.take(frame) {
                Ok(Some((header, body))) => self.take(header, body),
                Ok(None) => {}
                Err(_) => garbled = true,
            });
            if garbled || received.is_err() {
                tracing::error!("a worker process sent what can't be read: its memory is damaged; it is ended");
                break;
            }
        }
        self.closer.close();
        self.end(how());
    }

    fn take(&self, header: Header, body: Region) {
        let Some(reply) = self.lock().waiting.remove(&header.call) else { return };
        reply(match header.kind {
            Kind::Value => Answered::Value(body),
            _ => match decode(&body) {
                Ok(error) => Answered::Failed { error, retryable: header.flag },
                Err(error) => Answered::Died(format!("sent an error that can't be read: {error}")),
            },
        });
    }

    fn end(&self, how: String) {
        let mut calls = self.lock();
        let how = calls.verdict.take().unwrap_or(how);
        calls.ended = Some(how.clone());
        let waiting = std::mem::take(&mut calls.waiting);
        drop(calls);
        waiting.into_values().for_each(|reply| reply(Answered::Died(how.clone())));
    }
}

/// Tells a worker that a call was cancelled.
pub(super) struct CancelCall {
    pub(super) lane: Arc<Lane>,
    pub(super) call: u64,
}

impl Wake for CancelCall {
    fn wake(self: Arc<Self>) {
        self.lane.cancel(self.call);
    }
}
