//! A limit on the length of episodes of a batch.

use super::forward;
use crate::env::{Actions, EnvError, Episode, Finished, Space, StepOut, VecEnv};

/// Truncates the episodes of a batch after so many steps: as [`TimeLimit`](crate::env::TimeLimit) does, for batches
/// whose environments were made with another limit or none.
///
/// Source: Gymnasium, `gymnasium.wrappers.TimeLimit`.
pub struct VecTimeLimit<E> {
    envs: E,
    length_max: u32,
    /// Steps and rewards of each environment's episode, `[n]`.
    running: Vec<(u32, f64)>,
    finished: Finished,
}

impl<E: VecEnv> VecTimeLimit<E> {
    /// Around `envs`; the episodes that they are in count as just begun.
    ///
    /// # Panics
    /// If `length_max` is 0.
    pub fn new(envs: E, length_max: u32) -> Self {
        assert!(length_max > 0, "an episode has at least one step");
        let running = vec![(0, 0.0); envs.env_count()];
        Self { envs, length_max, running, finished: Finished::new() }
    }

    /// What is wrapped.
    pub fn inner(&self) -> &E {
        &self.envs
    }

    /// Cuts short the episode of an environment whose time is over, and begins its next.
    fn cut(&mut self, env: usize, out: &mut StepOut<'_>) -> Result<(), EnvError> {
        let (length, total_reward) = self.running[env];
        let obs_dim = self.envs.observation_space().width();
        let obs = &mut out.obs[env * obs_dim..(env + 1) * obs_dim];
        out.truncated[env] = true;
        out.finished.push(Episode { env, total_reward, length, terminated: false, truncated: true, final_obs: obs });
        self.envs.restart(env, obs)
    }
}

impl<E: VecEnv> VecEnv for VecTimeLimit<E> {
    forward!(env_count -> usize, observation_space -> &Space, action_space -> &Space);

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.running.fill((0, 0.0));
        self.envs.reset_from(seed, first_index, obs)
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.running[env] = (0, 0.0);
        self.envs.restart(env, obs)
    }

    fn step(&mut self, actions: Actions<'_>, mut out: StepOut<'_>) -> Result<(), EnvError> {
        let mut finished = std::mem::take(&mut self.finished);
        let inner = StepOut { finished: &mut finished, ..out.reborrow() };
        let stepped = self.envs.step(actions, inner);
        out.finished.clear(self.envs.observation_space().width());
        let mut ended = finished.iter().peekable();
        let mut settle = |limit: &mut Self, env: usize| -> Result<(), EnvError> {
            let running = &mut limit.running[env];
            running.0 = running.0.saturating_add(1);
            running.1 += f64::from(out.rewards[env]);
            let is_over = running.0 >= limit.length_max;
            if let Some(episode) = ended.next_if(|episode| episode.env == env) {
                out.truncated[env] |= is_over;
                out.finished.push(Episode { truncated: out.truncated[env], ..episode });
            } else if is_over {
                limit.cut(env, &mut out)?;
            } else {
                return Ok(());
            }
            limit.running[env] = (0, 0.0);
            Ok(())
        };
        let settled = stepped.and_then(|()| (0..self.running.len()).try_for_each(|env| settle(self, env)));
        drop(ended);
        self.finished = finished;
        settled
    }
}
