//! What a process of the program is: its driver, or a worker that a driver started.
//!
//! A worker is the same program. It mustn't run the program's `main`, wherever that calls the runtime, nor a test
//! harness's: so it turns off before `main`, when the system's loader calls the program's initializers
//! (`docs/decisions/007-before-main.md`).

use super::worker;
use std::process::Command;

/// The id of the process whose worker this is. Any other child inherits the variable, but has another parent.
const WORKER_OF: &str = "RAYLINE_WORKER_OF";

/// Makes `command`, which runs this program, start a worker of this process.
pub(crate) fn assign_worker(command: &mut Command) {
    keep();
    command.env(WORKER_OF, std::process::id().to_string());
}

rayline_transport::initializer!(turn_off);

fn turn_off() {
    let Some(driver) = std::env::var(WORKER_OF).ok().and_then(|id| id.parse::<i32>().ok()) else { return };
    let parent = || rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get());
    if parent() == Some(driver) {
        worker::main(|| parent() == Some(driver));
    }
}
