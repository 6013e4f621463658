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
    #[error(
        "the policy takes observations of {expected_obs} numbers and gives {expected_action}, but the environment has \
         {found_obs} and takes {found_action}: say which environment it was trained for"
    )]
    Spaces {
        /// Numbers of an observation that the policy takes.
        expected_obs: usize,
        /// Actions that the policy gives.
        expected_action: String,
        /// The environment's observation space.
        found_obs: String,
        /// The environment's action space.
        found_action: String,
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
