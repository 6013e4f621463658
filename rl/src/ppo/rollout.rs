//! What passes between learner and collectors.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ObsScaling, PpoError, SeenStats, memory};
use crate::nn::{ActionHead, ActionRows, ActorCritic, LstmState};

/// The parameters of a policy at one moment. Cloning it is cheap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicySnapshot {
    /// Updates that the learner had made.
    pub version: u64,
    /// Flat parameters of the [`ActorCritic`].
    pub parameters: Arc<[f32]>,
    /// How observations are scaled for it; `None` where it takes them as they are.
    #[serde(default)]
    pub scaling: Option<Arc<ObsScaling>>,
}

/// Experience of one collector: `steps` steps of `envs` environments. All arrays are contiguous, steps first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutBatch {
    /// Steps of each environment.
    pub steps: usize,
    /// Environments.
    pub envs: usize,
    /// Version of the policy that acted.
    pub policy_version: u64,
    /// What was observed before each action, as the policy saw it: scaled where it wants that, `[steps, envs, obs_dim]`.
    pub obs: Vec<f32>,
    /// What was done, `[steps, envs, width]`.
    pub actions: ActionRows,
    /// Which choices were allowed, `[steps, envs, choices]`; empty where all always are.
    #[serde(default)]
    pub masks: Vec<bool>,
    /// Log-probability of each action when it was drawn, `[steps, envs]`.
    pub log_probs: Vec<f32>,
    /// What each action earned, `[steps, envs]`.
    pub rewards: Vec<f32>,
    /// Value of each observation, `[steps, envs]`.
    pub values: Vec<f32>,
    /// Value of what truly followed each action, `[steps, envs]`: 0 where the episode terminated, the value of the
    /// *final* observation where it was truncated (never that of the next episode), else of the next observation.
    pub next_values: Vec<f32>,
    /// Whether the task ended with the action, `[steps, envs]`.
    pub terminated: Vec<bool>,
    /// Whether a limit ended the episode with the action, `[steps, envs]`.
    pub truncated: Vec<bool>,
    /// Episodes that ended in the batch, in order of time.
    pub episodes: Vec<EpisodeEnd>,
    /// Of observations and returns as the environments gave them, where they are normalised.
    #[serde(default)]
    pub seen: SeenStats,
    /// What the policy remembered at the beginning, `[envs, units]`, zero where an episode began; `None` for a policy
    /// without memory. The learner makes all later states from it (Huang et al. 2022, LSTM detail 5).
    #[serde(default)]
    pub memory: Option<LstmState>,
}

/// What is known of a finished episode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeEnd {
    /// Sum of rewards, undiscounted.
    pub total_reward: f64,
    /// Steps.
    pub length: u32,
}

impl RolloutBatch {
    /// Number of transitions, `steps * envs`.
    pub fn rows(&self) -> usize {
        self.steps * self.envs
    }

    /// Whether an episode began with the row, but for the first step, whose memory is as it was, `[steps, envs]`.
    pub(super) fn starts(&self) -> Vec<bool> {
        let mut starts = vec![false; self.envs.min(self.rows())];
        let ended = self.terminated.iter().zip(&self.truncated).map(|(terminated, truncated)| terminated | truncated);
        starts.extend(ended.take(self.rows().saturating_sub(self.envs)));
        starts
    }

    /// Holds the arrays to the model's shapes.
    pub(super) fn check(&self, model: &ActorCritic) -> Result<(), PpoError> {
        let rows = self.rows();
        let lengths = [
            ("observations of the batch", self.obs.len(), rows * model.spec().obs_dim),
            ("actions of the batch", self.actions.len(), rows * model.head().width()),
            ("log-probabilities of the batch", self.log_probs.len(), rows),
            ("rewards of the batch", self.rewards.len(), rows),
            ("values of the batch", self.values.len(), rows),
            ("next values of the batch", self.next_values.len(), rows),
            ("termination flags of the batch", self.terminated.len(), rows),
            ("truncation flags of the batch", self.truncated.len(), rows),
        ];
        for (what, found, expected) in lengths {
            if found != expected {
                let (expected, found) = (format!("{expected} numbers"), found.to_string());
                return Err(PpoError::Mismatch { what, expected, found });
            }
        }
        self.seen.check(model.spec().obs_dim)?;
        memory::check(self.memory.as_ref(), model, self.envs)?;
        check_actions(&self.actions, model.head())?;
        self.check_masks(model.head())
    }

    /// An error unless there are masks for all rows or for none, and they allow what was done.
    fn check_masks(&self, head: &ActionHead) -> Result<(), PpoError> {
        let width = head.outputs();
        let mismatch =
            |expected: String, found: String| Err(PpoError::Mismatch { what: "masks of the batch", expected, found });
        match (head, &self.actions) {
            _ if self.masks.is_empty() => Ok(()),
            (ActionHead::Categorical { choices }, ActionRows::Discrete(actions)) => {
                if self.masks.len() != self.rows() * width {
                    return mismatch(format!("{} flags", self.rows() * width), self.masks.len().to_string());
                }
                let rows = self.masks.chunks_exact(width).zip(actions.chunks_exact(choices.len()));
                for (mask, actions) in rows {
                    let mut start = 0;
                    for (n, action) in choices.iter().zip(actions) {
                        if !mask[start + *action as usize] {
                            return mismatch("the choices done to be allowed".into(), format!("{action} forbidden"));
                        }
                        start += n;
                    }
                }
                Ok(())
            }
            _ => mismatch("none, for values".into(), self.masks.len().to_string()),
        }
    }
}

/// An error unless `actions` are of the head's kind and, if choices, within its numbers: they may come over a network.
fn check_actions(actions: &ActionRows, head: &ActionHead) -> Result<(), PpoError> {
    let mismatch =
        |expected: String, found: String| Err(PpoError::Mismatch { what: "actions of the batch", expected, found });
    match (head, actions) {
        (ActionHead::Gaussian { .. } | ActionHead::Diagonal(_), ActionRows::Continuous(_)) => Ok(()),
        (ActionHead::Categorical { choices }, ActionRows::Discrete(actions)) => {
            let mut pairs = actions.iter().zip(choices.iter().cycle());
            match pairs.find(|(action, choices)| **action as usize >= **choices) {
                Some((action, choices)) => mismatch(format!("choices below {choices}"), action.to_string()),
                None => Ok(()),
            }
        }
        (ActionHead::Gaussian { .. } | ActionHead::Diagonal(_), ActionRows::Discrete(_)) => {
            mismatch("values".into(), "choices".into())
        }
        (ActionHead::Categorical { .. }, ActionRows::Continuous(_)) => mismatch("choices".into(), "values".into()),
    }
}
