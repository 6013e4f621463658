//! What a cell ends with when its job doesn't.

use std::any::Any;
use std::sync::Arc;

/// Why a job has no result of its own.
pub enum Fault {
    /// It panicked with this payload.
    Panicked(Box<dyn Any + Send>),
    /// The pool was shut down before it started.
    Shutdown,
    /// The actor that it was sent to is gone, for this reason.
    Closed(Arc<dyn Any + Send + Sync>),
    /// The promise was dropped without an outcome.
    Dropped,
}

/// A type that can say why there is no result: typically a `Result` with the caller's error.
pub trait Outcome: Send + 'static {
    /// The outcome of the job `name` that met `fault`.
    fn from_fault(name: &'static str, fault: Fault) -> Self;
}
