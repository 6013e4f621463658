//! A learner's state on disk, in `safetensors` format, so that other tools can read the parameters: vectors under the
//! names of their parts, with a prefix each, and everything else as JSON in the metadata.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::nn::NamedTensor;

/// Name of the format of evolution strategies.
pub(crate) const ES: &str = "rayline-es";
/// Prefixes of a learner's parameters and of Adam's two moments of each, which are laid out alike.
pub(crate) const ADAM_VECTORS: [&str; 3] = ["", "adam.first.", "adam.second."];
/// Widest layer that is believed of a file: products of two widths stay far from overflow.
const WIDTH_MAX: usize = 1 << 24;

/// A checkpoint can't be written, or not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The system refuses.
    #[error("checkpoint {}: {action} failed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is not a checkpoint of this kind, or a damaged one.
    #[error("checkpoint {}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint written by another version of the format.
    #[error("checkpoint {}: has format version {found}, this program reads version {expected}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version read by this program.
        expected: u32,
        /// The version found.
        found: String,
    },
    /// A tensor that doesn't fit the model that the checkpoint describes.
    #[error("checkpoint {}: tensor {tensor} should be {expected}, but is {found}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Element type and shape that the model needs.
        expected: String,
        /// Element type and shape found, or `missing`.
        found: String,
    },
}

/// Whose file it is, as its metadata says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub name: &'static str,
    /// Raised when an older program could not read a newer file.
    pub version: u32,
}

/// A file's content; knows the path for its errors.
pub(crate) struct StateFile<'a> {
    path: &'a Path,
    metadata: HashMap<String, String>,
    tensors: SafeTensors<'a>,
}

/// The content of a file of `kind` with `state`, and `vectors` by their prefixes, each laid out as `layout` says.
pub(crate) fn encode<'v, S: Serialize>(
    kind: Kind,
    state: &S,
    layout: &[NamedTensor],
    vectors: impl IntoIterator<Item = (&'v str, &'v [f32])>,
) -> Vec<u8> {
    let state = serde_json::to_string(state).expect("plain data with string keys has a JSON form");
    let metadata = HashMap::from([
        ("format".to_string(), kind.name.to_string()),
        ("version".to_string(), kind.version.to_string()),
        ("state".to_string(), state),
    ]);
    let mut parts = Vec::new();
    for (prefix, vector) in vectors {
        for NamedTensor { name, shape, range } in layout {
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

/// Writes `bytes` so that `path` holds either what it held before or all of them, even through a crash or a power cut: a
/// temporary file beside it, synced, then renamed over it.
pub(crate) fn save(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let failed = |action: &'static str| move |source| CheckpointError::Io { path: path.to_path_buf(), action, source };
    let temporary = temporary_path(path);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
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

/// The bytes of the file at `path`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    fs::read(path).map_err(|source| CheckpointError::Io { path: path.to_path_buf(), action: "reading", source })
}

/// The name of the format that the file at `path` says it is of; `None` for one that says nothing.
pub(crate) fn format(path: &Path) -> Result<Option<String>, CheckpointError> {
    let bytes = read(path)?;
    let header = SafeTensors::read_metadata(&bytes).ok().and_then(|(_, header)| header.metadata().clone());
    Ok(header.and_then(|mut metadata| metadata.remove("format")))
}

impl<'a> StateFile<'a> {
    /// Opens `bytes`, which lie at `path`, if they are of `kind`.
    pub fn open(path: &'a Path, bytes: &'a [u8], kind: Kind) -> Result<Self, CheckpointError> {
        let invalid = |reason: String| CheckpointError::Invalid { path: path.to_path_buf(), reason };
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|error| invalid(format!("not safetensors: {error}")))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        if metadata.get("format").map(String::as_str) != Some(kind.name) {
            return Err(invalid(format!("its metadata doesn't name the format {}", kind.name)));
        }
        let found = metadata.get("version").cloned().unwrap_or_else(|| "none".into());
        if found != kind.version.to_string() {
            return Err(CheckpointError::Version { path: path.to_path_buf(), expected: kind.version, found });
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| invalid(format!("damaged: {error}")))?;
        Ok(Self { path, metadata, tensors })
    }

    /// What was written as JSON.
    pub fn state<S: DeserializeOwned>(&self) -> Result<S, CheckpointError> {
        let state = self.metadata.get("state").ok_or_else(|| self.invalid("has no state in its metadata".into()))?;
        serde_json::from_str(state).map_err(|error| self.invalid(format!("its state is unreadable: {error}")))
    }

    /// Refuses a network of which some layer can't have that many inputs or outputs.
    pub fn check_widths(&self, widths: impl IntoIterator<Item = usize>) -> Result<(), CheckpointError> {
        match widths.into_iter().find(|width| !(1..=WIDTH_MAX).contains(width)) {
            Some(width) => Err(self.invalid(format!("its state describes a layer of width {width}"))),
            None => Ok(()),
        }
    }

    /// The flat vectors whose parts have these prefixes before their names.
    pub fn vectors(&self, prefixes: [&str; 3], layout: &[NamedTensor]) -> Result<[Vec<f32>; 3], CheckpointError> {
        let [first, second, third] = prefixes.map(|prefix| self.vector(prefix, layout));
        Ok([first?, second?, third?])
    }

    /// The flat vector whose parts have this prefix before their names.
    pub fn vector(&self, prefix: &str, layout: &[NamedTensor]) -> Result<Vec<f32>, CheckpointError> {
        let mut vector = Vec::new();
        for NamedTensor { name, shape, .. } in layout {
            let name = format!("{prefix}{name}");
            let mismatch = |found: String| CheckpointError::Tensor {
                path: self.path.to_path_buf(),
                tensor: name.clone(),
                expected: format!("F32 {shape:?}"),
                found,
            };
            let tensor = self.tensors.tensor(&name).map_err(|_| mismatch("missing".into()))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
                return Err(mismatch(format!("{:?} {:?}", tensor.dtype(), tensor.shape())));
            }
            let (elements, _) = tensor.data().as_chunks::<4>();
            vector.extend(elements.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        Ok(vector)
    }

    /// An error about the file.
    pub fn invalid(&self, reason: String) -> CheckpointError {
        CheckpointError::Invalid { path: self.path.to_path_buf(), reason }
    }
}

/// A name beside `path` that no other process uses.
fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}
