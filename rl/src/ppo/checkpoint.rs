//! A learner's state on disk.
//!
//! The file is in `safetensors` format, so that other tools can read the parameters: tensors under the names of
//! [`ActorCritic::tensors`], Adam's moments under `adam.first.` and `adam.second.` and the same names, and everything
//! else as JSON in the metadata. Weights are `[inputs, outputs]`, the transpose of PyTorch's.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PolicySnapshot, PpoConfig, PpoError, PpoLearner, SeenStats};
use crate::nn::{ActorCritic, ActorCriticSpec, Adam, Random};
use crate::state_file::{self, ADAM_VECTORS, Kind, StateFile};

const KIND: Kind = Kind { name: "rayline-ppo", version: 1 };

/// Everything that a learner needs to continue as if it had never stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    state: State,
    parameters: Vec<f32>,
    first_moments: Vec<f32>,
    second_moments: Vec<f32>,
}

/// What is written as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    config: PpoConfig,
    model: ActorCriticSpec,
    random: Random,
    updates: u64,
    env_steps: u64,
    adam_steps: u64,
    #[serde(default)]
    seen: SeenStats,
    #[serde(default, with = "crate::json_text")]
    notes: Value,
}

impl Checkpoint {
    /// Writes the checkpoint so that `path` holds either what it held before or all of the new state, even through a
    /// crash or a power cut.
    ///
    /// # Errors
    /// [`PpoError::CheckpointIo`] if the system refuses; `path` is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PpoError> {
        let layout = ActorCritic::new(self.state.model.clone()).tensors();
        let vectors = [&self.parameters, &self.first_moments, &self.second_moments].map(Vec::as_slice);
        let bytes = state_file::encode(KIND, &self.state, &layout, ADAM_VECTORS.into_iter().zip(vectors));
        Ok(state_file::save(path.as_ref(), &bytes)?)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`PpoError::CheckpointIo`] if the file can't be read, [`PpoError::CheckpointInvalid`] if it is no checkpoint or
    /// damaged, [`PpoError::CheckpointVersion`] for another version, [`PpoError::CheckpointTensor`] for a tensor that
    /// is missing or has the wrong shape or type.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, PpoError> {
        let path = path.as_ref();
        let bytes = state_file::read(path)?;
        let file = StateFile::open(path, &bytes, KIND)?;
        let state: State = file.state()?;
        let model = &state.model;
        file.check_widths(
            [model.obs_dim, model.head.outputs()]
                .into_iter()
                .chain(model.lstm_units)
                .chain(model.hidden.iter().copied()),
        )?;
        if state.seen.check(model.obs_dim).is_err() {
            return Err(file.invalid("its statistics don't fit its networks".into()).into());
        }
        let layout = ActorCritic::new(model.clone()).tensors();
        let [parameters, first_moments, second_moments] = file.vectors(ADAM_VECTORS, &layout)?;
        Ok(Self { state, parameters, first_moments, second_moments })
    }

    /// Settings of the run.
    pub fn config(&self) -> &PpoConfig {
        &self.state.config
    }

    /// Settings of the run, to change before resuming (more steps, say). The widths of the networks stay those of
    /// [`Checkpoint::model_spec`].
    pub fn config_mut(&mut self) -> &mut PpoConfig {
        &mut self.state.config
    }

    /// The networks.
    pub fn model_spec(&self) -> &ActorCriticSpec {
        &self.state.model
    }

    /// What the program that trains has noted with it; `null` where it noted nothing.
    pub fn notes(&self) -> &Value {
        &self.state.notes
    }

    /// Notes something with it that a program needs to go on, in the same file, so that both are there or neither.
    pub fn set_notes(&mut self, notes: Value) {
        self.state.notes = notes;
    }

    /// Flat parameters of the networks.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// The policy, with the scaling of observations as it was.
    pub fn snapshot(&self) -> PolicySnapshot {
        let scaling = self.state.seen.obs_scaling(self.state.config.obs_clip).map(Arc::new);
        PolicySnapshot { version: self.state.updates, parameters: self.parameters.as_slice().into(), scaling }
    }

    /// Updates made before it was taken.
    pub fn updates(&self) -> u64 {
        self.state.updates
    }

    /// Environment steps learned from before it was taken.
    pub fn env_steps(&self) -> u64 {
        self.state.env_steps
    }
}

impl PpoLearner {
    /// The state to save.
    pub fn checkpoint(&self) -> Checkpoint {
        let state = State {
            config: self.config.clone(),
            model: self.model.spec().clone(),
            random: self.random.clone(),
            updates: self.updates,
            env_steps: self.env_steps,
            adam_steps: self.adam.steps,
            seen: self.seen.clone(),
            notes: Value::Null,
        };
        Checkpoint {
            state,
            parameters: self.parameters.clone(),
            first_moments: self.adam.first.clone(),
            second_moments: self.adam.second.clone(),
        }
    }

    /// A learner that continues from `checkpoint` bit for bit.
    ///
    /// # Errors
    /// [`PpoError::Config`] if the settings were changed to ones that can't work.
    pub fn from_checkpoint(checkpoint: Checkpoint) -> Result<Self, PpoError> {
        let Checkpoint { state, parameters, first_moments, second_moments } = checkpoint;
        state.config.validate()?;
        let mut adam = Adam::new(parameters.len());
        (adam.first, adam.second, adam.steps) = (first_moments, second_moments, state.adam_steps);
        let model = ActorCritic::new(state.model);
        let counters = ([state.updates, state.env_steps], state.seen);
        Ok(Self::from_parts(state.config, model, (parameters, adam), state.random, counters))
    }
}
