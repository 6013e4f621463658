//! Gathers experience.

use super::{EpisodeEnd, PolicySnapshot, PpoError, RolloutBatch};
use crate::env::{Finished, StepOut, VecEnv};
use crate::misfit::misfit;
use crate::nn::{ActorCritic, ActorCriticSpec, Random, Workspace};

/// Rows that the value network takes at a time: enough for full speed, few enough to stay in the cache.
const VALUE_ROWS: usize = 256;

/// Steps environments with a policy and records what happens. One per actor, with its own random stream.
///
/// It allocates per batch, not per step; a step of 4 environments costs a few microseconds.
pub struct Collector {
    model: ActorCritic,
    envs: Box<dyn VecEnv>,
    steps: usize,
    random: Random,
    workspace: Workspace,
    /// What to act on next, `[envs, obs_dim]`.
    current_obs: Vec<f32>,
    finished: Finished,
}

/// Which random numbers a collector takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CollectorSeed {
    /// Seed of the run. Resuming from a checkpoint, take another than at the start: environments begin anew, and would
    /// otherwise repeat the first episodes.
    pub seed: u64,
    /// Which collector of the run this is, from 0.
    pub index: u64,
    /// Environments of all collectors before it.
    pub first_env: u64,
}

/// A truncated episode whose final observation awaits its value.
struct Truncation {
    row: usize,
}

impl Collector {
    /// A collector that takes `steps` steps of each of `envs` a batch. The environments are reset.
    ///
    /// # Errors
    /// [`PpoError::Mismatch`] if the environments' spaces aren't those of the model; [`PpoError::Env`] if a reset
    /// fails.
    pub fn new(
        spec: ActorCriticSpec,
        mut envs: Box<dyn VecEnv>,
        steps: usize,
        seed: CollectorSeed,
    ) -> Result<Self, PpoError> {
        let model = ActorCritic::new(spec);
        check_spaces(&model, envs.as_ref())?;
        let mut current_obs = vec![0.0; envs.env_count() * model.spec().obs_dim];
        envs.reset_from(seed.seed, seed.first_env, &mut current_obs)?;
        Ok(Self {
            model,
            envs,
            steps,
            random: Random::new(seed.seed, 1 + seed.index),
            workspace: Workspace::default(),
            current_obs,
            finished: Finished::new(),
        })
    }

    /// Takes the next steps with `policy`. Episodes go on from batch to batch.
    ///
    /// # Errors
    /// [`PpoError::Mismatch`] if the snapshot is of another model; [`PpoError::Env`] if an environment fails. What was
    /// collected before a failure is lost.
    pub fn collect(&mut self, policy: &PolicySnapshot) -> Result<RolloutBatch, PpoError> {
        let (expected, found) = (self.model.parameter_count(), policy.parameters.len());
        if expected != found {
            let (expected, found) = (format!("{expected} numbers"), found.to_string());
            return Err(PpoError::Mismatch { what: "parameters of the snapshot", expected, found });
        }
        let mut batch = self.empty_batch(policy.version);
        let mut truncations = Vec::new();
        for step in 0..self.steps {
            self.step(&policy.parameters, step, &mut batch)?;
            if !self.finished.is_empty() {
                self.take_finished(step, &mut batch, &mut truncations);
            }
        }
        self.fill_values(&policy.parameters, &mut batch, &truncations);
        Ok(batch)
    }

    /// The environments that it steps.
    pub fn envs(&self) -> &dyn VecEnv {
        self.envs.as_ref()
    }

    /// A batch with room for all steps, and for one more row of observations than it will keep.
    fn empty_batch(&self, policy_version: u64) -> RolloutBatch {
        let (steps, envs) = (self.steps, self.envs.env_count());
        let rows = steps * envs;
        let mut obs = vec![0.0; (rows + envs) * self.model.spec().obs_dim];
        obs[..self.current_obs.len()].copy_from_slice(&self.current_obs);
        RolloutBatch {
            steps,
            envs,
            policy_version,
            obs,
            actions: self.model.head().actions(rows),
            log_probs: vec![0.0; rows],
            rewards: vec![0.0; rows],
            values: Vec::with_capacity(rows + envs),
            next_values: Vec::with_capacity(rows),
            terminated: vec![false; rows],
            truncated: vec![false; rows],
            episodes: Vec::new(),
        }
    }

    /// Acts on the observations of `step` and lets the environments write what follows straight into the batch.
    fn step(&mut self, parameters: &[f32], step: usize, batch: &mut RolloutBatch) -> Result<(), PpoError> {
        let rows = step * batch.envs..(step + 1) * batch.envs;
        let width = self.model.head().width();
        let numbers = rows.start * width..rows.end * width;
        let (before, after) = batch.obs.split_at_mut(rows.end * self.model.spec().obs_dim);
        let obs = &before[rows.start * self.model.spec().obs_dim..];
        let log_probs = &mut batch.log_probs[rows.clone()];
        let tools = (&mut self.random, &mut self.workspace);
        self.model.act(parameters, obs, tools, batch.actions.slice_mut(numbers.clone()), log_probs);
        let out = StepOut {
            obs: &mut after[..obs.len()],
            rewards: &mut batch.rewards[rows.clone()],
            terminated: &mut batch.terminated[rows.clone()],
            truncated: &mut batch.truncated[rows],
            finished: &mut self.finished,
        };
        Ok(self.envs.step(batch.actions.slice(numbers), out)?)
    }

    /// Notes the episodes that ended in `step`; final observations of truncated ones are kept behind the batch's own.
    fn take_finished(&self, step: usize, batch: &mut RolloutBatch, truncations: &mut Vec<Truncation>) {
        for episode in self.finished.iter() {
            batch.episodes.push(EpisodeEnd { total_reward: episode.total_reward, length: episode.length });
            if episode.truncated && !episode.terminated {
                truncations.push(Truncation { row: step * batch.envs + episode.env });
                batch.obs.extend_from_slice(episode.final_obs);
            }
        }
    }

    /// Runs the value network once over all observations: those acted on, those to act on next, and the final ones.
    fn fill_values(&mut self, parameters: &[f32], batch: &mut RolloutBatch, truncations: &[Truncation]) {
        let (rows, obs_dim) = (batch.rows(), self.model.spec().obs_dim);
        for obs in batch.obs.chunks(VALUE_ROWS * obs_dim) {
            batch.values.extend_from_slice(self.model.values(parameters, obs, &mut self.workspace));
        }
        let following = &batch.values[batch.envs..rows + batch.envs];
        let next = following.iter().zip(&batch.terminated).map(|(value, ended)| if *ended { 0.0 } else { *value });
        batch.next_values.extend(next);
        for (truncation, value) in truncations.iter().zip(&batch.values[rows + batch.envs..]) {
            batch.next_values[truncation.row] = *value;
        }
        batch.values.truncate(rows);
        self.current_obs.copy_from_slice(&batch.obs[rows * obs_dim..(rows + batch.envs) * obs_dim]);
        batch.obs.truncate(rows * obs_dim);
    }
}

/// An error unless the environments' spaces are those that `model` was made for.
fn check_spaces(model: &ActorCritic, envs: &dyn VecEnv) -> Result<(), PpoError> {
    let misfit = misfit(model.spec().obs_dim, model.head(), envs.observation_space(), envs.action_space());
    misfit.map_or(Ok(()), |misfit| Err(PpoError::misfit(misfit)))
}
