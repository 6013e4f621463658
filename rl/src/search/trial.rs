//! A row of a search's table.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What one trial, or one member of a population in one round, came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Number of the trial, or of the member.
    pub trial: usize,
    /// The round, from 0; 0 for random search.
    pub round: usize,
    /// The member whose policy it took over before this round.
    pub parent: Option<usize>,
    /// The settings that are searched over.
    pub settings: Map<String, Value>,
    /// Environment steps that the policy has learned from; 0 for a trial that failed.
    pub env_steps: u64,
    /// Mean return of the evaluation after it.
    pub score: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Trial {
    /// Better ones first, failed ones last, those alike by their numbers.
    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let score = |trial: &Self| trial.score.unwrap_or(f64::NEG_INFINITY);
        score(other).total_cmp(&score(self)).then(self.trial.cmp(&other.trial))
    }
}
