//! What a run keeps, and under which names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where a run keeps its record, settings and checkpoints.
#[derive(Clone, Debug)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// A new folder at `path`.
    ///
    /// # Errors
    /// If there is something at `path` already, or the system refuses.
    pub fn create(path: &Path) -> io::Result<Self> {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::create_dir(path)?;
        Ok(Self(path.to_path_buf()))
    }

    /// A new folder `runs/ENV-ALGORITHM-N`, with the first number that is free.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn create_numbered(env: &str, algorithm: &str) -> io::Result<Self> {
        let is_plain = |letter: char| letter.is_alphanumeric() || letter == '-';
        let env: String = env.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
        let mut number = 1;
        loop {
            match Self::create(Path::new(&format!("runs/{env}-{algorithm}-{number}"))) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                other => return other,
            }
        }
    }

    /// The folder of a run that was.
    pub fn open(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// All that is needed to go on.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint.safetensors")
    }

    /// The checkpoint of the best evaluation.
    pub fn best(&self) -> PathBuf {
        self.0.join("best.safetensors")
    }

    /// All settings, such that `--config` gives the same run.
    pub fn settings(&self) -> PathBuf {
        self.0.join("settings.toml")
    }

    /// What an update failed on, as `FailedUpdate::load` reads it.
    pub fn failed(&self) -> PathBuf {
        self.0.join("failed")
    }

    /// How it went.
    pub fn summary(&self) -> PathBuf {
        self.0.join("summary.json")
    }
}

/// The checkpoint that `path` means: itself, or the best of a run's folder, or else its last.
pub fn checkpoint_at(path: &Path) -> PathBuf {
    if !path.is_dir() {
        return path.to_path_buf();
    }
    let folder = RunFolder::open(path);
    if folder.best().exists() { folder.best() } else { folder.checkpoint() }
}
