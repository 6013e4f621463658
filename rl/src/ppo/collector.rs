//! Gathers experience.

use std::ops::Range;

use super::mask::Mask;
use super::memory::Memory;
use super::{EpisodeEnd, ObsScaling, PolicySnapshot, PpoConfig, PpoError, RolloutBatch, SeenStats};
use crate::env::{Actions, Finished, StepOut, VecEnv};
use crate::misfit::misfit;
use crate::nn::{ActionRows, ActionsMut, ActorCritic, ActorCriticSpec, Random, Workspace};

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
    mask: Mask,
    /// Actions that are done where they aren't those that are kept, `[envs, width]`.
    squashed: Vec<f32>,
    seen: SeenStats,
    gamma: f32,
    /// Discounted returns of the episodes under way, `[envs]`; empty where rewards are taken as they are.
    returns: Vec<f32>,
    /// `None` for a policy without.
    memory: Option<Memory>,
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
            mask: Mask::new(model.head(), envs.as_ref()),
            squashed: Vec::new(),
            seen: SeenStats::default(),
            gamma: 1.0,
            returns: Vec::new(),
            memory: Memory::new(&model, envs.env_count()),
            model,
            envs,
            steps,
            random: Random::new(seed.seed, 1 + seed.index),
            workspace: Workspace::default(),
            current_obs,
            finished: Finished::new(),
        })
    }

    /// The collector that `config` describes, with statistics of what it normalises.
    ///
    /// # Errors
    /// As [`Collector::new`].
    pub fn from_config(config: &PpoConfig, envs: Box<dyn VecEnv>, seed: CollectorSeed) -> Result<Self, PpoError> {
        let spec = config.model_spec(envs.observation_space(), envs.action_space());
        let mut collector = Self::new(spec, envs, config.n_steps, seed)?;
        let env_count = if config.normalize_reward { collector.envs.env_count() } else { 0 };
        (collector.gamma, collector.returns) = (config.gamma, vec![0.0; env_count]);
        collector.seen = SeenStats::part(config, collector.model.spec().obs_dim);
        Ok(collector)
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
        let scaling = policy.scaling.as_deref();
        if let Some(scaling) = scaling {
            let now = self.current_obs.len();
            scaling.apply(&mut batch.obs[..now]);
        }
        for step in 0..self.steps {
            self.step(&policy.parameters, step, &mut batch)?;
            self.see(step, &mut batch, scaling);
            if !self.finished.is_empty() {
                self.take_finished(&policy.parameters, step, &mut batch, &mut truncations);
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
    fn empty_batch(&mut self, policy_version: u64) -> RolloutBatch {
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
            masks: Vec::with_capacity(self.mask.flags().map_or(0, |flags| steps * flags.len())),
            log_probs: vec![0.0; rows],
            rewards: vec![0.0; rows],
            values: Vec::with_capacity(rows + envs),
            next_values: Vec::with_capacity(rows),
            terminated: vec![false; rows],
            truncated: vec![false; rows],
            episodes: Vec::new(),
            seen: self.seen.clone(),
            memory: self.memory.as_mut().map(Memory::begin),
        }
    }

    /// Acts on the observations of `step` and lets the environments write what follows straight into the batch.
    fn step(&mut self, parameters: &[f32], step: usize, batch: &mut RolloutBatch) -> Result<(), PpoError> {
        let rows = step * batch.envs..(step + 1) * batch.envs;
        let width = self.model.head().width();
        let numbers = rows.start * width..rows.end * width;
        let (before, after) = batch.obs.split_at_mut(rows.end * self.model.spec().obs_dim);
        let obs = &before[rows.start * self.model.spec().obs_dim..];
        self.mask.see(self.envs.as_ref())?;
        batch.masks.extend_from_slice(self.mask.flags().unwrap_or(&[]));
        let log_probs = &mut batch.log_probs[rows.clone()];
        let tools = (&mut self.random, &mut self.workspace);
        let features = match &mut self.memory {
            Some(memory) => memory.step(&self.model, parameters, obs),
            None => obs,
        };
        let seen = (features, self.mask.flags());
        self.model.act(parameters, seen, tools, batch.actions.slice_mut(numbers.clone()), log_probs);
        let out = StepOut {
            obs: &mut after[..obs.len()],
            rewards: &mut batch.rewards[rows.clone()],
            terminated: &mut batch.terminated[rows.clone()],
            truncated: &mut batch.truncated[rows.clone()],
            finished: &mut self.finished,
        };
        let actions = done(&self.model, &batch.actions, numbers, &mut self.squashed);
        self.envs.step(actions, out)?;
        if let Some(memory) = &mut self.memory {
            memory.note_ends(&batch.terminated[rows.clone()], &batch.truncated[rows]);
        }
        Ok(())
    }

    /// Takes what the environments gave in `step` into the statistics, and scales it as the policy wants it. The last
    /// observations are kept as they are: the next policy may want them otherwise.
    fn see(&mut self, step: usize, batch: &mut RolloutBatch, scaling: Option<&ObsScaling>) {
        let rows = step * batch.envs..(step + 1) * batch.envs;
        let obs_dim = self.model.spec().obs_dim;
        let after = &mut batch.obs[rows.end * obs_dim..(rows.end + batch.envs) * obs_dim];
        if step + 1 == self.steps {
            self.current_obs.copy_from_slice(after);
        }
        if let Some(stats) = &mut batch.seen.obs {
            stats.update(after);
        }
        if let Some(scaling) = scaling {
            scaling.apply(after);
            scaling.apply(self.finished.final_obs_mut());
        }
        if let Some(stats) = &mut batch.seen.returns {
            let rewards = &batch.rewards[rows];
            self.returns.iter_mut().zip(rewards).for_each(|(sum, reward)| *sum = *sum * self.gamma + reward);
            stats.update(&self.returns);
            self.finished.iter().for_each(|episode| self.returns[episode.env] = 0.0);
        }
    }

    /// Notes the episodes that ended in `step`; final observations of truncated ones are kept behind the batch's own.
    fn take_finished(
        &mut self,
        parameters: &[f32],
        step: usize,
        batch: &mut RolloutBatch,
        truncations: &mut Vec<Truncation>,
    ) {
        for episode in self.finished.iter() {
            batch.episodes.push(EpisodeEnd { total_reward: episode.total_reward, length: episode.length });
            if episode.truncated && !episode.terminated {
                truncations.push(Truncation { row: step * batch.envs + episode.env });
                match &mut self.memory {
                    Some(memory) => memory.see_final(&self.model, parameters, episode.env, episode.final_obs),
                    None => batch.obs.extend_from_slice(episode.final_obs),
                }
            }
        }
    }

    /// Runs the value network once over all observations: those acted on, those to act on next, and the final ones.
    fn fill_values(&mut self, parameters: &[f32], batch: &mut RolloutBatch, truncations: &[Truncation]) {
        let (rows, obs_dim) = (batch.rows(), self.model.spec().obs_dim);
        let features = match &mut self.memory {
            Some(memory) => memory.all_features(&self.model, parameters, &batch.obs[rows * obs_dim..]),
            None => &batch.obs,
        };
        for features in features.chunks(VALUE_ROWS * self.model.feature_dim()) {
            batch.values.extend_from_slice(self.model.values(parameters, features, &mut self.workspace));
        }
        let following = &batch.values[batch.envs..rows + batch.envs];
        let next = following.iter().zip(&batch.terminated).map(|(value, ended)| if *ended { 0.0 } else { *value });
        batch.next_values.extend(next);
        for (truncation, value) in truncations.iter().zip(&batch.values[rows + batch.envs..]) {
            batch.next_values[truncation.row] = *value;
        }
        batch.values.truncate(rows);
        batch.obs.truncate(rows * obs_dim);
    }
}

/// The actions in `range` of `kept` as they are done; `squashed` is room for those that differ.
fn done<'a>(model: &ActorCritic, kept: &'a ActionRows, range: Range<usize>, squashed: &'a mut Vec<f32>) -> Actions<'a> {
    match kept.slice(range) {
        Actions::Continuous(values) if model.head().squashes() => {
            squashed.clear();
            squashed.extend_from_slice(values);
            model.head().squash(ActionsMut::Continuous(squashed));
            Actions::Continuous(squashed)
        }
        actions => actions,
    }
}

/// An error unless the environments' spaces are those that `model` was made for.
fn check_spaces(model: &ActorCritic, envs: &dyn VecEnv) -> Result<(), PpoError> {
    let misfit = misfit(model.spec().obs_dim, model.head(), envs.observation_space(), envs.action_space());
    misfit.map_or(Ok(()), |misfit| Err(PpoError::misfit(misfit)))
}
