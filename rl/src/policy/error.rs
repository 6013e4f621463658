//! What can go wrong with trained policies.

use std::path::PathBuf;

use crate::env::EnvError;
use crate::es::EsError;
use crate::ppo::PpoError;
use crate::state_file::CheckpointError;

/// A policy can't be loaded, played or exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file is no checkpoint, or a damaged one.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint of PPO that is unsound.
    #[error(transparent)]
    Ppo(#[from] PpoError),
    /// A checkpoint of evolution strategies that is unsound.
    #[error(transparent)]
    Es(#[from] EsError),
    /// An environment failed.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// An environment with other spaces than the policy was trained for.
    #[error("{what} do not fit the policy: it was trained for {expected}, found {found}")]
    Spaces {
        /// What doesn't fit.
        what: &'static str,
        /// What the policy was trained for.
        expected: String,
        /// What there is.
        found: String,
    },
    /// What is asked for can't be had of a policy with memory.
    #[error("a policy with memory (`lstm_units`) can't be {what}; `TrainedPolicy::play` plays it")]
    Memory {
        /// What was asked for.
        what: &'static str,
    },
    /// An exported file can't be written.
    #[error("can't write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}
