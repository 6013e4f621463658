//! Actions on a scale of the policy's choice.

use super::{bounds, forward};
use crate::env::{Actions, EnvError, Space, StepOut, VecEnv};

const WRAPPER: &str = "RescaleAction";

/// Takes actions between `low` and `high`, and stretches them to the bounds of the environments' action space. Those
/// outside are stretched alike: clip them further in, with [`ClipAction`](super::ClipAction).
///
/// Source: Gymnasium, `gymnasium.wrappers.RescaleAction`.
pub struct RescaleAction<E> {
    envs: E,
    action_space: Space,
    /// Factor and offset of each number, `[width]`.
    stretch: Vec<(f64, f64)>,
    rescaled: Vec<f32>,
}

impl<E: VecEnv> RescaleAction<E> {
    /// Around `envs`, with the same bounds for each number of an action.
    ///
    /// # Errors
    /// [`EnvError::NotFor`] if actions are no box, [`EnvError::Unbounded`] if it has an infinite bound.
    ///
    /// # Panics
    /// If the bounds are not finite, or `low` is not below `high`.
    pub fn new(envs: E, low: f32, high: f32) -> Result<Self, EnvError> {
        assert!(low < high && low.is_finite() && high.is_finite(), "actions between {low} and {high}");
        let (from, to) = bounds(WRAPPER, envs.action_space())?;
        if from.iter().chain(to).any(|bound| !bound.is_finite()) {
            return Err(EnvError::Unbounded { space: envs.action_space().to_string() });
        }
        let stretch = from.iter().zip(to).map(|(&from, &to)| {
            let factor = (f64::from(to) - f64::from(from)) / (f64::from(high) - f64::from(low));
            (factor, f64::from(from) - factor * f64::from(low))
        });
        let (stretch, action_space) = (stretch.collect(), Space::uniform(low, high, from.len()));
        Ok(Self { envs, action_space, stretch, rescaled: Vec::new() })
    }

    /// What is wrapped.
    pub fn inner(&self) -> &E {
        &self.envs
    }
}

impl<E: VecEnv> VecEnv for RescaleAction<E> {
    forward!(env_count -> usize, observation_space -> &Space);

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.envs.reset_from(seed, first_index, obs)
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.envs.restart(env, obs)
    }

    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        let values = actions.values(&self.action_space)?;
        self.rescaled.clear();
        for row in values.chunks(self.stretch.len()) {
            let stretched =
                row.iter().zip(&self.stretch).map(|(value, (factor, offset))| factor * f64::from(*value) + offset);
            self.rescaled.extend(stretched.map(|value| value as f32));
        }
        self.envs.step(Actions::Continuous(&self.rescaled), out)
    }
}
