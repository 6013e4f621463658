//! Rollouts on disk, for those on which an update failed.
//!
//! A `safetensors` file: `obs` (`[steps, envs, obs_dim]`), `actions` (`[steps, envs, width]`), `log_probs`, `rewards`,
//! `values`, `next_values`, `terminated` and `truncated` (`[steps, envs]`), and where there are any `masks`
//! (`[steps, envs, choices]`), `memory.hidden` and `memory.cell` (`[envs, units]`), all in single precision, flags as 0
//! and 1; the episodes and statistics as JSON in the metadata.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{EpisodeEnd, PpoError, RolloutBatch, SeenStats};
use crate::nn::{ActionRows, LstmState, NamedTensor};
use crate::state_file::{self, Kind, StateFile};

const KIND: Kind = Kind { name: "rayline-rollout", version: 1 };
/// Names of the columns that have one number a row, in their order.
const COLUMNS: [&str; 6] = ["log_probs", "rewards", "values", "next_values", "terminated", "truncated"];
/// Numbers that are believed of a file's shapes.
const NUMBERS_MAX: usize = 1 << 32;

/// What is written as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    steps: usize,
    envs: usize,
    obs_dim: usize,
    action_width: usize,
    is_discrete: bool,
    /// Choices that the masks tell of in a row; 0 without masks.
    #[serde(default)]
    mask_width: usize,
    /// Units of the memory; 0 without.
    #[serde(default)]
    memory_units: usize,
    policy_version: u64,
    episodes: Vec<EpisodeEnd>,
    #[serde(default)]
    seen: SeenStats,
}

impl RolloutBatch {
    /// Writes the rollout so that `path` holds either what it held before or all of it. Numbers that are not finite are
    /// written as they are.
    ///
    /// # Errors
    /// [`PpoError::CheckpointIo`] if the system refuses.
    pub fn save(&self, path: &Path) -> Result<(), PpoError> {
        let rows = self.rows().max(1);
        let (actions, is_discrete): (Vec<f32>, bool) = match &self.actions {
            // Choices are small: single precision has them all up to 2^24.
            ActionRows::Discrete(choices) => (choices.iter().map(|choice| *choice as f32).collect(), true),
            ActionRows::Continuous(values) => (values.clone(), false),
        };
        let state = State {
            steps: self.steps,
            envs: self.envs,
            obs_dim: self.obs.len() / rows,
            action_width: actions.len() / rows,
            is_discrete,
            mask_width: self.masks.len() / rows,
            memory_units: self.memory.as_ref().map_or(0, |memory| memory.hidden.len() / self.envs.max(1)),
            policy_version: self.policy_version,
            episodes: self.episodes.clone(),
            seen: self.seen.clone(),
        };
        let flags = |flags: &[bool]| -> Vec<f32> { flags.iter().map(|flag| f32::from(u8::from(*flag))).collect() };
        let (terminated, truncated) = (flags(&self.terminated), flags(&self.truncated));
        let columns = [&self.log_probs, &self.rewards, &self.values, &self.next_values, &terminated, &truncated];
        let mut flat = self.obs.clone();
        flat.extend(actions);
        columns.into_iter().for_each(|column| flat.extend_from_slice(column));
        flat.extend(flags(&self.masks));
        if let Some(memory) = &self.memory {
            flat.extend_from_slice(&memory.hidden);
            flat.extend_from_slice(&memory.cell);
        }
        let bytes = state_file::encode(KIND, &state, &state.layout(), [("", flat.as_slice())]);
        Ok(state_file::save(path, &bytes)?)
    }

