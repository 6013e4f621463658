//! What can be wrong with a search.

use crate::env::EnvError;
use crate::ppo::PpoError;
use crate::settings::SettingsError;

/// A search can't begin. What goes wrong later is in the rows of its trials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A setting of the space that doesn't exist, or whose domain makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The settings that all trials share can't work.
    #[error(transparent)]
    Ppo(#[from] PpoError),
    /// There is no such environment.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The search itself makes no sense.
    #[error("{field} is {value}, but {why}")]
    Plan {
        /// The field of [`SearchPlan`](super::SearchPlan).
        field: &'static str,
        /// What it is set to.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}
