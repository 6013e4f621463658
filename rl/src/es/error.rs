//! What can go wrong in a run.

use crate::env::EnvError;
use crate::state_file::CheckpointError;

/// A setting, an evaluator, a checkpoint or the run itself is not sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EsError {
    /// A setting that can't work.
    #[error("{field} is {value}, but {why}: {remedy}")]
    Config {
        /// The field of [`EsConfig`](super::EsConfig).
        field: &'static str,
        /// What it is set to.
        value: String,
        /// Why that can't work.
        why: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A policy, noise, samples or environments that don't fit the network.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// What doesn't fit.
        what: &'static str,
        /// What is needed.
        expected: String,
        /// What there is.
        found: String,
    },
    /// A return, an observation or a parameter stopped being a finite number. The learner is as before the round.
    #[error(
        "{what} is {value} in round {round}: lower the learning rate, or look for observations and rewards that are not \
         finite or very large"
    )]
    NotFinite {
        /// Which quantity.
        what: &'static str,
        /// Its value: NaN or infinite.
        value: f32,
        /// Rounds completed before, counted from the start of the run.
        round: u64,
    },
    /// No call of a round came in: all failed, or were late. The source is the first failure, if any failed.
    #[error("round {round} has no samples: of {calls} calls, {failed} failed and {late} were late")]
    NoSamples {
        /// Rounds completed before.
        round: u64,
        /// Calls made.
        calls: usize,
        /// Calls that failed.
        failed: usize,
        /// Calls that were cut off.
        late: usize,
        /// The first failure.
        source: Option<rayline::Error>,
    },
    /// The work is no longer wanted: the round goes on without it.
    #[error("cancelled: the round goes on without it")]
    Cancelled,
    /// An environment failed, or there is none of that name.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The engine failed; the source says how.
    #[error(transparent)]
    Engine(#[from] rayline::Error),
    /// A checkpoint can't be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}
