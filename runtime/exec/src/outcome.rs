//! What a cell ends with when its job doesn't.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Why a job has no result of its own.
pub enum Fault {
    /// It panicked with this payload.
    Panicked(Box<dyn Any + Send>),
    /// The pool was shut down before it started.
    Shutdown,
    /// The actor that it was sent to is gone, for this reason.
    Closed(Arc<dyn Any + Send + Sync>),
    /// The promise was dropped without an outcome, or the mailbox with the message in it.
    Dropped,
}

/// A type that can say why there is no result: typically a `Result` with the caller's error.
pub trait Outcome: Send + 'static {
    /// The outcome of the job `name` that met `fault`. Must not panic of itself.
    fn from_fault(name: &'static str, fault: Fault) -> Self;
}

/// The outcome of a job that panicked. Saying so may drop the payload, and with it more of the user's code.
#[cold]
pub(crate) fn panicked<O: Outcome>(name: &'static str, payload: Box<dyn Any + Send>) -> O {
    let outcome = catch_unwind(AssertUnwindSafe(|| O::from_fault(name, Fault::Panicked(payload))));
    outcome.unwrap_or_else(|again| {
        std::mem::forget(again);
        O::from_fault(name, Fault::Panicked(Box::new("a panic whose payload panicked when it was dropped")))
    })
}