    /// Reads a rollout.
    ///
    /// # Errors
    /// [`PpoError::CheckpointIo`] if the file can't be read, [`PpoError::CheckpointInvalid`] if it is no rollout or
    /// damaged, [`PpoError::CheckpointVersion`] and [`PpoError::CheckpointTensor`] as for checkpoints.
    pub fn load(path: &Path) -> Result<Self, PpoError> {
        let bytes = state_file::read(path)?;
        let file = StateFile::open(path, &bytes, KIND)?;
        let state: State = file.state()?;
        let widths = [state.obs_dim, state.action_width, state.mask_width, state.memory_units, COLUMNS.len()];
        let width = widths.into_iter().try_fold(0usize, usize::checked_add);
        let numbers = width.and_then(|width| state.steps.checked_mul(state.envs)?.checked_mul(width));
        if numbers.is_none_or(|numbers| numbers > NUMBERS_MAX) {
            return Err(file.invalid("its state describes more numbers than a file has".to_owned()).into());
        }
        let flat = file.vector("", &state.layout())?;
        let rows = state.steps * state.envs;
        let mut rest = flat.as_slice();
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at(count);
            rest = left;
            taken.to_vec()
        };
        let (obs, actions) = (take(rows * state.obs_dim), take(rows * state.action_width));
        let [log_probs, rewards, values, next_values, terminated, truncated] = COLUMNS.map(|_| take(rows));
        let masks = take(rows * state.mask_width);
        let units = state.envs * state.memory_units;
        let memory = (units > 0).then(|| LstmState { hidden: take(units), cell: take(units) });
        let flags = |column: Vec<f32>| column.into_iter().map(|flag| flag != 0.0).collect();
        Ok(Self {
            steps: state.steps,
            envs: state.envs,
            policy_version: state.policy_version,
            obs,
            actions: match state.is_discrete {
                true => ActionRows::Discrete(actions.into_iter().map(|choice| choice as u32).collect()),
                false => ActionRows::Continuous(actions),
            },
            log_probs,
            rewards,
            values,
            next_values,
            terminated: flags(terminated),
            truncated: flags(truncated),
            masks: flags(masks),
            episodes: state.episodes,
            seen: state.seen,
            memory,
        })
    }
}

impl State {
    /// Where everything lies in one vector.
    fn layout(&self) -> Vec<NamedTensor> {
        let [steps, envs] = [self.steps, self.envs];
        let wide = [("obs", vec![steps, envs, self.obs_dim]), ("actions", vec![steps, envs, self.action_width])];
        let masks = (self.mask_width > 0).then(|| ("masks", vec![steps, envs, self.mask_width]));
        let memory = ["memory.hidden", "memory.cell"].map(|name| (name, vec![envs, self.memory_units]));
        let memory = memory.into_iter().filter(|_| self.memory_units > 0);
        let columns = COLUMNS.map(|name| (name, vec![steps, envs]));
        let mut start = 0;
        let parts = wide.into_iter().chain(columns).chain(masks).chain(memory).map(|(name, shape)| {
            let range = start..start + shape.iter().product::<usize>();
            start = range.end;
            NamedTensor { name: name.to_owned(), shape, range }
        });
        parts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(actions: ActionRows) -> RolloutBatch {
        let numbers = |count: usize, scale: f32| (0..count).map(|i| scale * i as f32).collect::<Vec<_>>();
        RolloutBatch {
            steps: 2,
            envs: 3,
            policy_version: 9,
            obs: numbers(24, 0.1),
            actions,
            log_probs: numbers(6, -0.5),
            rewards: vec![1.0, f32::NAN, f32::INFINITY, -0.0, 3.0, 4.0],
            values: numbers(6, 2.0),
            next_values: numbers(6, 3.0),
            terminated: vec![true, false, false, true, false, false],
            truncated: vec![false, true, false, false, false, true],
            masks: (0..12).map(|i| i % 3 > 0).collect(),
            seen: SeenStats::default(),
            memory: Some(LstmState { hidden: numbers(6, 0.5), cell: numbers(6, -1.0) }),
            episodes: vec![EpisodeEnd { total_reward: 0.1, length: 7 }],
        }
    }

    #[test]
    fn a_rollout_comes_back_with_numbers_that_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let bits = |rollout: &RolloutBatch| rollout.rewards.iter().map(|reward| reward.to_bits()).collect::<Vec<_>>();
        let kinds = [ActionRows::Discrete(vec![0, 1, 2, 3, 4, 5]), ActionRows::Continuous(vec![0.25; 12])];
        for actions in kinds {
            let before = rollout(actions);
            before.save(&path).unwrap();
            let after = RolloutBatch::load(&path).unwrap();
            assert_eq!(bits(&after), bits(&before));
            let [after, before] = [after, before].map(|rollout| RolloutBatch { rewards: vec![], ..rollout });
            assert_eq!(after, before);
        }
    }

    #[test]
    fn what_is_no_rollout_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        std::fs::write(&path, "no").unwrap();
        assert!(matches!(RolloutBatch::load(&path), Err(PpoError::CheckpointInvalid { .. })));
        let state = State {
            steps: usize::MAX,
            envs: 2,
            obs_dim: 1,
            action_width: 1,
            is_discrete: true,
            mask_width: 0,
            memory_units: 0,
            policy_version: 0,
            episodes: vec![],
            seen: SeenStats::default(),
        };
        state_file::save(&path, &state_file::encode(KIND, &state, &[], [])).unwrap();
        assert!(matches!(RolloutBatch::load(&path), Err(PpoError::CheckpointInvalid { .. })));
    }
}
