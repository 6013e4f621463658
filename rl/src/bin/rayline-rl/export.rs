//! `rayline-rl export`.

use std::path::PathBuf;

use clap::Args;
use rayline_rl::policy::{TrainedPolicy, export};

use crate::folder::checkpoint_at;
use crate::{Done, output};

/// Write a trained policy for other tools: policy.safetensors under the names and shapes of torch.nn.Sequential, and
/// policy.json, which says what the networks are like.
#[derive(Args, Debug)]
pub struct Export {
    /// The folder of a run (its best policy is exported) or a checkpoint
    policy: PathBuf,

    /// Folder to write to
    #[arg(long, value_name = "FOLDER", default_value = "policy")]
    out: PathBuf,
}

impl Export {
    /// Does as it says.
    pub fn run(&self) -> Done {
        let policy = TrainedPolicy::load(&checkpoint_at(&self.policy))?;
        let exported = export(&policy, &self.out)?;
        output::line(&format!("{}\n{}", exported.weights.display(), exported.architecture.display()))?;
        Ok(())
    }
}
