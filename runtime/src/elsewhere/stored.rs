//! Where a value is that stays on a node.

use crate::data::Data;
use crate::error::{Error, ErrorKind, Result};
use crate::process::{Unread, Value};
use crate::runtime;
use rayline_core::ids::{Attempt, NodeId, ObjectId};
use rayline_store::Region;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A value of any type, as its worker gave it.
pub(crate) struct Stored {
    name: &'static str,
    object: ObjectId,
    state: Mutex<State>,
    changed: Condvar,
}

/// ```text
///  There --its worker is gone, or it can't be read--> (told to the owner) --> There, made by a later attempt
///    '--nobody needs it--> Gone --it is needed again--> There                  '--> Failed
/// ```
enum State {
    There { value: Arc<Value>, attempt: Attempt },
    Gone,
    Failed(Error),
}

impl Stored {
    pub(crate) fn new(name: &'static str, object: ObjectId, value: Value) -> Arc<Self> {
        let state = State::There { value: Arc::new(value), attempt: Attempt::FIRST };
        Arc::new(Self { name, object, state: Mutex::new(state), changed: Condvar::new() })
    }

    pub(crate) fn object(&self) -> ObjectId {
        self.object
    }

    /// The value, decoded. Blocks while it is read, and while it is made again.
    ///
    /// # Errors
    /// Where it can't be made again; [`ErrorKind::Codec`].
    pub(super) fn read<T: Data>(&self) -> Result<T> {
        let mut unread = None;
        loop {
            let (value, attempt) = self.wait(unread)?;
            match value.decode() {
                Ok(value) => return Ok(value),
                Err(Unread::Codec(error)) => return Err(Error::codec(self.name, "value", error)),
                Err(Unread::Gone(_)) => unread = Some(attempt),
            }
        }
    }

    /// Its encoding, for another process to read. Blocks while it is made again.
    ///
    /// # Errors
    /// Where it can't be made again.
    pub(crate) fn encoded(&self) -> Result<Region> {
        rayline_exec::blocking(|| self.wait(None)).map(|(value, _)| value.shared_body())
    }

    /// The same, where it is there.
    ///
    /// # Errors
    /// Where it isn't.
    pub(crate) fn encoded_now(&self) -> Result<Region> {
        match &*self.lock() {
            State::There { value, .. } if value.is_reachable() => Ok(value.shared_body()),
            State::There { .. } | State::Gone => Err(Error::in_task(
                ErrorKind::Lost("its value is gone, and has yet to be made again".into()),
                self.name,
            )),
            State::Failed(error) => Err(error.clone()),
        }
    }

    /// Why there will be no value.
    pub(crate) fn failure(&self) -> Option<Error> {
        match &*self.lock() {
            State::Failed(error) => Some(error.clone()),
            State::There { .. } | State::Gone => None,
        }
    }

    /// The value, of a later attempt than the one that was `unread`.
    fn wait(&self, unread: Option<Attempt>) -> Result<(Arc<Value>, Attempt)> {
        let mut told = None;
        let mut state = self.lock();
        loop {
            match &*state {
                State::Failed(error) => return Err(error.clone()),
                State::Gone => {}
                State::There { value, attempt } => {
                    let is_lost = unread.is_some_and(|unread| *attempt <= unread) || !value.is_reachable();
                    if !is_lost {
                        return Ok((value.clone(), *attempt));
                    }
                    if told != Some(*attempt) {
                        told = Some(*attempt);
                        if !runtime::control().object_lost(self.object, value.node(), *attempt) {
                            return Err(self.shut_down());
                        }
                    }
                }
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An attempt has made it again, unless it has failed for good meanwhile.
    pub(super) fn came(&self, value: Value, attempt: Attempt) {
        if self.failure().is_none() {
            self.set(State::There { value: Arc::new(value), attempt });
        }
    }

    /// Whether it is on that node, in a worker that is gone.
    pub(crate) fn is_lost_on(&self, node: NodeId) -> Option<Attempt> {
        match &*self.lock() {
            State::There { value, attempt } if value.node() == node && !value.is_reachable() => Some(*attempt),
            _ => None,
        }
    }

    /// Nobody needs what an attempt up to that one has made.
    pub(super) fn release(&self, until: Attempt) {
        if matches!(&*self.lock(), State::There { attempt, .. } if *attempt <= until) {
            self.set(State::Gone);
        }
    }

    /// It can't be made again, or its worker goes with the runtime.
    pub(super) fn fail(&self, error: Error) {
        self.set(State::Failed(error));
    }

    fn set(&self, state: State) {
        let before = std::mem::replace(&mut *self.lock(), state);
        self.changed.notify_all();
        // Not while the lock is held: its worker is told.
        drop(before);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of a value that went with its runtime.
    pub(super) fn shut_down(&self) -> Error {
        Error::in_task(ErrorKind::Shutdown, self.name)
    }
}
