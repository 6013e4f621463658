//! A batch of environments that step together.

use super::{Actions, EnvError, Finished, Space};

/// A batch of `n` environments of one kind. Object safe.
///
/// # Autoreset: in the same step
///
/// An environment whose episode ends in a step is reset within that step (Gymnasium's `AutoresetMode.SAME_STEP`).
/// Its row of `obs` is then the first observation of the *next* episode; reward, `terminated` and `truncated` are
/// those of the action just done; the final observation, the return and the length of the episode lie in
/// [`StepOut::finished`]. No action is ever ignored, and every row is a transition to learn from:
///
/// ```text
/// step             t = 0      1          2              3          4
/// action           a0         a1         a2             a3         a4
/// obs after        s1         s2         s0'            s1'        s2'       s0' begins the second episode
/// reward           r0         r1         r2             r0'        r1'
/// done             -          -          yes            -          -
/// finished         -          -          s3, r0+r1+r2   -          -         s3 is the final observation
///                                        length 3
/// ```
///
/// The target for the value of `s2` is `r2` if the episode terminated, `r2 + gamma * V(s3)` if it was only truncated:
/// never `V(s0')`. (`NEXT_STEP`, the default of Gymnasium 1.x, spends a step on each reset whose action is ignored
/// and whose reward must be masked out; it is not offered.)
///
/// # Seeds
///
/// Each environment has its own random numbers, a function of the seed and of its index alone: `first_index` plus its
/// place in the batch. So results don't depend on how environments are split into batches. They are not the numbers
/// that NumPy gives Gymnasium for the same seed, only of the same distribution.
///
/// Reset a batch before its first step.
///
/// Source: Gymnasium, `gymnasium.vector.VectorEnv`.
pub trait VecEnv: Send {
    /// Number of environments, `n`, at least 1.
    fn env_count(&self) -> usize;

    /// What observations of one environment look like; [`Space::width`] is `obs_dim` below.
    fn observation_space(&self) -> &Space;

    /// What actions of one environment look like.
    fn action_space(&self) -> &Space;

    /// Resets all environments, taking them for those from `first_index` on of a greater whole, and writes their first
    /// observations to `obs`, `[n, obs_dim]` row-major.
    ///
    /// # Errors
    /// [`EnvError::Failed`] if an environment fails for a reason of its own; those of this crate never do.
    ///
    /// # Panics
    /// If `obs` has the wrong length.
    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError>;

    /// Resets all environments: [`VecEnv::reset_from`] with index 0 first.
    ///
    /// # Errors
    /// As `reset_from`.
    ///
    /// # Panics
    /// If `obs` has the wrong length.
    fn reset(&mut self, seed: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.reset_from(seed, 0, obs)
    }

    /// Ends the episode of the environment at place `env` without a word, and begins the next one, whose first
    /// observation goes to `obs`, `[obs_dim]`. For wrappers that cut episodes short, such as
    /// [`TimeLimit`](super::TimeLimit).
    ///
    /// # Errors
    /// As `reset_from`.
    ///
    /// # Panics
    /// If there is no environment `env`, or `obs` has the wrong length.
    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError>;

    /// Does one action in each environment, `[n, width]` row-major, and resets those whose episode ended.
    ///
    /// # Errors
    /// [`EnvError::ActionKind`], [`EnvError::ActionLen`] or [`EnvError::ActionOutside`] if the actions are none of the
    /// action space, and no environment has moved; [`EnvError::Failed`] as for `reset_from`.
    ///
    /// # Panics
    /// If a slice of `out` has the wrong length.
    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError>;

    /// Whether some choices may not be allowed in some states: then [`VecEnv::action_mask`] says which are.
    fn has_action_mask(&self) -> bool {
        false
    }

    /// Writes which choices are allowed next, in the states that were observed last, to `mask`, `[n, choices]`: the
    /// alternatives of all components in a row, as many as [`Space::flat_len`] of the action space. At least one of each
    /// component is allowed.
    ///
    /// # Panics
    /// If `mask` has the wrong length.
    fn action_mask(&self, mask: &mut [bool]) {
        mask.fill(true);
    }
}

/// Where a step of a batch writes: slices of the caller's, such as rows of a rollout buffer.
#[derive(Debug)]
pub struct StepOut<'a> {
    /// Observations to act on next, `[n, obs_dim]` row-major: of the next episode where one ended.
    pub obs: &'a mut [f32],
    /// Rewards, `[n]`.
    pub rewards: &'a mut [f32],
    /// Whether the task ended, `[n]`.
    pub terminated: &'a mut [bool],
    /// Whether a limit cut the episode short, `[n]`. Both may be true; then termination counts.
    pub truncated: &'a mut [bool],
    /// The episodes that ended in this step, with their final observations.
    pub finished: &'a mut Finished,
}

impl StepOut<'_> {
    /// The same slices once more, for a batch within a batch.
    pub fn reborrow(&mut self) -> StepOut<'_> {
        StepOut {
            obs: &mut *self.obs,
            rewards: &mut *self.rewards,
            terminated: &mut *self.terminated,
            truncated: &mut *self.truncated,
            finished: &mut *self.finished,
        }
    }

    /// Holds the slices to the size of the batch. For implementors of [`VecEnv`].
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn check(&self, env_count: usize, obs_dim: usize) {
        assert_eq!(self.obs.len(), env_count * obs_dim, "numbers in obs");
        assert_eq!(self.rewards.len(), env_count, "numbers in rewards");
        assert_eq!(self.terminated.len(), env_count, "flags in terminated");
        assert_eq!(self.truncated.len(), env_count, "flags in truncated");
    }
}

/// Owned room for the steps of a batch, reused from step to step.
#[derive(Clone, Debug)]
pub struct StepBuf {
    /// Observations, `[n, obs_dim]` row-major.
    pub obs: Vec<f32>,
    /// Rewards, `[n]`.
    pub rewards: Vec<f32>,
    /// Whether the task ended, `[n]`.
    pub terminated: Vec<bool>,
    /// Whether a limit cut the episode short, `[n]`.
    pub truncated: Vec<bool>,
    /// The episodes that ended in the last step.
    pub finished: Finished,
}

impl StepBuf {
    /// Room for the steps of `envs`.
    pub fn new(envs: &dyn VecEnv) -> Self {
        let env_count = envs.env_count();
        Self {
            obs: vec![0.0; env_count * envs.observation_space().width()],
            rewards: vec![0.0; env_count],
            terminated: vec![false; env_count],
            truncated: vec![false; env_count],
            finished: Finished::new(),
        }
    }

    /// The room, borrowed for a step.
    pub fn out(&mut self) -> StepOut<'_> {
        StepOut {
            obs: &mut self.obs,
            rewards: &mut self.rewards,
            terminated: &mut self.terminated,
            truncated: &mut self.truncated,
            finished: &mut self.finished,
        }
    }
}

impl<E: VecEnv + ?Sized> VecEnv for Box<E> {
    fn env_count(&self) -> usize {
        (**self).env_count()
    }

    fn observation_space(&self) -> &Space {
        (**self).observation_space()
    }

    fn action_space(&self) -> &Space {
        (**self).action_space()
    }

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        (**self).reset_from(seed, first_index, obs)
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        (**self).restart(env, obs)
    }

    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        (**self).step(actions, out)
    }

    fn has_action_mask(&self) -> bool {
        (**self).has_action_mask()
    }

    fn action_mask(&self, mask: &mut [bool]) {
        (**self).action_mask(mask);
    }
}
