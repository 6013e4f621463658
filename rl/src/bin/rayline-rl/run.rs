//! A run of one algorithm or the other, as the command drives it.

use std::error::Error;
use std::path::Path;

use rayline_rl::ppo::{EpisodeEnd, EpisodeWindow};
use rayline_rl::record::Scalars;
use rayline_rl::settings::RunConfig;
use serde::{Deserialize, Serialize};

/// What one update told.
pub struct Told {
    pub scalars: Scalars,
    /// The return that is shown, once one is known.
    pub mean_return: Option<f64>,
    /// Whether that return counts for the target.
    pub is_judged: bool,
    /// Where an evaluation was due.
    pub evaluation: Option<Vec<EpisodeEnd>>,
    /// What else is shown.
    pub details: String,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub env_steps: u64,
    pub total_steps: u64,
    pub updates: u64,
}

/// What goes with a checkpoint, so that a run goes on as if it had never stopped.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Notes {
    pub run: RunConfig,
    /// The last episodes, of PPO.
    pub episodes: Option<EpisodeWindow>,
    /// The mean of the best evaluation.
    pub best: Option<f64>,
    /// The return that was shown last.
    pub mean_return: Option<f64>,
}

/// One of the algorithms in training.
pub trait Run {
    /// The name of the algorithm, which is that of its table in settings.
    fn name(&self) -> &'static str;

    /// How far it is.
    fn position(&self) -> Position;

    /// The seed of its settings.
    fn seed(&self) -> u64;

    /// All settings as a file.
    fn settings(&self) -> String;

    /// One update, and an evaluation after it where one is due.
    fn step(&mut self) -> Result<Told, Box<dyn Error>>;

    /// Writes a checkpoint.
    fn save(&self, path: &Path, notes: &Notes) -> Result<(), Box<dyn Error>>;

    /// Goes on from the checkpoint that was just written, exactly as a run that is resumed from it.
    fn pass_checkpoint(&mut self);

    /// Writes what the last step failed on to the folder `path`, if it failed on what can be looked at.
    fn save_failure(&self, path: &Path) -> Result<bool, Box<dyn Error>>;

    /// What is kept with checkpoints besides what the command itself knows.
    fn episodes(&self) -> Option<EpisodeWindow>;
}
