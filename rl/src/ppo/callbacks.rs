//! What happens after each update of a run.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::{PpoError, Progress};

/// Looks at a run after each update, and may end it. Closures from `&Progress` to [`ControlFlow`] are callbacks.
pub trait Callback {
    /// Called after each update; a break ends the run, after the other callbacks have been called.
    ///
    /// # Errors
    /// What it fails with ends the run.
    fn on_update(&mut self, progress: &Progress<'_>) -> Result<ControlFlow<()>, PpoError>;
}

impl<F: FnMut(&Progress<'_>) -> ControlFlow<()>> Callback for F {
    fn on_update(&mut self, progress: &Progress<'_>) -> Result<ControlFlow<()>, PpoError> {
        Ok(self(progress))
    }
}

/// Ends a run once the mean return of the last 100 episodes is high enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StopAtReturn(pub f64);

impl Callback for StopAtReturn {
    fn on_update(&mut self, progress: &Progress<'_>) -> Result<ControlFlow<()>, PpoError> {
        let is_reached =
            progress.episodes.is_full() && progress.episodes.mean_return().is_some_and(|mean| mean >= self.0);
        Ok(if is_reached { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

/// Writes a checkpoint every so many updates, over the last one.
#[derive(Clone, Debug)]
pub struct SaveEvery {
    /// Updates from one to the next, at least 1.
    pub updates: u64,
    /// The file.
    pub path: PathBuf,
}

impl Callback for SaveEvery {
    fn on_update(&mut self, progress: &Progress<'_>) -> Result<ControlFlow<()>, PpoError> {
        if progress.learner.updates().is_multiple_of(self.updates.max(1)) {
            progress.learner.checkpoint().save(&self.path)?;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Writes a checkpoint whenever the mean return of the last 100 episodes is the best so far, over the last one.
#[derive(Clone, Debug)]
pub struct SaveBest {
    path: PathBuf,
    best: Option<f64>,
}

impl SaveBest {
    /// Saves to `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), best: None }
    }

    /// The mean return of what was saved last.
    pub fn best(&self) -> Option<f64> {
        self.best
    }
}

impl Callback for SaveBest {
    fn on_update(&mut self, progress: &Progress<'_>) -> Result<ControlFlow<()>, PpoError> {
        let mean = progress.episodes.mean_return().filter(|_| progress.episodes.is_full());
        if let Some(mean) = mean.filter(|mean| self.best.is_none_or(|best| *mean > best)) {
            progress.learner.checkpoint().save(&self.path)?;
            self.best = Some(mean);
        }
        Ok(ControlFlow::Continue(()))
    }
}
