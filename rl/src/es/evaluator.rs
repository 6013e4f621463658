//! A runner as an actor: its environments are stepped where the actor lives, beside others.

use std::sync::{Mutex, PoisonError};

use rayline::{Actor, Tensor, context, methods};

use super::{EsConfig, EsError, EsPolicy, Harvest, PairRange, PairRunner};
use crate::env::make_vec;
use crate::ppo::EpisodeEnd;

/// Environments in which pairs are tried, by an actor of the engine.
///
/// It holds no CPU of its own: each call runs on the executor. It refers to the noise table as long as it lives, and
/// reads it in place.
#[derive(Actor)]
pub struct Evaluator {
    noise: Tensor<f32>,
    /// Never locked: a call by `&mut self` has it alone. The lock makes the environments shareable, which need only be
    /// movable.
    runner: Mutex<PairRunner>,
}

#[methods]
impl Evaluator {
    /// Environments called `env`, with the shared noise table.
    ///
    /// # Errors
    /// [`EsError::Env`] for an unknown environment.
    pub fn new(env: String, config: &EsConfig, noise: Tensor<f32>) -> Result<Self, EsError> {
        let envs = make_vec(&env, config.pairs_per_call.min(config.pairs) as usize)?;
        let spec = config.policy_spec(envs.observation_space(), envs.action_space());
        Ok(Self { noise, runner: Mutex::new(PairRunner::new(config.clone(), spec, envs)?) })
    }

    /// Tries pairs; see [`PairRunner::run`]. Ends early once it is cancelled.
    ///
    /// # Errors
    /// As [`PairRunner::run`].
    pub fn run(&mut self, policy: &EsPolicy, pairs: PairRange) -> Result<Harvest, EsError> {
        let runner = self.runner.get_mut().unwrap_or_else(PoisonError::into_inner);
        runner.run(self.noise.data(), policy, pairs, &|| context().cancelled())
    }

    /// Plays episodes without noise; see [`PairRunner::play`]. Ends early once it is cancelled.
    ///
    /// # Errors
    /// As [`PairRunner::play`].
    pub fn play(&mut self, policy: &EsPolicy, episodes: PairRange) -> Result<Vec<EpisodeEnd>, EsError> {
        let runner = self.runner.get_mut().unwrap_or_else(PoisonError::into_inner);
        runner.play(policy, episodes, &|| context().cancelled())
    }
}
