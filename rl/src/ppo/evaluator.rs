//! An actor that plays policies while training goes on.

use std::sync::{Mutex, PoisonError};

use rayline::{Actor, methods};

use super::{EpisodeEnd, PolicySnapshot, PpoError, evaluate_snapshot};
use crate::env::{VecEnv, make_vec};
use crate::nn::{ActorCritic, ActorCriticSpec};

/// Environments of its own, in which snapshots are played without exploration and with their statistics frozen.
#[derive(Actor)]
pub struct PolicyEvaluator {
    model: ActorCritic,
    /// Never locked: a call by `&mut self` has them alone. The lock makes them shareable, which need only be movable.
    envs: Mutex<Box<dyn VecEnv>>,
}

#[methods]
impl PolicyEvaluator {
    /// `envs` environments called `env`, for policies of `spec`.
    ///
    /// # Errors
    /// [`PpoError::Env`] for an unknown environment.
    pub fn new(env: String, envs: usize, spec: &ActorCriticSpec) -> Result<Self, PpoError> {
        Ok(Self { model: ActorCritic::new(spec.clone()), envs: Mutex::new(make_vec(&env, envs)?) })
    }

    /// Plays at least `episodes` episodes; see [`evaluate_snapshot`].
    ///
    /// # Errors
    /// As [`evaluate_snapshot`].
    pub fn evaluate(
        &mut self,
        policy: &PolicySnapshot,
        episodes: usize,
        seed: u64,
    ) -> Result<Vec<EpisodeEnd>, PpoError> {
        let envs = self.envs.get_mut().unwrap_or_else(PoisonError::into_inner);
        evaluate_snapshot(&self.model, policy, envs.as_mut(), episodes, seed)
    }
}
