//! Actions held to their bounds.

use super::{bounds, forward};
use crate::env::{Actions, EnvError, Space, StepOut, VecEnv};

/// Clips actions to the bounds of the action space before the environments get them, so that a cost of control is that
/// of the clipped action. The action space stays as it is.
///
/// Source: Gymnasium, `gymnasium.wrappers.ClipAction`, which removes the bounds of the action space.
pub struct ClipAction<E> {
    envs: E,
    clipped: Vec<f32>,
}

impl<E: VecEnv> ClipAction<E> {
    /// Around `envs`.
    ///
    /// # Errors
    /// [`EnvError::NotFor`] if actions are no box.
    pub fn new(envs: E) -> Result<Self, EnvError> {
        bounds("ClipAction", envs.action_space())?;
        Ok(Self { envs, clipped: Vec::new() })
    }

    /// What is wrapped.
    pub fn inner(&self) -> &E {
        &self.envs
    }
}

impl<E: VecEnv> VecEnv for ClipAction<E> {
    forward!(env_count -> usize, observation_space -> &Space, action_space -> &Space);

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.envs.reset_from(seed, first_index, obs)
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.envs.restart(env, obs)
    }

    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        let values = actions.values(self.envs.action_space())?;
        let (low, high) = bounds("ClipAction", self.envs.action_space())?;
        self.clipped.clear();
        for row in values.chunks(low.len()) {
            let bounded = row.iter().zip(low.iter().zip(high));
            // What is not a number stays so, and is refused by the environments.
            self.clipped.extend(bounded.map(|(value, (low, high))| value.clamp(*low, *high)));
        }
        self.envs.step(Actions::Continuous(&self.clipped), out)
    }
}
