//! Choices and dictionaries as plain vectors.

use super::forward;
use crate::env::{Actions, EnvError, Episode, Finished, Space, StepOut, VecEnv};

/// Gives observations as [`Space::flatten`] writes them: choices as one-hot vectors, entries of dictionaries one after
/// the other.
///
/// Source: Gymnasium, `gymnasium.wrappers.FlattenObservation`.
pub struct FlattenObs<E> {
    envs: E,
    observation_space: Space,
    /// What the environments gave last, `[n, width]`.
    latest: Vec<f32>,
    finished: Finished,
    flat: Vec<f32>,
}

impl<E: VecEnv> FlattenObs<E> {
    /// Around `envs`.
    pub fn new(envs: E) -> Self {
        let space = envs.observation_space();
        let (low, high) = flat_bounds(space);
        let flat = vec![0.0; low.len()];
        let latest = vec![0.0; envs.env_count() * space.width()];
        let observation_space = Space::Box { shape: vec![low.len()], low, high };
        Self { envs, observation_space, latest, finished: Finished::new(), flat }
    }

    /// What is wrapped.
    pub fn inner(&self) -> &E {
        &self.envs
    }

    fn write(&self, obs: &mut [f32]) {
        let space = self.envs.observation_space();
        let rows = self.latest.chunks_exact(space.width()).zip(obs.chunks_exact_mut(self.flat.len()));
        rows.for_each(|(row, flat)| space.flatten(row, flat));
    }
}

impl<E: VecEnv> VecEnv for FlattenObs<E> {
    forward!(env_count -> usize, action_space -> &Space);

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        assert_eq!(obs.len(), self.envs.env_count() * self.flat.len(), "numbers in obs");
        self.envs.reset_from(seed, first_index, &mut self.latest)?;
        self.write(obs);
        Ok(())
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        let width = self.envs.observation_space().width();
        let row = &mut self.latest[env * width..(env + 1) * width];
        self.envs.restart(env, row)?;
        self.envs.observation_space().flatten(row, obs);
        Ok(())
    }

    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        out.check(self.envs.env_count(), self.flat.len());
        let StepOut { obs, rewards, terminated, truncated, finished } = out;
        let inner = StepOut { obs: &mut self.latest, rewards, terminated, truncated, finished: &mut self.finished };
        self.envs.step(actions, inner)?;
        self.write(obs);
        finished.clear(self.flat.len());
        for episode in self.finished.iter() {
            self.envs.observation_space().flatten(episode.final_obs, &mut self.flat);
            finished.push(Episode { final_obs: &self.flat, ..episode });
        }
        Ok(())
    }
}

/// Bounds of the flat numbers: of a one-hot vector, 0 and 1.
fn flat_bounds(space: &Space) -> (Vec<f32>, Vec<f32>) {
    match space {
        Space::Box { low, high, .. } => (low.clone(), high.clone()),
        Space::Dict { entries } => {
            let (lows, highs): (Vec<_>, Vec<_>) = entries.iter().map(|(_, space)| flat_bounds(space)).unzip();
            (lows.concat(), highs.concat())
        }
        choices => (vec![0.0; choices.flat_len()], vec![1.0; choices.flat_len()]),
    }
}
