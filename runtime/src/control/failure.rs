//! What the machines' failures are as errors.

use crate::error::{Error, ErrorKind};
use rayline_core::controller::ActorRefusal;
use rayline_core::owner::Failure;

/// The error of a task that failed for good; `None` where it is that of its last attempt.
pub(super) fn of_task(failure: Failure, task: &'static str) -> Option<Error> {
    let kind = match failure {
        Failure::Application { .. } => return None,
        Failure::Cancelled { .. } => ErrorKind::Cancelled,
        Failure::Infeasible(infeasible) => ErrorKind::Infeasible(infeasible.to_string()),
        Failure::GroupGone { .. } => ErrorKind::Group("the group that it was placed in is gone".into()),
        other => ErrorKind::Lost(other.to_string()),
    };
    Some(Error::in_task(kind, task))
}

/// The error of an actor that wasn't created.
pub(super) fn of_actor(refusal: ActorRefusal) -> Error {
    Error::new(match refusal {
        ActorRefusal::Infeasible(infeasible) => ErrorKind::Infeasible(infeasible.to_string()),
        refusal => ErrorKind::ActorRefused(refusal.to_string()),
    })
}
