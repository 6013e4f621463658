//! An isolated task on a node: its worker hands it on to a process of its own.

use super::calls::Answered;
use super::worker::{Call, Worker};
use crate::control::{Leased, Packed, Run, Turn};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Answer;
use crate::runtime;
use rayline_core::owner::FailureKind;
use std::sync::Arc;
use std::task::Waker;

/// Has a call run in a process of its own, and its answer sent as if it had run here.
pub(super) fn relay(call: Call) {
    let (run, cancellation) = (call.run.clone(), call.cancellation().clone());
    let packed = Arc::new(Packed { function: call.function(), args: call.args.clone(), is_isolated: true });
    let relayed = Relayed { worker: call.worker, call: call.header.call, name: call.entry.name, packed, cancellation };
    runtime::control().run_apart(Arc::new(relayed), run);
}

/// A call of the driver's, as the fleet of its worker sees it.
struct Relayed {
    worker: Arc<Worker>,
    call: u64,
    name: &'static str,
    packed: Arc<Packed>,
    cancellation: Arc<crate::context::Cancellation>,
}

impl Leased for Relayed {
    fn run(&self, _: &Run) -> Turn {
        unreachable!("a packed task runs apart")
    }

    fn fail(&self, error: Option<Error>) {
        let error = error.unwrap_or_else(|| Error::in_task(ErrorKind::Shutdown, self.name));
        self.worker.answer(self.call, Answer::Failed { error, retryable: false });
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn pack(&self) -> Result<Arc<Packed>> {
        Ok(self.packed.clone())
    }

    fn ended(&self, _: &Run, answered: Answered) -> Result<(), FailureKind> {
        self.worker.answer(
            self.call,
            match answered {
                Answered::Value(value) => Answer::Value(value.into_body()),
                Answered::Failed { error, retryable } => Answer::Failed { error, retryable },
                Answered::NotBegun => Answer::Died("has not begun it".into()),
                Answered::Died(how) => Answer::Died(how),
                Answered::Refused(why) => {
                    let error = Error::in_task(ErrorKind::Lost(why), self.name);
                    Answer::Failed { error, retryable: false }
                }
            },
        );
        Ok(())
    }

    fn on_cancel(&self, waker: &Waker) {
        if self.cancellation.poll(waker) {
            waker.wake_by_ref();
        }
    }

    fn tell_cancelled(&self) {
        self.cancellation.tell();
    }

    fn name(&self) -> &'static str {
        self.name
    }
}
