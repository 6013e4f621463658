//! A batch of single environments.

use super::{Actions, Env, EnvError, Episode, Space, Step, StepOut, VecEnv, instance_seed};

/// A [`VecEnv`] that steps single environments one after the other.
///
/// Environment `i` is reset with the seed `instance_seed(seed, first_index + i)`, and without a seed at the end of
/// each episode. If an environment fails in the midst of a step, those before it have moved: reset the batch.
///
/// Source: Gymnasium, `gymnasium.vector.SyncVectorEnv`.
pub struct SyncVec {
    envs: Vec<Running>,
    observation_space: Space,
    action_space: Space,
}

/// An environment and what its episode has come to.
struct Running {
    env: Box<dyn Env>,
    total_reward: f64,
    length: u32,
}

impl SyncVec {
    /// A batch of these environments, which all have the same spaces. They are left as they are: reset the batch
    /// before its first step.
    ///
    /// # Errors
    /// [`EnvError::Empty`] if there are none, [`EnvError::MixedSpaces`] if their spaces differ,
    /// [`EnvError::MixedActions`] if actions are both choices and values.
    pub fn new(envs: Vec<Box<dyn Env>>) -> Result<Self, EnvError> {
        let first = envs.first().ok_or(EnvError::Empty)?;
        let (observation_space, action_space) = (first.observation_space().clone(), first.action_space().clone());
        for (env, other) in envs.iter().enumerate() {
            same_space(env, &observation_space, other.observation_space())?;
            same_space(env, &action_space, other.action_space())?;
        }
        if !action_space.is_of_one_kind() {
            return Err(EnvError::MixedActions { space: action_space.to_string() });
        }
        let envs = envs.into_iter().map(|env| Running { env, total_reward: 0.0, length: 0 }).collect();
        Ok(Self { envs, observation_space, action_space })
    }

    /// `env_count` environments, each made by `make` from its place in the batch.
    ///
    /// # Errors
    /// As `new`.
    pub fn from_fn(env_count: usize, make: impl FnMut(usize) -> Box<dyn Env>) -> Result<Self, EnvError> {
        Self::new((0..env_count).map(make).collect())
    }

    /// Refuses actions of a wrong kind or number, or that are outside their space, before any environment moves.
    fn check(&self, actions: Actions<'_>) -> Result<(), EnvError> {
        let width = self.action_space.width();
        match self.action_space.is_discrete() {
            true => actions.choices(&self.action_space).map(drop)?,
            false => actions.values(&self.action_space).map(drop)?,
        }
        let expected = self.envs.len() * width;
        if actions.value_count() != expected {
            return Err(EnvError::ActionLen { expected, found: actions.value_count() });
        }
        (0..self.envs.len()).try_for_each(|env| check_row(actions.row(env, width), &self.action_space, env))
    }
}

impl VecEnv for SyncVec {
    fn env_count(&self) -> usize {
        self.envs.len()
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        let obs_dim = self.observation_space.width();
        assert_eq!(obs.len(), self.envs.len() * obs_dim, "numbers in obs");
        for (at, running) in self.envs.iter_mut().enumerate() {
            let seed = instance_seed(seed, first_index.wrapping_add(at as u64));
            let row = &mut obs[at * obs_dim..(at + 1) * obs_dim];
            running.reset(Some(seed), row).map_err(|error| error.at(at))?;
        }
        Ok(())
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.envs[env].reset(None, obs).map_err(|error| error.at(env))
    }

    fn step(&mut self, actions: Actions<'_>, mut out: StepOut<'_>) -> Result<(), EnvError> {
        let (width, obs_dim) = (self.action_space.width(), self.observation_space.width());
        out.check(self.envs.len(), obs_dim);
        self.check(actions)?;
        out.finished.clear(obs_dim);
        for (at, running) in self.envs.iter_mut().enumerate() {
            running.step(at, actions.row(at, width), &mut out).map_err(|error| error.at(at))?;
        }
        Ok(())
    }

    fn has_action_mask(&self) -> bool {
        self.envs.iter().any(|running| running.env.has_action_mask())
    }

    fn action_mask(&self, mask: &mut [bool]) {
        let choices = self.action_space.flat_len();
        assert_eq!(mask.len(), self.envs.len() * choices, "choices in mask");
        let rows = mask.chunks_exact_mut(choices);
        self.envs.iter().zip(rows).for_each(|(running, mask)| running.env.action_mask(mask));
    }
}

impl Running {
    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        (self.total_reward, self.length) = (0.0, 0);
        self.env.reset(seed, obs)
    }

    /// Steps the environment at place `env`, writes to its row of each slice, and resets it if its episode ended.
    fn step(&mut self, env: usize, action: Actions<'_>, out: &mut StepOut<'_>) -> Result<(), EnvError> {
        let obs_dim = out.obs.len() / out.rewards.len();
        let obs = &mut out.obs[env * obs_dim..(env + 1) * obs_dim];
        let step = self.env.step(action, obs)?;
        let Step { reward, terminated, truncated } = step;
        self.total_reward += reward;
        self.length = self.length.saturating_add(1);
        (out.rewards[env], out.terminated[env], out.truncated[env]) = (reward as f32, terminated, truncated);
        if step.is_last() {
            let (total_reward, length) = (self.total_reward, self.length);
            out.finished.push(Episode { env, total_reward, length, terminated, truncated, final_obs: obs });
            self.reset(None, obs)?;
        }
        Ok(())
    }
}

fn same_space(env: usize, expected: &Space, found: &Space) -> Result<(), EnvError> {
    if found == expected {
        return Ok(());
    }
    Err(EnvError::MixedSpaces { env, expected: expected.to_string(), found: found.to_string() })
}

fn check_row(action: Actions<'_>, space: &Space, env: usize) -> Result<(), EnvError> {
    let is_valid = match action {
        Actions::Discrete(_) => space.contains(action),
        Actions::Continuous(values) => values.iter().all(|value| value.is_finite()),
    };
    if is_valid {
        return Ok(());
    }
    Err(EnvError::ActionOutside { env, action: format!("{action:?}"), space: space.to_string() })
}
