//! The answer to a call of a method, in the actor's process.

use super::lent::Lent;
use super::lives::LifeId;
use super::worker::Worker;
use crate::error::{Error, Result};
use crate::registry::Answer;
use rayline_core::ids::{ActorId, Incarnation};
use rayline_store::{Carrier, Region, encode_with};
use serde::Serialize;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Answers a call once. Dropped without, it says that the call has not begun.
#[doc(hidden)]
pub struct Reply {
    worker: Arc<Worker>,
    call: u64,
    is_due: bool,
}

impl Reply {
    pub(super) fn new(worker: Arc<Worker>, call: u64) -> Self {
        worker.methods.fetch_add(1, Ordering::Relaxed);
        Self { worker, call, is_due: true }
    }

    fn give(&mut self, answer: Answer) {
        self.is_due = false;
        self.worker.methods.fetch_sub(1, Ordering::Relaxed);
        self.worker.answer(self.call, answer);
    }

    fn lent(&self) -> Lent<'_> {
        self.worker.upstream.get().expect("a call comes after the greeting").lend()
    }

    /// What names the large buffers of the arguments.
    pub(crate) fn carrier(&self) -> impl Carrier {
        self.lent()
    }

    /// Answers with a method's result, and then sends the checkpoint that was taken after it: so the driver knows which calls
    /// are in it.
    pub(crate) fn answer_and_save<T: Serialize>(
        self,
        name: &'static str,
        result: Result<T>,
        saved: Option<(ActorId, Incarnation, Region)>,
    ) {
        let worker = self.worker.clone();
        self.answer(name, result);
        if let Some((actor, incarnation, saved)) = saved {
            worker.save(LifeId { actor, incarnation }, &saved);
        }
    }

    /// Answers with a method's result.
    pub(crate) fn answer<T: Serialize>(mut self, name: &'static str, result: Result<T>) {
        let lent = self.lent();
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
