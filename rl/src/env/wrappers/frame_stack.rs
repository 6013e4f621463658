//! The last observations as one.

use super::{bounds, forward};
use crate::env::{Actions, EnvError, Episode, Finished, Space, StepOut, VecEnv};

/// Gives the last `frames` observations as one, the oldest first: `[frames, ..shape]`. At the start of an episode the
/// first observation stands for those before it.
///
/// Source: Gymnasium, `gymnasium.wrappers.FrameStackObservation`, with `padding_type="reset"`.
pub struct FrameStack<E> {
    envs: E,
    frames: usize,
    observation_space: Space,
    /// What the environments gave last, `[n, obs_dim]`.
    latest: Vec<f32>,
    finished: Finished,
    /// Of an episode that ended, `[frames, obs_dim]`.
    last_stack: Vec<f32>,
    /// The stacks, `[n, frames, obs_dim]`.
    stacks: Vec<f32>,
}

impl<E: VecEnv> FrameStack<E> {
    /// Around `envs`.
    ///
    /// # Errors
    /// [`EnvError::NotFor`] if observations are no box.
    ///
    /// # Panics
    /// If `frames` is 0.
    pub fn new(envs: E, frames: usize) -> Result<Self, EnvError> {
        assert!(frames > 0, "a stack has at least one frame");
        let (low, high) = bounds("FrameStack", envs.observation_space())?;
        let inner = match envs.observation_space() {
            Space::Box { shape, .. } => shape.as_slice(),
            _ => &[],
        };
        let shape = [&[frames][..], inner].concat();
        let observation_space = Space::bounded(low.repeat(frames), high.repeat(frames), shape)?;
        let (obs_dim, env_count) = (low.len(), envs.env_count());
        let (latest, stacks) = (vec![0.0; env_count * obs_dim], vec![0.0; env_count * frames * obs_dim]);
        let last_stack = vec![0.0; frames * obs_dim];
        Ok(Self { envs, frames, observation_space, latest, finished: Finished::new(), last_stack, stacks })
    }

    /// What is wrapped.
    pub fn inner(&self) -> &E {
        &self.envs
    }

    fn obs_dim(&self) -> usize {
        self.last_stack.len() / self.frames
    }

    /// All frames of an environment become its latest observation.
    fn refill(&mut self, env: usize) {
        let obs_dim = self.obs_dim();
        let first = &self.latest[env * obs_dim..(env + 1) * obs_dim];
        let stack = &mut self.stacks[env * self.frames * obs_dim..(env + 1) * self.frames * obs_dim];
        stack.chunks_exact_mut(obs_dim).for_each(|frame| frame.copy_from_slice(first));
    }

    /// The oldest frame of each environment leaves, its latest observation comes.
    fn push(&mut self) {
        let (obs_dim, stack_len) = (self.obs_dim(), self.last_stack.len());
        for (stack, latest) in self.stacks.chunks_exact_mut(stack_len).zip(self.latest.chunks_exact(obs_dim)) {
            stack.copy_within(obs_dim.., 0);
            stack[stack_len - obs_dim..].copy_from_slice(latest);
        }
    }

    /// Passes on what ended, with its last stack, before the frames of the next episode come.
    fn settle(&mut self, out: &mut Finished) {
        let (obs_dim, stack_len) = (self.obs_dim(), self.last_stack.len());
        let finished = std::mem::take(&mut self.finished);
        for episode in finished.iter() {
            // `push` has put the first observation of the next episode where the final one belongs.
            let stack = &self.stacks[episode.env * stack_len..(episode.env + 1) * stack_len];
            self.last_stack.copy_from_slice(stack);
            self.last_stack[stack_len - obs_dim..].copy_from_slice(episode.final_obs);
            out.push(Episode { final_obs: &self.last_stack, ..episode });
            self.refill(episode.env);
        }
        self.finished = finished;
    }
}

impl<E: VecEnv> VecEnv for FrameStack<E> {
    forward!(env_count -> usize, action_space -> &Space);

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.envs.reset_from(seed, first_index, &mut self.latest)?;
        (0..self.envs.env_count()).for_each(|env| self.refill(env));
        obs.copy_from_slice(&self.stacks);
        Ok(())
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        let (obs_dim, stack_len) = (self.obs_dim(), self.last_stack.len());
        self.envs.restart(env, &mut self.latest[env * obs_dim..(env + 1) * obs_dim])?;
        self.refill(env);
        obs.copy_from_slice(&self.stacks[env * stack_len..(env + 1) * stack_len]);
        Ok(())
    }

    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        out.check(self.envs.env_count(), self.last_stack.len());
        let StepOut { obs, rewards, terminated, truncated, finished } = out;
        let inner = StepOut { obs: &mut self.latest, rewards, terminated, truncated, finished: &mut self.finished };
        self.envs.step(actions, inner)?;
        self.push();
        finished.clear(self.last_stack.len());
        self.settle(finished);
        obs.copy_from_slice(&self.stacks);
        Ok(())
    }
}
