//! How a value that is lost is made again.

use super::Stored;
use crate::arg::ArgList;
use crate::control::{Leased, Packed, Run, Turn};
use crate::error::{Error, ErrorKind, Result};
use crate::process::Answered;
use crate::task::{Task, pack};
use rayline_core::ids::{Attempt, ObjectId};
use rayline_core::owner::FailureKind;
use std::sync::{Arc, Mutex, PoisonError};

/// A task that has run, its arguments, and its value: the lineage of that. Arguments that are elsewhere are referred to
/// as such, and not kept: they are made again where need be.
pub(crate) struct Recipe<T: Task> {
    args: T::Args,
    stored: Arc<Stored>,
    last_error: Mutex<Option<Error>>,
}

impl<T: Task<Args: Clone + Sync>> Recipe<T> {
    /// The recipe of a task, and the arguments that it may have to have made again.
    pub(crate) fn shared(args: &T::Args, stored: Arc<Stored>) -> (Arc<dyn Leased>, Vec<ObjectId>) {
        let (args, mut objects) = (args.as_lineage(), Vec::new());
        args.objects(&mut objects);
        (Arc::new(Self { args, stored, last_error: Mutex::default() }), objects)
    }

    fn failed(&self, error: Error, kind: FailureKind) -> FailureKind {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        kind
    }
}

impl<T: Task<Args: Clone + Sync>> Leased for Recipe<T> {
    fn run(&self, _: &Run) -> Turn {
        unreachable!("it runs on nodes")
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn pack(&self) -> Result<Arc<Packed>> {
        pack::<T>(&self.args).map(Arc::new)
    }

    fn stored(&self) -> Option<&Stored> {
        Some(&self.stored)
    }

    fn release(&self, until: Attempt) {
        self.stored.release(until);
    }

    fn ended(&self, run: &Run, answered: Answered) -> std::result::Result<(), FailureKind> {
        let died = |how| ErrorKind::WorkerDied { how, attempt: run.attempt() };
        let (kind, error) = match answered {
            Answered::Value(value) => {
                self.stored.came(value, run.attempt);
                return Ok(());
            }
            Answered::Failed { error, retryable } => (FailureKind::Application { retryable }, error),
            Answered::Refused(why) => {
                (FailureKind::Application { retryable: false }, Error::in_task(ErrorKind::Lost(why), T::NAME))
            }
            Answered::NotBegun => (FailureKind::System, Error::in_task(died("has not begun it".into()), T::NAME)),
            Answered::Died(how) => (FailureKind::System, Error::in_task(died(how), T::NAME)),
        };
        Err(self.failed(error, kind))
    }

    fn fail(&self, error: Option<Error>) {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.stored.fail(error.or(last).unwrap_or_else(|| self.stored.shut_down()));
    }

    fn name(&self) -> &'static str {
        T::NAME
    }
}
