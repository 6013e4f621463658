//! A learner's state on disk.
//!
//! A `safetensors` file: tensors under the names of [`PolicyNet::tensors`], Adam's moments under `adam.first.` and
//! `adam.second.` and the same names, and everything else as JSON in the metadata, the statistics of the observations
//! included. Weights are `[inputs, outputs]`, the transpose of PyTorch's.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EsConfig, EsError, EsLearner, EsPolicy, PolicyNet, PolicySpec};
use crate::env::wrappers::RunningStats;
use crate::state_file::{self, ADAM_VECTORS, Kind, StateFile};

const KIND: Kind = Kind { name: state_file::ES, version: 1 };

/// Everything that a learner needs to continue as if it had never stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct EsCheckpoint {
    state: State,
    /// Parameters, first and second moments.
    vectors: [Vec<f32>; 3],
}

/// What is written as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    config: EsConfig,
    policy: PolicySpec,
    obs_stats: RunningStats,
    rounds: u64,
    env_steps: u64,
    adam_steps: u64,
    #[serde(default, with = "crate::json_text")]
    notes: Value,
}

impl EsCheckpoint {
    /// Writes the checkpoint so that `path` holds either what it held before or all of the new state, even through a
    /// crash or a power cut.
    ///
    /// # Errors
    /// [`EsError::Checkpoint`] if the system refuses; `path` is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), EsError> {
        let layout = PolicyNet::new(self.state.policy.clone()).tensors();
        let vectors = ADAM_VECTORS.into_iter().zip(self.vectors.iter().map(Vec::as_slice));
        Ok(state_file::save(path.as_ref(), &state_file::encode(KIND, &self.state, &layout, vectors))?)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`EsError::Checkpoint`] if the file can't be read, is no checkpoint of evolution strategies or damaged.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, EsError> {
        let path = path.as_ref();
        let bytes = state_file::read(path)?;
        let file = StateFile::open(path, &bytes, KIND)?;
        let state: State = file.state()?;
        let spec = &state.policy;
        file.check_widths([spec.obs_dim, spec.head.outputs()].into_iter().chain(spec.hidden.iter().copied()))?;
        if state.obs_stats.len() != spec.obs_dim || !state.obs_stats.is_sound() {
            return Err(file.invalid("its statistics of observations are damaged".to_owned()).into());
        }
        let layout = PolicyNet::new(spec.clone()).tensors();
        let vectors = file.vectors(ADAM_VECTORS, &layout)?;
        Ok(Self { state, vectors })
    }

    /// Settings of the run.
    pub fn config(&self) -> &EsConfig {
        &self.state.config
    }

    /// Settings of the run, to change before resuming (more steps, say). The widths of the network stay those of
    /// [`EsCheckpoint::policy_spec`].
    pub fn config_mut(&mut self) -> &mut EsConfig {
        &mut self.state.config
    }

    /// The network.
    pub fn policy_spec(&self) -> &PolicySpec {
        &self.state.policy
    }

    /// What the program that trains has noted with it; `null` where it noted nothing.
    pub fn notes(&self) -> &Value {
        &self.state.notes
    }

    /// Notes something with it that a program needs to go on, in the same file, so that both are there or neither.
    pub fn set_notes(&mut self, notes: Value) {
        self.state.notes = notes;
    }

    /// Flat parameters of the network.
    pub fn parameters(&self) -> &[f32] {
        &self.vectors[0]
    }

    /// The policy, to be played.
    ///
    /// # Errors
    /// [`EsError::Config`] if the settings were changed to ones that can't work.
    pub fn policy(&self) -> Result<EsPolicy, EsError> {
        Ok(EsLearner::from_checkpoint(self.clone())?.policy())
    }
}

impl EsLearner {
    /// The state to save.
    pub fn checkpoint(&self) -> EsCheckpoint {
        let state = State {
            config: self.config.clone(),
            policy: self.net.spec().clone(),
            obs_stats: self.obs_stats.clone(),
            rounds: self.rounds,
            env_steps: self.env_steps,
            adam_steps: self.adam.steps,
            notes: Value::Null,
        };
        EsCheckpoint { state, vectors: [&self.parameters, &self.adam.first, &self.adam.second].map(Vec::clone) }
    }

    /// A learner that continues from `checkpoint` bit for bit.
    ///
    /// # Errors
    /// [`EsError::Config`] if the settings were changed to ones that can't work.
    pub fn from_checkpoint(checkpoint: EsCheckpoint) -> Result<Self, EsError> {
        let EsCheckpoint { state, vectors: [parameters, first, second] } = checkpoint;
        let mut learner = Self::new(state.config, state.policy)?;
        (learner.adam.first, learner.adam.second, learner.adam.steps) = (first, second, state.adam_steps);
        (learner.parameters, learner.obs_stats) = (parameters, state.obs_stats);
        (learner.rounds, learner.env_steps) = (state.rounds, state.env_steps);
        Ok(learner)
    }
}
