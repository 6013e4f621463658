//! Rewards of a size that a value network likes.

use super::{RunningStats, forward};
use crate::env::{Actions, EnvError, Space, StepOut, VecEnv};

const EPSILON: f64 = 1e-8;

/// Divides rewards by the running deviation of the discounted return, without shifting them, and clips them to 10 on
/// either side.
///
/// The return of an environment is `gamma` times itself plus the reward at each step, and begins anew with each
/// episode. Returns in [`Finished`](crate::env::Finished) stay those that the environments gave.
///
/// Source: Stable-Baselines3, `VecNormalize`. Gymnasium's `NormalizeReward` differs in two points: it drops the return
/// before the step that terminates instead of after it, and keeps it over truncations.
pub struct NormalizeReward<E> {
    envs: E,
    gamma: f64,
    /// Discounted returns, `[n]`.
    returns: Vec<f64>,
    stats: RunningStats,
    clip: f32,
    is_frozen: bool,
    scratch: Vec<f32>,
}

impl<E: VecEnv> NormalizeReward<E> {
    /// Around `envs`, for returns discounted by `gamma`, with statistics that have seen nothing.
    ///
    /// # Panics
    /// If `gamma` is not within 0 and 1.
    pub fn new(envs: E, gamma: f64) -> Self {
        assert!((0.0..=1.0).contains(&gamma), "a discount of {gamma}");
        let returns = vec![0.0; envs.env_count()];
        let scratch = Vec::with_capacity(returns.len());
        Self { envs, gamma, returns, stats: RunningStats::new(1), clip: 10.0, is_frozen: false, scratch }
    }

    /// The same, but clipped to `clip` on either side; infinity clips nothing.
    ///
    /// # Panics
    /// If `clip` is not above 0.
    pub fn with_clip(mut self, clip: f32) -> Self {
        assert!(clip > 0.0, "clipped to {clip} on either side");
        self.clip = clip;
        self
    }

    /// The same with statistics of an earlier run.
    ///
    /// # Errors
    /// [`EnvError::BadStats`] if they are not of one number, or damaged.
    pub fn with_stats(mut self, stats: RunningStats) -> Result<Self, EnvError> {
        if stats.len() != 1 || !stats.is_sound() {
            return Err(EnvError::BadStats { expected: 1, found: stats.len() });
        }
        self.stats = stats;
        Ok(self)
    }

    /// The same, but the statistics stay what they are.
    pub fn frozen(mut self) -> Self {
        self.is_frozen = true;
        self
    }

    /// The statistics of returns, to be saved.
    pub fn stats(&self) -> &RunningStats {
        &self.stats
    }

    /// What is wrapped.
    pub fn inner(&self) -> &E {
        &self.envs
    }

    fn observe_returns(&mut self, rewards: &[f32]) {
        for (sum, reward) in self.returns.iter_mut().zip(rewards) {
            *sum = *sum * self.gamma + f64::from(*reward);
        }
        self.scratch.clear();
        self.scratch.extend(self.returns.iter().map(|value| *value as f32));
        self.stats.update(&self.scratch);
    }
}

impl<E: VecEnv> VecEnv for NormalizeReward<E> {
    forward!(env_count -> usize, observation_space -> &Space, action_space -> &Space);

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.returns.fill(0.0);
        self.envs.reset_from(seed, first_index, obs)
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.returns[env] = 0.0;
        self.envs.restart(env, obs)
    }

    fn step(&mut self, actions: Actions<'_>, mut out: StepOut<'_>) -> Result<(), EnvError> {
        self.envs.step(actions, out.reborrow())?;
        if !self.is_frozen {
            self.observe_returns(out.rewards);
        }
        let scale = (self.stats.variance()[0] + EPSILON).sqrt().recip();
        for reward in out.rewards.iter_mut() {
            *reward = ((f64::from(*reward) * scale) as f32).clamp(-self.clip, self.clip);
        }
        out.finished.iter().for_each(|episode| self.returns[episode.env] = 0.0);
        Ok(())
    }
}
