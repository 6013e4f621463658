//! The answer to a call of a method, or to what another process asks, where it is made.

use super::calls::Answered;
use super::lent::Lent;
use super::lives::LifeId;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Answer;
use rayline_core::ids::{ActorId, Incarnation};
use rayline_store::{Carrier, Region, encode, encode_with};
use serde::Serialize;
use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;

/// Who sends answers to another process.
pub(crate) trait Answering: Send + Sync {
    /// A call has come.
    fn begin(&self) {}
    /// A call has its answer.
    fn answer(&self, call: u64, answer: Answer);
    /// What names the large buffers of arguments and values.
    fn lend(&self) -> Lent<'_>;
    /// Keeps something for the other process, until that releases the call or is gone.
    fn keep(&self, call: u64, thing: Box<dyn Any + Send>);
    /// Has the driver keep a checkpoint of an actor that lives here for it.
    fn save(&self, _: LifeId, _: &Region) {}
}

/// Answers a call once. Dropped without, it says that the call has not begun.
#[doc(hidden)]
pub struct Reply {
    to: Arc<dyn Answering>,
    call: u64,
    is_due: bool,
}

impl Reply {
    pub(super) fn new(to: Arc<dyn Answering>, call: u64) -> Self {
        to.begin();
        Self { to, call, is_due: true }
    }

    fn give(&mut self, answer: Answer) {
        self.is_due = false;
        self.to.answer(self.call, answer);
    }

    /// What names the large buffers of the arguments.
    pub(crate) fn carrier(&self) -> impl Carrier {
        self.to.lend()
    }

    /// Answers with an error.
    pub(crate) fn fail(mut self, error: Error) {
        self.give(Answer::Failed { error, retryable: false });
    }

    /// Answers as another process has answered.
    pub(crate) fn relay(mut self, answered: Answered, name: &'static str) {
        self.give(match answered {
            Answered::Value(value) => Answer::Value(value.into_body()),
            Answered::Failed { error, retryable } => Answer::Failed { error, retryable },
            Answered::NotBegun => Answer::NotBegun,
            Answered::Died(how) => Answer::Died(how),
            Answered::Refused(why) => {
                Answer::Failed { error: Error::in_task(ErrorKind::Lost(why), name), retryable: false }
            }
        });
    }

    /// Answers with a value as it came from another process.
    pub(crate) fn pass_on(mut self, encoded: Region) {
        self.give(Answer::Value(encoded));
    }

    /// Answers that `thing` is kept until the other process lets it go.
    pub(crate) fn keep(mut self, thing: Box<dyn Any + Send>) {
        self.to.keep(self.call, thing);
        self.give(Answer::Value(encode(&()).expect("nothing can be encoded")));
    }

    /// Answers with a method's result, and then sends the checkpoint that was taken after it: so the driver knows which calls
    /// are in it.
    pub(crate) fn answer_and_save<T: Serialize>(
        self,
        name: &'static str,
        result: Result<T>,
        saved: Option<(ActorId, Incarnation, Region)>,
    ) {
        let to = self.to.clone();
        self.answer(name, result);
        if let Some((actor, incarnation, saved)) = saved {
            to.save(LifeId { actor, incarnation }, &saved);
        }
    }

    /// Answers with a method's result.
    pub(crate) fn answer<T: Serialize>(mut self, name: &'static str, result: Result<T>) {
        let lent = self.to.lend();
        let encoded =
            result.and_then(|value| encode_with(&value, &lent).map_err(|error| Error::codec(name, "value", error)));
        let answer = match encoded {
            Ok(value) => {
                lent.give_away();
                Answer::Value(value)
            }
            Err(error) => Answer::Failed { error, retryable: false },
        };
        self.give(answer);
    }

    /// Runs a method. Its panic is answered, and goes on.
    pub(crate) fn watch<T>(&mut self, name: &'static str, method: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(method)).unwrap_or_else(|payload| {
            self.panicked(name, &*payload);
            resume_unwind(payload)
        })
    }

    /// Runs a method that may await.
    pub(crate) async fn watch_async<T>(&mut self, name: &'static str, method: impl Future<Output = T>) -> T {
        let mut method = pin!(method);
        poll_fn(|context| self.watch(name, || method.as_mut().poll(context))).await
    }

    fn panicked(&mut self, name: &'static str, payload: &(dyn std::any::Any + Send)) {
        let error = Error::panicked(name, 1, payload);
        self.give(Answer::Failed { error, retryable: false });
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.is_due {
            self.give(Answer::NotBegun);
        }
    }
}
