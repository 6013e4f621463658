//! A leased task in a process that stays when it has ended.

use super::calls::{Answered, Waiting};
use super::lane::{CancelCall, Given, Lane};
use crate::control::{Leased, Packed, Run, tell_ended};
use crate::error::chain;
use rayline_store::encode;
use std::sync::Arc;
use std::task::Waker;

/// A call of a leased task.
struct LeasedCall {
    task: Arc<dyn Leased>,
    packed: Arc<Packed>,
    run: Run,
}

/// Runs one attempt in the process at the end of a lane.
pub(crate) fn run_on(lane: &Arc<Lane>, task: Arc<dyn Leased>, run: Run) {
    let given = Given { task: run.task, lease: run.lease, grant: run.grant.clone() };
    let given = encode(&given).expect("ids and amounts can be encoded");
    let packed = match task.pack() {
        Ok(packed) => packed,
        Err(error) => {
            let how = format!("couldn't be sent its arguments: {}", chain(&error));
            return tell_ended(&run, task.ended(&run, Answered::Died(how)));
        }
    };
    let call = lane.call(Box::new(LeasedCall { task: task.clone(), packed, run }), &given);
    task.on_cancel(&Waker::from(Arc::new(CancelCall { lane: lane.clone(), call })));
}

impl Waiting for LeasedCall {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn attempt(&self) -> u32 {
        self.run.attempt()
    }

    fn answered(self: Box<Self>, answered: Answered) {
        let result = self.task.ended(&self.run, answered);
        tell_ended(&self.run, result);
    }
}
