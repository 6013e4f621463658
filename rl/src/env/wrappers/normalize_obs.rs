//! Observations of mean 0 and variance 1.

use super::{RunningStats, forward};
use crate::env::{Actions, EnvError, Space, StepOut, VecEnv};

const WRAPPER: &str = "NormalizeObs";
/// Keeps numbers that never change finite.
const EPSILON: f64 = 1e-8;

/// Shifts and scales each number of an observation by the running mean and deviation of all that were seen, and clips
/// it to 10 on either side.
///
/// The statistics see what the environments give to act on, first observations of episodes included; the final
/// observation of an episode is only scaled by them. They see a step's observations before they scale them.
///
/// Source: Gymnasium, `gymnasium.wrappers.vector.NormalizeObservation`; the clipping, Stable-Baselines3's
/// `VecNormalize`.
pub struct NormalizeObs<E> {
    envs: E,
    observation_space: Space,
    stats: RunningStats,
    /// Inverse deviations, `[obs_dim]`.
    scale: Vec<f64>,
    clip: f32,
    is_frozen: bool,
}

impl<E: VecEnv> NormalizeObs<E> {
    /// Around `envs`, with statistics that have seen nothing.
    ///
    /// # Errors
    /// [`EnvError::NotFor`] if observations contain choices: flatten them first.
    pub fn new(envs: E) -> Result<Self, EnvError> {
        let space = envs.observation_space();
        if !space.is_of_one_kind() || space.is_discrete() {
            let (expected, space) = ("observations of values alone", space.to_string());
            return Err(EnvError::NotFor { wrapper: WRAPPER, expected, space });
        }
        let stats = RunningStats::new(space.width());
        let observation_space = Space::uniform(-10.0, 10.0, space.width());
        let mut wrapped = Self { envs, observation_space, stats, scale: vec![], clip: 10.0, is_frozen: false };
        wrapped.rescale();
        Ok(wrapped)
    }

    /// The same, but clipped to `clip` on either side; infinity clips nothing.
    ///
    /// # Panics
    /// If `clip` is not above 0.
    pub fn with_clip(mut self, clip: f32) -> Self {
        assert!(clip > 0.0, "clipped to {clip} on either side");
        self.clip = clip;
        self.observation_space = Space::uniform(-clip, clip, self.stats.len());
        self
    }

    /// The same with statistics of an earlier run.
    ///
    /// # Errors
    /// [`EnvError::BadStats`] if they are of observations of another width, or damaged.
    pub fn with_stats(mut self, stats: RunningStats) -> Result<Self, EnvError> {
        self.set_stats(stats)?;
        Ok(self)
    }

    /// The same, but the statistics stay what they are: for evaluation.
    pub fn frozen(mut self) -> Self {
        self.is_frozen = true;
        self
    }

    /// Replaces the statistics.
    ///
    /// # Errors
    /// As `with_stats`.
    pub fn set_stats(&mut self, stats: RunningStats) -> Result<(), EnvError> {
        if stats.len() != self.stats.len() || !stats.is_sound() {
            return Err(EnvError::BadStats { expected: self.stats.len(), found: stats.len() });
        }
        self.stats = stats;
        self.rescale();
        Ok(())
    }

    /// The statistics, to be saved.
    pub fn stats(&self) -> &RunningStats {
        &self.stats
    }

    /// What is wrapped.
    pub fn inner(&self) -> &E {
        &self.envs
    }

    /// Sees observations, `[rows, obs_dim]`, and scales them.
    fn take(&mut self, obs: &mut [f32]) {
        if !self.is_frozen {
            self.stats.update(obs);
            self.rescale();
        }
        self.apply(obs);
    }

    fn apply(&self, obs: &mut [f32]) {
        for row in obs.chunks_exact_mut(self.scale.len()) {
            for (value, (mean, scale)) in row.iter_mut().zip(self.stats.mean().iter().zip(&self.scale)) {
                *value = (((f64::from(*value) - mean) * scale) as f32).clamp(-self.clip, self.clip);
            }
        }
    }

    fn rescale(&mut self) {
        self.scale.clear();
        self.scale.extend(self.stats.variance().iter().map(|variance| (variance + EPSILON).sqrt().recip()));
    }
}

impl<E: VecEnv> VecEnv for NormalizeObs<E> {
    forward!(env_count -> usize, action_space -> &Space);

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.envs.reset_from(seed, first_index, obs)?;
        self.take(obs);
        Ok(())
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.envs.restart(env, obs)?;
        self.take(obs);
        Ok(())
    }

    fn step(&mut self, actions: Actions<'_>, mut out: StepOut<'_>) -> Result<(), EnvError> {
        self.envs.step(actions, out.reborrow())?;
        self.take(out.obs);
        self.apply(out.finished.final_obs_mut());
        Ok(())
    }
}
