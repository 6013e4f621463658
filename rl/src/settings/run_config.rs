//! The settings of a run that are no algorithm's.

use serde::{Deserialize, Serialize};

/// What is trained, by how many, and what is kept. The keys at the top of a file of settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// The environment, by its id.
    pub env: String,
    /// Name of the settings to start from; `None` for those tuned for the environment.
    pub preset: Option<String>,
    /// Actors: simulators of PPO, evaluators of evolution strategies. PPO's runs depend on it.
    pub workers: usize,
    /// Mean return at which to stop: of the last 100 episodes with PPO, of an evaluation with evolution strategies.
    /// `None` for never.
    pub target: Option<f64>,
    /// Environment steps between two checkpoints; 0 for one at the end alone.
    pub checkpoint_steps: u64,
    /// Updates or rounds between two evaluations without exploration, of which the best policy is kept; 0 for none.
    /// `None` for 16 with PPO, and for what `[es]` says with evolution strategies.
    pub eval_every: Option<u64>,
    /// Episodes of an evaluation. `None` for 10 with PPO, and for what `[es]` says with evolution strategies.
    pub eval_episodes: Option<u32>,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            env: "CartPole-v1".to_owned(),
            preset: None,
            workers: 2,
            target: None,
            checkpoint_steps: 100_000,
            eval_every: None,
            eval_episodes: None,
        }
    }
}
