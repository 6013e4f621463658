//! What a run tells of itself.

use serde::{Deserialize, Serialize};

use super::EsLearner;
use crate::ppo::EpisodeEnd;

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EsStats {
    /// Rounds completed, this one included.
    pub round: u64,
    /// Pairs that came in.
    pub pairs: usize,
    /// Pairs that were lost to failures and cut off for being late.
    pub lost_pairs: usize,
    /// Mean return of all perturbations.
    pub mean_return: f32,
    /// Greatest return of a perturbation.
    pub max_return: f32,
    /// Mean steps of a perturbation.
    pub mean_steps: f32,
    /// Norm of the gradient estimate, weight decay left out.
    pub gradient_norm: f32,
    /// Norm of the parameters after the update.
    pub parameter_norm: f32,
    /// Environment steps of the round, evaluation left out.
    pub env_steps: u64,
}

/// How a policy did without perturbation and noise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The episodes played, in order of their numbers.
    pub episodes: Vec<EpisodeEnd>,
}

/// How far a run is, told after each round.
#[derive(Debug)]
pub struct EsProgress<'a> {
    /// Environment steps of all rounds.
    pub env_steps: u64,
    /// What the round did.
    pub stats: &'a EsStats,
    /// How the policy does after it, where an evaluation was due.
    pub evaluation: Option<&'a Evaluation>,
    /// The learner, for policies and checkpoints.
    pub learner: &'a EsLearner,
}

impl Evaluation {
    /// Mean return; `None` without episodes.
    pub fn mean_return(&self) -> Option<f64> {
        let sum: f64 = self.episodes.iter().map(|end| end.total_reward).sum();
        (!self.episodes.is_empty()).then(|| sum / self.episodes.len() as f64)
    }
}
