//! A limit on the length of episodes.

use super::{Actions, Env, EnvError, Space, Step};

/// Truncates the episodes of an environment after so many steps.
///
/// A step that terminates at the limit is both terminated and truncated, as in Gymnasium.
///
/// Source: Gymnasium, `gymnasium.wrappers.TimeLimit`.
#[derive(Clone, Debug)]
pub struct TimeLimit<E> {
    env: E,
    length_max: u32,
    length: u32,
}

impl<E: Env> TimeLimit<E> {
    /// Truncates after `length_max` steps; the episode that `env` is in counts as just begun.
    ///
    /// # Panics
    /// If `length_max` is 0.
    pub fn new(env: E, length_max: u32) -> Self {
        assert!(length_max > 0, "an episode has at least one step");
        Self { env, length_max, length: 0 }
    }

    /// The environment without its limit.
    pub fn into_inner(self) -> E {
        self.env
    }
}

impl<E: Env> Env for TimeLimit<E> {
    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.length = 0;
        self.env.reset(seed, obs)
    }

    fn step(&mut self, action: Actions<'_>, obs: &mut [f32]) -> Result<Step, EnvError> {
        let step = self.env.step(action, obs)?;
        self.length = self.length.saturating_add(1);
        Ok(Step { truncated: step.truncated || self.length >= self.length_max, ..step })
    }

    fn has_action_mask(&self) -> bool {
        self.env.has_action_mask()
    }

    fn action_mask(&self, mask: &mut [bool]) {
        self.env.action_mask(mask);
    }
}
