//! Calls that wait for their answers, on either side of a connection.

use super::fetcher::Fetcher;
use super::values::{Unread, Value};
use super::wire::{Header, Kind};
use crate::control::Packed;
use crate::data::Data;
use crate::error::{Error, ErrorKind, Result};
use rayline_store::{Region, decode};
use std::sync::Arc;

/// The calls, by number.
#[derive(Default)]
pub(super) struct Calls {
    /// Each at its place, with its serial number. Free places are used again.
    waiting: Vec<Option<(u32, Box<dyn Waiting>)>>,
    free: Vec<u32>,
    serial: u32,
}

/// What a call is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    Task,
    Constructor,
    Method,
    /// Of something that the other process has referred to.
    Ask,
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
    fn attempt(&self) -> u32 {
        1
    }
    /// Whether it leaves what its answer names where it is.
    fn reads_later(&self) -> bool {
        false
    }
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

impl Answered {
    /// There is no process any more that could answer.
    pub(super) fn shut_down() -> Self {
        Self::Died("is gone, as the runtime was shut down".into())
    }

    /// What a message says; `value` finds what its body names.
    pub(super) fn of(header: Header, body: Region, value: impl FnOnce(Region) -> Value) -> Self {
        match header.kind {
            Kind::Value => Self::Value(value(body)),
            Kind::NotBegun => Self::NotBegun,
            Kind::Died => Self::Died(decode(&body).unwrap_or_else(|_| "has died".to_owned())),
            _ => match decode(&body) {
                Ok(error) => Self::Failed { error, retryable: header.flag },
                Err(error) => Self::Died(format!("sent an error that can't be read: {error}")),
            },
        }
    }

    /// Tells whoever waits: on this thread, or where a part of it has yet to be read on another.
    pub(super) fn hand_to(self, call: Box<dyn Waiting>, fetcher: &Arc<Fetcher>) {
        call.came(&self);
        match self {
            Self::Value(value) if value.is_elsewhere() && !call.reads_later() => {
                fetcher.run(Box::new(move || call.answered(Self::Value(value))));
            }
            answered => call.answered(answered),
        }
    }

    /// The outcome of a call that isn't made again.
    ///
    /// # Errors
    /// That of the call; [`ErrorKind::WorkerDied`], [`ErrorKind::Codec`], [`ErrorKind::Lost`].
    pub(crate) fn into_result<T: Data>(self, name: &'static str) -> Result<T> {
        let died = |how| Err(Error::in_task(ErrorKind::WorkerDied { how, attempt: 1 }, name));
        match self {
            Self::Value(value) => value.decode().or_else(|error| match error {
                Unread::Codec(error) => Err(Error::codec(name, "value", error)),
                Unread::Gone(how) => died(how),
            }),
            Self::Failed { error, .. } => Err(error),
            Self::Died(how) => died(how),
            Self::Refused(why) => Err(Error::in_task(ErrorKind::Lost(why), name)),
            Self::NotBegun => Err(Error::in_task(ErrorKind::Lost("its process has not begun it".into()), name)),
        }
    }
}

impl Calls {
    /// The call's number: its place below, its serial number above, so that a late cancellation finds no other call.
    pub(super) fn add(&mut self, call: Box<dyn Waiting>) -> u64 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() as u32 - 1
        });
        self.serial = self.serial.wrapping_add(1);
        self.waiting[place as usize] = Some((self.serial, call));
        u64::from(self.serial) << 32 | u64::from(place)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Box<dyn Waiting>> {
        let (serial, place) = ((number >> 32) as u32, number as u32);
        let (_, call) = self.waiting.get_mut(place as usize)?.take_if(|(found, _)| *found == serial)?;
        self.free.push(place);
        Some(call)
    }

    /// All of them, which get no other answer.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Box<dyn Waiting>> + use<> {
        std::mem::take(&mut self.waiting).into_iter().flatten().map(|(_, call)| call)
    }
}
