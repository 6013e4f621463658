//! A batch of one as a single environment.

use crate::env::{Actions, Env, EnvError, Finished, Space, Step, StepOut, VecEnv};

/// Makes an [`Env`] of a batch of one, so that wrappers serve single environments too.
///
/// A batch resets itself at the end of an episode; the first observation of the next one is kept for
/// [`Env::reset`] without a seed.
///
/// ```
/// use rayline_rl::env::wrappers::{FrameStack, Single};
/// use rayline_rl::env::{Env, SyncVec, make};
///
/// let one = SyncVec::new(vec![make("CartPole-v1")?])?;
/// let mut env = Single::new(FrameStack::new(one, 4)?);
/// let mut obs = [0.0; 16];
/// env.reset(Some(1), &mut obs)?;
/// # Ok::<(), rayline_rl::env::EnvError>(())
/// ```
pub struct Single<E> {
    envs: E,
    /// What the next reset without a seed gives, if the batch has begun that episode already.
    begun: Option<Vec<f32>>,
    finished: Finished,
}

impl<E: VecEnv> Single<E> {
    /// The one environment of `envs`.
    ///
    /// # Panics
    /// If there are more.
    pub fn new(envs: E) -> Self {
        assert_eq!(envs.env_count(), 1, "environments of a single one");
        Self { envs, begun: None, finished: Finished::new() }
    }

    /// The batch.
    pub fn inner(&self) -> &E {
        &self.envs
    }
}

impl<E: VecEnv> Env for Single<E> {
    fn observation_space(&self) -> &Space {
        self.envs.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.envs.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        match (seed, self.begun.take()) {
            (Some(seed), _) => self.envs.reset(seed, obs),
            (None, Some(first)) => {
                obs.copy_from_slice(&first);
                Ok(())
            }
            (None, None) => self.envs.restart(0, obs),
        }
    }

    fn step(&mut self, action: Actions<'_>, obs: &mut [f32]) -> Result<Step, EnvError> {
        let (mut reward, mut terminated, mut truncated) = ([0.0], [false], [false]);
        let out = StepOut {
            obs: &mut *obs,
            rewards: &mut reward,
            terminated: &mut terminated,
            truncated: &mut truncated,
            finished: &mut self.finished,
        };
        self.envs.step(action, out)?;
        self.begun = None;
        if !self.finished.is_empty() {
            self.begun = Some(obs.to_vec());
            obs.copy_from_slice(self.finished.final_obs());
        }
        Ok(Step { reward: reward[0].into(), terminated: terminated[0], truncated: truncated[0] })
    }

    fn has_action_mask(&self) -> bool {
        self.envs.has_action_mask()
    }

    fn action_mask(&self, mask: &mut [bool]) {
        self.envs.action_mask(mask);
    }
}
