//! What can go wrong in training.

use std::path::PathBuf;

use crate::collective::CollectiveError;
use crate::env::EnvError;
use crate::misfit::Misfit;
use crate::state_file::CheckpointError;

/// A setting, a batch, a checkpoint or the training itself is not sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PpoError {
    /// A setting that can't work.
    #[error("{field} is {value}, but {why}: {remedy}")]
    Config {
        /// The field of [`PpoConfig`](super::PpoConfig).
        field: &'static str,
        /// What it is set to.
        value: String,
        /// Why that can't work.
        why: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A batch, a snapshot or environments that don't fit the model.
    #[error("{what} don't fit the model: expected {expected}, found {found}")]
    Mismatch {
        /// What doesn't fit.
        what: &'static str,
        /// What the model needs.
        expected: String,
        /// What there is.
        found: String,
    },
    /// Experience of a policy that is too old.
    #[error("a rollout is {lag} updates old, but max_lag is {max_lag}: gather it with a later policy")]
    Stale {
        /// Updates made since that policy.
        lag: u64,
        /// The bound in the settings.
        max_lag: u64,
    },
    /// A loss or gradient stopped being a finite number. The parameters are those of before the failed minibatch.
    #[error(
        "{what} is {value} in update {update}, epoch {epoch}, minibatch {minibatch} (after {env_steps} environment \
         steps): lower the learning rate, or look for observations and rewards that are not finite or very large"
    )]
    NotFinite {
        /// Which quantity.
        what: &'static str,
        /// Its value: NaN or infinite.
        value: f32,
        /// Updates completed before, counted from the start of training.
        update: u64,
        /// Pass over the batch, from 0.
        epoch: usize,
        /// Place of the minibatch in its epoch, from 0.
        minibatch: usize,
        /// Environment steps learned from before this update.
        env_steps: u64,
    },
    /// An environment failed, or there is none of that name.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// A simulator failed; the source says how.
    #[error(transparent)]
    Simulator(#[from] rayline::Error),
    /// One of several learners failed, and with it the update; the parameters of the first are those of the last step.
    /// The next update begins with copies of it in the places of all others.
    #[error("learner {rank} failed")]
    Learner {
        /// Which one; 0 is that of the driver.
        rank: usize,
        /// Why.
        source: rayline::Error,
    },
    /// The group that joins the gradients of several learners failed.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// A checkpoint can't be read or written.
    #[error("checkpoint {}: {action} failed", path.display())]
    CheckpointIo {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is not a checkpoint of this crate, or a damaged one.
    #[error("checkpoint {}: {reason}", path.display())]
    CheckpointInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint written by another version of the format.
    #[error("checkpoint {}: has format version {found}, this program reads version {expected}", path.display())]
    CheckpointVersion {
        /// The file.
        path: PathBuf,
        /// The version read by this program.
        expected: u32,
        /// The version found.
        found: String,
    },
    /// A tensor of a checkpoint that doesn't fit the model that the checkpoint describes.
    #[error("checkpoint {}: tensor {tensor} should be {expected}, but is {found}", path.display())]
    CheckpointTensor {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Element type and shape that the model needs.
        expected: String,
        /// Element type and shape found, or `missing`.
        found: String,
    },
}

impl PpoError {
    /// An error about environments that don't fit.
    pub(crate) fn misfit((what, expected, found): Misfit) -> Self {
        Self::Mismatch { what, expected, found }
    }
}

impl From<CheckpointError> for PpoError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Io { path, action, source } => Self::CheckpointIo { path, action, source },
            CheckpointError::Invalid { path, reason } => Self::CheckpointInvalid { path, reason },
            CheckpointError::Version { path, expected, found } => Self::CheckpointVersion { path, expected, found },
            CheckpointError::Tensor { path, tensor, expected, found } => {
                Self::CheckpointTensor { path, tensor, expected, found }
            }
        }
    }
}
