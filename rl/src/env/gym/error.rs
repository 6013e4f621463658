//! What can go wrong with environments in Python.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// A Python process could not be started, failed, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GymError {
    /// Python is not there.
    #[error("{} can't be started: name a Python with `python(..)`, or put one in PATH", python.display())]
    NoPython {
        /// The program.
        python: OsString,
        /// Why.
        source: io::Error,
    },
    /// Python has no Gymnasium.
    #[error("no Gymnasium ({reason}): run `pip install gymnasium` with that Python, or name another with `python(..)`")]
    NoGymnasium {
        /// Which Python, and what it said.
        reason: String,
    },
    /// Python raised an exception.
    #[error("{id} raised an exception in Python:\n{traceback}")]
    Raised {
        /// The id of the environment.
        id: String,
        /// Its traceback, as Python writes it.
        traceback: String,
    },
    /// A process ended that nobody had ended.
    #[error("the Python process of {id} ended: {status}")]
    Died {
        /// The id of the environment.
        id: String,
        /// How.
        status: ExitStatus,
    },
    /// A process did not answer in time. It was killed.
    #[error("the Python process of {id} did not answer within {after:?}")]
    TimedOut {
        /// The id of the environment.
        id: String,
        /// How long it had.
        after: Duration,
    },
    /// An earlier error ended the process.
    #[error("the Python process of {id} has failed before: make a new batch")]
    Failed {
        /// The id of the environment.
        id: String,
    },
    /// A process was asked for what it can't do now.
    #[error("the Python process {process} of {id} {why}")]
    OutOfTurn {
        /// The id of the environment.
        id: String,
        /// Place of the process in the batch.
        process: usize,
        /// What it is doing.
        why: &'static str,
    },
    /// The processes describe different spaces, or what is no space.
    #[error("{id} describes its spaces in a way that isn't understood: {reason}")]
    Spaces {
        /// The id of the environment.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// The system refused.
    #[error("{action} failed")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl GymError {
    /// For `map_err`.
    pub(super) fn io(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
