//! What an update failed on.

use std::fs;
use std::path::Path;

use super::{Checkpoint, PpoError, PpoLearner, RolloutBatch, UpdateStats};

/// The learner and the rollouts of an update that found a number that is none, to be looked at and tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedUpdate {
    /// The learner as the failure left it: its parameters are those of before the failed minibatch.
    pub checkpoint: Checkpoint,
    /// What it was to learn from, one of each simulator.
    pub rollouts: Vec<RolloutBatch>,
}

impl FailedUpdate {
    /// Writes all of it to the folder `path`, which is made if need be: `checkpoint.safetensors`, and
    /// `rollout-0.safetensors` and so on.
    ///
    /// # Errors
    /// [`PpoError::CheckpointIo`] if the system refuses.
    pub fn save(&self, path: &Path) -> Result<(), PpoError> {
        let failed = |source| PpoError::CheckpointIo { path: path.to_path_buf(), action: "making the folder", source };
        fs::create_dir_all(path).map_err(failed)?;
        self.checkpoint.save(path.join("checkpoint.safetensors"))?;
        let mut numbered = self.rollouts.iter().enumerate();
        numbered.try_for_each(|(at, rollout)| rollout.save(&rollout_path(path, at)))
    }

    /// Reads what [`FailedUpdate::save`] has written.
    ///
    /// # Errors
    /// As [`Checkpoint::load`] and [`RolloutBatch::load`].
    pub fn load(path: &Path) -> Result<Self, PpoError> {
        let checkpoint = Checkpoint::load(path.join("checkpoint.safetensors"))?;
        let paths = (0..).map(|at| rollout_path(path, at)).take_while(|path| path.exists());
        let rollouts = paths.map(|path| RolloutBatch::load(&path)).collect::<Result<_, _>>()?;
        Ok(Self { checkpoint, rollouts })
    }

    /// Tries the update again, from where it failed.
    ///
    /// # Errors
    /// As [`PpoLearner::update`]: the failure again, unless settings or rollouts were changed.
    pub fn replay(&self) -> Result<UpdateStats, PpoError> {
        PpoLearner::from_checkpoint(self.checkpoint.clone())?.update(&self.rollouts)
    }
}

fn rollout_path(folder: &Path, at: usize) -> std::path::PathBuf {
    folder.join(format!("rollout-{at}.safetensors"))
}
