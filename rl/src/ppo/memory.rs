//! What a policy with memory remembers while it steps environments.

use super::PpoError;
use crate::nn::{ActorCritic, LstmState, LstmWorkspace};

/// The memory of a policy in a batch of environments. It is zero when an episode begins (Huang et al. 2022, LSTM details 2
/// and 3).
#[derive(Debug)]
pub(super) struct Memory {
    units: usize,
    state: LstmState,
    /// Episodes that ended with the last step, `[envs]`.
    ended: Vec<bool>,
    workspace: LstmWorkspace,
    /// What it gave since `begin`, `[steps, envs, units]`.
    features: Vec<f32>,
    /// What it would give for final observations, `[_, units]`.
    final_features: Vec<f32>,
}

impl Memory {
    /// That of `model` in `envs` environments which are just reset; `None` where it has none.
    pub fn new(model: &ActorCritic, envs: usize) -> Option<Self> {
        let units = model.lstm()?.units;
        Some(Self {
            units,
            state: LstmState::zeros(envs, units),
            ended: vec![false; envs],
            workspace: LstmWorkspace::default(),
            features: Vec::new(),
            final_features: Vec::new(),
        })
    }

    /// Forgets what it gave, not what it remembers; returns that.
    pub fn begin(&mut self) -> LstmState {
        self.features.clear();
        self.final_features.clear();
        self.state.reset(&self.ended);
        self.ended.fill(false);
        self.state.clone()
    }

    /// Takes in the observations to act on, `[envs, obs_dim]`, and gives what the networks see, `[envs, units]`.
    pub fn step(&mut self, model: &ActorCritic, parameters: &[f32], obs: &[f32]) -> &[f32] {
        let seen = (obs, self.ended.as_slice());
        let features = model.remember(parameters, seen, &mut self.state, &mut self.workspace);
        let start = self.features.len();
        self.features.extend_from_slice(features);
        &self.features[start..]
    }

    /// Notes the episodes that ended with the step, `[envs]` both.
    pub fn note_ends(&mut self, terminated: &[bool], truncated: &[bool]) {
        let flags = terminated.iter().zip(truncated).map(|(terminated, truncated)| terminated | truncated);
        self.ended.iter_mut().zip(flags).for_each(|(ended, flag)| *ended = flag);
    }

    /// Looks at the final observation of environment `env`, and remembers nothing of it.
    pub fn see_final(&mut self, model: &ActorCritic, parameters: &[f32], env: usize, obs: &[f32]) {
        let mut state = self.state.row(env, self.units);
        let features = model.remember(parameters, (obs, &[false]), &mut state, &mut self.workspace);
        self.final_features.extend_from_slice(features);
    }

    /// What it gave since `begin`, would give for `obs` (`[envs, obs_dim]`) next, and for the final observations, in this
    /// order.
    pub fn all_features(&mut self, model: &ActorCritic, parameters: &[f32], obs: &[f32]) -> &[f32] {
        let mut state = self.state.clone();
        let features = model.remember(parameters, (obs, &self.ended), &mut state, &mut self.workspace);
        self.features.extend_from_slice(features);
        self.features.append(&mut self.final_features);
        &self.features
    }
}

/// An error unless `memory` is what `model` needs at the beginning of a rollout of `envs` environments.
pub(super) fn check(memory: Option<&LstmState>, model: &ActorCritic, envs: usize) -> Result<(), PpoError> {
    let expected = model.lstm().map(|lstm| [lstm.units * envs; 2]);
    let found = memory.map(|memory| [memory.hidden.len(), memory.cell.len()]);
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (format!("{expected:?} numbers"), format!("{found:?}"));
    Err(PpoError::Mismatch { what: "memories of the batch", expected, found })
}
