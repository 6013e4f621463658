//! How functions answer.

use std::cell::Cell;
use std::ffi::c_int;

use crate::driver::Driver;
use crate::fault::{Fault, Status};

thread_local! {
    /// The context that is current on this thread: a device's number, from 1 on; 0 is none.
    static CONTEXT: Cell<usize> = const { Cell::new(0) };
}

/// Runs a function of the interface, unless a device has failed: then it answers with that failure.
pub fn answer(function: impl FnOnce(&'static Driver) -> Result<(), Fault>) -> c_int {
    status(|driver| driver.failure().map_or(Ok(()), Err).and_then(|()| function(driver)))
}

/// Runs a function that has its own answer though a device has failed.
pub fn status(function: impl FnOnce(&'static Driver) -> Result<(), Fault>) -> c_int {
    let outcome = Driver::global().and_then(|driver| function(driver).inspect_err(|fault| driver.explain(fault)));
    outcome.map_or_else(|fault| fault.status, |()| Status::Success) as c_int
}

/// Makes a context current on this thread.
pub fn set_context(context: usize) {
    CONTEXT.set(context);
}

/// The context that is current on this thread, 0 for none.
pub fn context() -> usize {
    CONTEXT.get()
}

/// The device of the context that is current on this thread.
///
/// # Errors
/// `InvalidContext` if none is.
pub fn current_device() -> Result<usize, Fault> {
    context().checked_sub(1).ok_or_else(|| Fault::new(Status::InvalidContext, "no context is current on this thread"))
}
