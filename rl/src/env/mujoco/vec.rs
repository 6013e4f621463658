//! A batch of simulations, stepped on all cores.

use std::sync::Arc;

use rayon::prelude::*;

use super::ffi::{Library, Model};
use super::layout::version_name;
use super::slot::Slot;
use super::{MujocoError, MujocoPlace, MujocoTask};
use crate::env::{Actions, EnvError, Episode, Space, StepOut, Stream, VecEnv};

/// A [`VecEnv`] of simulations of one model, with Gymnasium's time limit of 1,000 steps.
///
/// A batch of several is stepped on rayon's threads. Rewards are summed in double precision.
pub struct MujocoVec {
    task: MujocoTask,
    library: Arc<Library>,
    slots: Vec<Slot>,
    observation_space: Space,
    action_space: Space,
    length_max: u32,
}

/// One environment's place in a step.
struct Row<'a> {
    slot: &'a mut Slot,
    obs: &'a mut [f32],
    reward: &'a mut f32,
    terminated: &'a mut bool,
    truncated: &'a mut bool,
    action: &'a [f32],
}

impl MujocoVec {
    /// A batch of `env_count` environments, with the library and the models that the process's environment leads to.
    ///
    /// # Errors
    /// [`EnvError::Empty`] if `env_count` is 0; [`EnvError::Mujoco`] if there is no library, no model, or none that
    /// fits.
    pub fn new(task: MujocoTask, env_count: usize) -> Result<Self, EnvError> {
        Self::new_at(&MujocoPlace::default(), task, env_count)
    }

    /// The same with the library and the models at a place.
    ///
    /// # Errors
    /// As `new`.
    pub fn new_at(place: &MujocoPlace, task: MujocoTask, env_count: usize) -> Result<Self, EnvError> {
        if env_count == 0 {
            return Err(EnvError::Empty);
        }
        let library = Library::load(&place.find_library()?)?;
        let model = load_model(place, &library, task)?;
        let spec = task.spec();
        let slots: Option<Vec<_>> = (0..env_count).map(|_| Slot::new(spec, &model)).collect();
        let slots = slots.ok_or(MujocoError::NoMemory)?;
        let observation_space = Space::uniform(f32::NEG_INFINITY, f32::INFINITY, spec.obs_dim());
        let action_space = Space::uniform(-spec.action_bound, spec.action_bound, spec.sizes.ctrl);
        let length_max = MujocoTask::LENGTH_MAX;
        let mut batch = Self { task, library, slots, observation_space, action_space, length_max };
        batch.begin(0, 0);
        Ok(batch)
    }

    /// The same batch, but episodes are truncated after `length_max` steps.
    ///
    /// # Panics
    /// If `length_max` is 0.
    pub fn with_length_max(mut self, length_max: u32) -> Self {
        assert!(length_max > 0, "an episode has at least one step");
        self.length_max = length_max;
        self
    }

    /// The task.
    pub fn task(&self) -> MujocoTask {
        self.task
    }

    /// Version of the library, such as `3.3.7`.
    pub fn library_version(&self) -> String {
        version_name(self.library.version())
    }

    /// Positions, then velocities of an environment, `[nq + nv]`.
    ///
    /// # Panics
    /// If there is no environment `env`.
    pub fn state(&self, env: usize) -> &[f64] {
        self.slots[env].state()
    }

    /// Begins an episode of an environment at a state, `[nq + nv]`, and writes its first observation to `obs`.
    ///
    /// # Panics
    /// If there is no environment `env`, or a slice has the wrong length.
    pub fn begin_at(&mut self, env: usize, state: &[f64], obs: &mut [f32]) {
        self.slots[env].begin_at(state);
        self.slots[env].observe(obs);
    }

    /// Begins the first episode of all environments.
    fn begin(&mut self, seed: u64, first_index: u64) {
        let seeded = self.slots.par_iter_mut().enumerate();
        seeded.for_each(|(env, slot)| {
            slot.seed(Stream::new(seed, first_index.wrapping_add(env as u64)));
            slot.begin();
        });
    }

    fn check(&self, actions: &[f32]) -> Result<(), EnvError> {
        let width = self.action_space.width();
        let expected = self.slots.len() * width;
        if actions.len() != expected {
            return Err(EnvError::ActionLen { expected, found: actions.len() });
        }
        match actions.chunks(width).position(|row| row.iter().any(|value| !value.is_finite())) {
            Some(env) => {
                let action = format!("{:?}", &actions[env * width..(env + 1) * width]);
                Err(EnvError::ActionOutside { env, action, space: self.action_space.to_string() })
            }
            None => Ok(()),
        }
    }
}

impl VecEnv for MujocoVec {
    fn env_count(&self) -> usize {
        self.slots.len()
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        let obs_dim = self.observation_space.width();
        assert_eq!(obs.len(), self.slots.len() * obs_dim, "numbers in obs");
        self.begin(seed, first_index);
        self.slots.iter().zip(obs.chunks_exact_mut(obs_dim)).for_each(|(slot, row)| slot.observe(row));
        Ok(())
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.slots[env].begin();
        self.slots[env].observe(obs);
        Ok(())
    }

    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        let obs_dim = self.observation_space.width();
        out.check(self.slots.len(), obs_dim);
        let actions = actions.values(&self.action_space)?;
        self.check(actions)?;
        let (width, length_max) = (self.action_space.width(), self.length_max);
        let rows = self.slots.par_iter_mut().zip(out.obs.par_chunks_exact_mut(obs_dim)).zip(&mut *out.rewards);
        let rows = rows.zip(&mut *out.terminated).zip(&mut *out.truncated).zip(actions.par_chunks_exact(width));
        let rows = rows.map(|(((((slot, obs), reward), terminated), truncated), action)| Row {
            slot,
            obs,
            reward,
            terminated,
            truncated,
            action,
        });
        let ends: Vec<Option<(f64, u32)>> = rows.map(|row| row.step(length_max)).collect();
        out.finished.clear(obs_dim);
        for (env, end) in ends.into_iter().enumerate() {
            if let Some((total_reward, length)) = end {
                let (terminated, truncated) = (out.terminated[env], out.truncated[env]);
                let final_obs = &self.slots[env].final_obs[..];
                out.finished.push(Episode { env, total_reward, length, terminated, truncated, final_obs });
            }
        }
        Ok(())
    }
}

impl Row<'_> {
    /// Return and length of the episode, if it ended.
    fn step(self, length_max: u32) -> Option<(f64, u32)> {
        let Self { slot, obs, reward, terminated, truncated, action } = self;
        let (earned, is_over) = slot.advance(action);
        (*reward, *terminated, *truncated) = (earned as f32, is_over, slot.length >= length_max);
        slot.observe(obs);
        let end = (*terminated || *truncated).then_some((slot.total_reward, slot.length));
        if end.is_some() {
            slot.final_obs.copy_from_slice(obs);
            slot.begin();
            slot.observe(obs);
        }
        end
    }
}

/// The model of a task.
fn load_model(place: &MujocoPlace, library: &Arc<Library>, task: MujocoTask) -> Result<Arc<Model>, MujocoError> {
    let spec = task.spec();
    let path = place.find_model(spec.model, library.path())?;
    let load = if spec.needs_fields() { Model::load_with_fields } else { Model::load };
    load(library, &path, spec.sizes)
}
