//! What can go wrong with MuJoCo.

use std::path::PathBuf;

use super::layout::{LAYOUTS, version_name};

/// MuJoCo, or a model of it, is not where it was looked for, or not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MujocoError {
    /// There is no library.
    #[error(
        "no MuJoCo library was found: run `pip install mujoco gymnasium` in the Python environment that is active, or let \
         MUJOCO_PATH name libmujoco.so or its folder (looked in: {})",
        list(searched)
    )]
    NoLibrary {
        /// The folders.
        searched: Vec<PathBuf>,
    },
    /// The library can't be loaded, or lacks a function.
    #[error("{} can't be loaded as MuJoCo", path.display())]
    Load {
        /// The library.
        path: PathBuf,
        /// Why.
        source: libloading::Error,
    },
    /// The library is too old.
    #[error("{} is MuJoCo {version}; 3.1.0 or later is needed", path.display())]
    TooOld {
        /// The library.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// There is no model of this name.
    #[error(
        "no {name} was found: run `pip install gymnasium` in the Python environment that is active, or let \
         GYMNASIUM_MODELS name the folder of its models, `gymnasium/envs/mujoco/assets` (looked in: {})",
        list(searched)
    )]
    NoModel {
        /// The file.
        name: &'static str,
        /// The folders.
        searched: Vec<PathBuf>,
    },
    /// The model can't be used.
    #[error("the model {} can't be used: {message}", path.display())]
    Model {
        /// The model.
        path: PathBuf,
        /// MuJoCo's words, or what differs from the model that the task is for.
        message: String,
    },
    /// Ant and Humanoid observe forces that no function gives.
    #[error(
        "where MuJoCo {version} keeps the forces that this task observes isn't known; it is for {}",
        LAYOUTS.iter().map(|layout| version_name(layout.version)).collect::<Vec<_>>().join(", ")
    )]
    Layout {
        /// Version of the library.
        version: String,
    },
    /// The system has no memory for a simulation.
    #[error("no memory for a simulation")]
    NoMemory,
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
