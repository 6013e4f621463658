//! Wrappers: batches of environments that change what another batch sees, earns or does, or keep a record of it.
//!
//! They stack: the innermost is what the environment gives first.
//!
//! ```
//! use rayline_rl::env::wrappers::{ClipAction, FrameStack, NormalizeObs, NormalizeReward, RecordEpisodes, RunningStats};
//! use rayline_rl::env::{StepBuf, VecEnv, make_vec};
//!
//! let envs = RecordEpisodes::new(ClipAction::new(make_vec("Pendulum-v1", 8)?)?, 100);
//! let mut envs = NormalizeReward::new(NormalizeObs::new(envs)?, 0.99);
//! let mut out = StepBuf::new(&envs);
//! envs.reset(7, &mut out.obs)?;
//!
//! // Statistics are saved by serde, and frozen where a policy is judged.
//! let saved = serde_json::to_string(envs.inner().stats())?;
//! let stats: RunningStats = serde_json::from_str(&saved)?;
//! let evaluation = NormalizeObs::new(make_vec("Pendulum-v1", 8)?)?.with_stats(stats)?.frozen();
//! let stacked = FrameStack::new(evaluation, 4)?;
//! assert_eq!(stacked.observation_space().width(), 12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For one environment, put the wrapped batch of one into [`Single`].

mod clip_action;
mod flatten_obs;
mod frame_stack;
mod normalize_obs;
mod normalize_reward;
mod record_episodes;
mod rescale_action;
mod running_stats;
mod single;
mod vec_time_limit;

pub use clip_action::ClipAction;
pub use flatten_obs::FlattenObs;
pub use frame_stack::FrameStack;
pub use normalize_obs::NormalizeObs;
pub use normalize_reward::NormalizeReward;
pub use record_episodes::{EpisodeRecord, RecordEpisodes};
pub use rescale_action::RescaleAction;
pub use running_stats::RunningStats;
pub use single::Single;
pub use vec_time_limit::VecTimeLimit;

use super::{EnvError, Space};

/// The bounds of a box, `[elements]` each, or an error that names the wrapper.
fn bounds<'a>(wrapper: &'static str, space: &'a Space) -> Result<(&'a [f32], &'a [f32]), EnvError> {
    match space {
        Space::Box { low, high, .. } => Ok((low, high)),
        other => Err(EnvError::NotFor { wrapper, expected: "a box", space: other.to_string() }),
    }
}

/// The part of [`VecEnv`](super::VecEnv) that a wrapper leaves as it is; what choices are allowed always is.
macro_rules! forward {
    ($($method:ident -> $result:ty),*) => {$(
        fn $method(&self) -> $result {
            self.envs.$method()
        }
    )*
        fn has_action_mask(&self) -> bool {
            self.envs.has_action_mask()
        }

        fn action_mask(&self, mask: &mut [bool]) {
            self.envs.action_mask(mask);
        }
    };
}

use forward;
