//! A learner's state on disk.
//!
//! The file is in `safetensors` format, so that other tools can read the parameters: tensors under the names of
//! [`ActorCritic::tensors`], Adam's moments under `adam.first.` and `adam.second.` and the same names, and everything
//! else as JSON in the metadata. Weights are `[inputs, outputs]`, the transpose of PyTorch's.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{PpoConfig, PpoError, PpoLearner};
use crate::nn::{ActorCritic, ActorCriticSpec, Adam, NamedTensor, Random};

/// Says whose metadata this is.
const FORMAT: &str = "rayline-ppo";
/// Raised when an older program could not read a newer file.
const VERSION: u32 = 1;
/// Widest layer that is believed of a file: products of two widths stay far from overflow.
const WIDTH_MAX: usize = 1 << 24;
/// Prefixes of the three vectors that are laid out as the parameters are.
const VECTORS: [&str; 3] = ["", "adam.first.", "adam.second."];

/// Everything that a learner needs to continue as if it had never stopped.
#[derive(Clone, Debug, PartialEq)]
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
}

impl Checkpoint {
    /// Writes the checkpoint so that `path` holds either what it held before or all of the new state, even through a
    /// crash or a power cut: a temporary file beside it, synced, then renamed over it.
    ///
    /// # Errors
    /// [`PpoError::CheckpointIo`] if the system refuses; `path` is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PpoError> {
        let path = path.as_ref();
        let failed =
            |action: &'static str| move |source| PpoError::CheckpointIo { path: path.to_path_buf(), action, source };
        let temporary = temporary_path(path);
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(&self.to_bytes())?;
            file.sync_all()
        });
        if let Err(source) = written.and_then(|()| fs::rename(&temporary, path)) {
            // The temporary file is of no use to anyone; that it can't be removed changes nothing about the failure.
            let _ = fs::remove_file(&temporary);
            return Err(failed("writing")(source));
        }
        // The rename itself lasts once the directory is synced.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("syncing the directory"))
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`PpoError::CheckpointIo`] if the file can't be read, [`PpoError::CheckpointInvalid`] if it is no checkpoint or
    /// damaged, [`PpoError::CheckpointVersion`] for another version, [`PpoError::CheckpointTensor`] for a tensor that
    /// is missing or has the wrong shape or type.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, PpoError> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| PpoError::CheckpointIo {
            path: path.to_path_buf(),
            action: "reading",
            source,
        })?;
        Reader { path }.read(&bytes)
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

    /// Flat parameters of the networks.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// Updates made before it was taken.
    pub fn updates(&self) -> u64 {
        self.state.updates
    }

    /// Environment steps learned from before it was taken.
    pub fn env_steps(&self) -> u64 {
        self.state.env_steps
    }

    /// The file's content.
    fn to_bytes(&self) -> Vec<u8> {
        let state = serde_json::to_string(&self.state).expect("plain data with string keys has a JSON form");
        let metadata = HashMap::from([
            ("format".to_string(), FORMAT.to_string()),
            ("version".to_string(), VERSION.to_string()),
            ("state".to_string(), state),
        ]);
        let tensors = ActorCritic::new(self.state.model.clone()).tensors();
        let vectors = [&self.parameters, &self.first_moments, &self.second_moments];
        let mut parts = Vec::new();
        for (prefix, vector) in VECTORS.iter().zip(vectors) {
            for NamedTensor { name, shape, range } in &tensors {
                let bytes: Vec<u8> = vector[range.clone()].iter().flat_map(|x| x.to_le_bytes()).collect();
                parts.push((format!("{prefix}{name}"), shape.clone(), bytes));
            }
        }
        let views = parts.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("4 bytes an element of the shape");
            (name, view)
        });
        safetensors::serialize(views, Some(metadata)).expect("views made above have unique names and valid lengths")
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
        let counters = [state.updates, state.env_steps];
        Ok(Self::from_parts(state.config, model, (parameters, adam), state.random, counters))
    }
}

/// Reads a file's content; knows the path for its errors.
#[derive(Clone, Copy)]
struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    fn read(self, bytes: &[u8]) -> Result<Checkpoint, PpoError> {
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|e| self.invalid(format!("not safetensors: {e}")))?;
        let empty = HashMap::new();
        let metadata = header.metadata().as_ref().unwrap_or(&empty);
        self.check_format(metadata)?;
        let state = metadata.get("state").ok_or_else(|| self.invalid("has no state in its metadata".into()))?;
        let state: State =
            serde_json::from_str(state).map_err(|e| self.invalid(format!("its state is unreadable: {e}")))?;
        let model = &state.model;
        let widths = [model.obs_dim, model.head.outputs()].into_iter().chain(model.hidden.iter().copied());
        if let Some(width) = widths.into_iter().find(|width| !(1..=WIDTH_MAX).contains(width)) {
            return Err(self.invalid(format!("its state describes a layer of width {width}")));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| self.invalid(format!("damaged: {e}")))?;
        let layout = ActorCritic::new(state.model.clone()).tensors();
        let [parameters, first_moments, second_moments] = VECTORS.map(|prefix| self.vector(prefix, &layout, &tensors));
        Ok(Checkpoint {
            state,
            parameters: parameters?,
            first_moments: first_moments?,
            second_moments: second_moments?,
        })
    }

    fn check_format(self, metadata: &HashMap<String, String>) -> Result<(), PpoError> {
        if metadata.get("format").map(String::as_str) != Some(FORMAT) {
            return Err(self.invalid(format!("its metadata doesn't name the format {FORMAT}")));
        }
        let found = metadata.get("version").cloned().unwrap_or_else(|| "none".into());
        if found != VERSION.to_string() {
            return Err(PpoError::CheckpointVersion { path: self.path.to_path_buf(), expected: VERSION, found });
        }
        Ok(())
    }

    /// The flat vector whose parts have `prefix` before their names.
    fn vector(self, prefix: &str, layout: &[NamedTensor], tensors: &SafeTensors<'_>) -> Result<Vec<f32>, PpoError> {
        let mut vector = Vec::new();
        for NamedTensor { name, shape, .. } in layout {
            let name = format!("{prefix}{name}");
            let mismatch = |found: String| PpoError::CheckpointTensor {
                path: self.path.to_path_buf(),
                tensor: name.clone(),
                expected: format!("F32 {shape:?}"),
                found,
            };
            let tensor = tensors.tensor(&name).map_err(|_| mismatch("missing".into()))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
                return Err(mismatch(format!("{:?} {:?}", tensor.dtype(), tensor.shape())));
            }
            let (elements, _) = tensor.data().as_chunks::<4>();
            vector.extend(elements.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        Ok(vector)
    }

    fn invalid(self, reason: String) -> PpoError {
        PpoError::CheckpointInvalid { path: self.path.to_path_buf(), reason }
    }
}

/// A name beside `path` that no other process uses.
fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}
