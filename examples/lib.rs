//! What the training examples share: their common arguments, what they print, and how they play a policy.

mod args;
mod report;

pub use args::Common;
pub use report::{Report, Summary, play};

use std::process::ExitCode;

/// The environment that is trained where nothing is said.
pub const DEFAULT_ENV: &str = "CartPole-v1";

/// The exit code of an example, after telling what went wrong, if anything did.
pub fn exit(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
