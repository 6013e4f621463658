//! One environment.

use super::{Actions, EnvError, Space};

/// A single environment. Object safe; [`SyncVec`](super::SyncVec) makes a batch of several.
///
/// It does not reset itself: after a step that terminated or truncated, call [`Env::reset`], as before the first
/// step of all.
///
/// Source: Gymnasium, `gymnasium.Env`.
pub trait Env: Send {
    /// What observations look like; [`Space::width`] is the length of `obs` below.
    fn observation_space(&self) -> &Space;

    /// What actions look like.
    fn action_space(&self) -> &Space;

    /// Begins an episode and writes its first observation to `obs`, `[obs_dim]`.
    ///
    /// A seed makes this and all later episodes repeatable; without one the environment draws on. The same seed does
    /// not give the numbers that NumPy gives Gymnasium, only the same distribution.
    ///
    /// # Errors
    /// [`EnvError::Failed`] if the environment fails for a reason of its own; those of this crate never do.
    ///
    /// # Panics
    /// If `obs` has the wrong length.
    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError>;

    /// Does the action (one row), and writes what is observed then to `obs`, `[obs_dim]`.
    ///
    /// # Errors
    /// [`EnvError::ActionKind`], [`EnvError::ActionLen`] or [`EnvError::ActionOutside`] if the action is none of the
    /// action space, and the environment stays as it was; [`EnvError::Failed`] as for `reset`.
    ///
    /// # Panics
    /// If `obs` has the wrong length.
    fn step(&mut self, action: Actions<'_>, obs: &mut [f32]) -> Result<Step, EnvError>;

    /// Whether some choices may not be allowed in some states: then [`Env::action_mask`] says which are.
    fn has_action_mask(&self) -> bool {
        false
    }

    /// Writes which choices are allowed in the present state to `mask`, `[choices]`: the alternatives of all components
    /// in a row, as many as [`Space::flat_len`] of the action space. At least one of each component is allowed.
    ///
    /// # Panics
    /// If `mask` has the wrong length.
    fn action_mask(&self, mask: &mut [bool]) {
        mask.fill(true);
    }
}

/// What a step gives besides the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Reward for the action.
    pub reward: f64,
    /// The task ended, well or badly: nothing more can be earned.
    pub terminated: bool,
    /// Something outside the task, such as a [`TimeLimit`](super::TimeLimit), cut it short: more could have been
    /// earned, so a learner adds the value of the observation. Both may be true at once; then termination counts.
    pub truncated: bool,
}

impl Step {
    /// Whether the episode is over.
    pub fn is_last(self) -> bool {
        self.terminated || self.truncated
    }
}

impl<E: Env + ?Sized> Env for Box<E> {
    fn observation_space(&self) -> &Space {
        (**self).observation_space()
    }

    fn action_space(&self) -> &Space {
        (**self).action_space()
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        (**self).reset(seed, obs)
    }

    fn step(&mut self, action: Actions<'_>, obs: &mut [f32]) -> Result<Step, EnvError> {
        (**self).step(action, obs)
    }

    fn has_action_mask(&self) -> bool {
        (**self).has_action_mask()
    }

    fn action_mask(&self, mask: &mut [bool]) {
        (**self).action_mask(mask);
    }
}
