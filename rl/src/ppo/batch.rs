//! Experience laid out to learn from.

use super::RolloutBatch;
use super::gae::advantages_of;
use super::vtrace::Vtrace;
use crate::nn::math::exp;
use crate::nn::{ActionRows, ActorCritic, Evaluation, LstmState, LstmWorkspace, Workspace, gather};

/// Rows that the policy network takes at a time where lag is corrected: few enough to stay in the cache.
const CORRECTED_ROWS: usize = 256;

/// Rows of experience, and minibatches of them; memory is reused from one to the next.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    obs_dim: usize,
    action_width: usize,
    choices: usize,
    /// `[rows, obs_dim]`.
    pub obs: Vec<f32>,
    /// `[rows, width]`.
    pub actions: ActionRows,
    /// Which choices were allowed, `[rows, choices]`; empty where all were.
    pub masks: Vec<bool>,
    /// Log-probabilities under the policy that acted, `[rows]`.
    pub log_probs: Vec<f32>,
    /// Values under the parameters that acted, `[rows]`.
    pub values: Vec<f32>,
    /// `[rows]`.
    pub advantages: Vec<f32>,
    /// Advantage plus value: the target of the value network, `[rows]`.
    pub returns: Vec<f32>,
    /// Where an episode began, `[rows]`, and the rollouts' environments as sequences; empty for a policy without memory.
    pub starts: Vec<bool>,
    sequences: Vec<Sequence>,
    /// What was remembered at the beginning of each sequence, `[sequences, units]`.
    pub memory: LstmState,
    /// Scaled rewards of the rollout that is laid out.
    rewards: Vec<f32>,
}

/// The rows of one environment: `first`, and then each `stride` further.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    first: u32,
    stride: u32,
}

/// How experience is laid out.
pub(super) struct Assembly<'a> {
    pub model: &'a ActorCritic,
    pub parameters: &'a [f32],
    /// Updates made: experience of this version is of the present policy.
    pub version: u64,
    /// Whether experience of older versions is corrected by V-trace.
    pub corrects_lag: bool,
    pub vtrace: Vtrace,
    /// What rewards are multiplied by, and held within.
    pub reward_scaling: Option<[f32; 2]>,
}

impl Batch {
    /// An empty batch for `model`.
    pub fn new(model: &ActorCritic) -> Self {
        Self {
            obs_dim: model.spec().obs_dim,
            action_width: model.head().width(),
            choices: model.head().outputs(),
            obs: Vec::new(),
            actions: model.head().actions(0),
            masks: Vec::new(),
            log_probs: Vec::new(),
            values: Vec::new(),
            advantages: Vec::new(),
            returns: Vec::new(),
            starts: Vec::new(),
            sequences: Vec::new(),
            memory: LstmState::default(),
            rewards: Vec::new(),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.log_probs.len()
    }

    /// Becomes all rows of `rollouts`, which fit the model, one collector's after the other's, with their advantages.
    pub fn assemble(&mut self, rollouts: &[RolloutBatch], how: &Assembly<'_>) {
        self.clear();
        let is_masked = rollouts.iter().any(|rollout| !rollout.masks.is_empty());
        for rollout in rollouts {
            let start = self.rows();
            self.obs.extend_from_slice(&rollout.obs);
            assert!(self.actions.append(&rollout.actions), "`check` compared the kinds");
            self.masks.extend_from_slice(&rollout.masks);
            self.log_probs.extend_from_slice(&rollout.log_probs);
            if is_masked {
                // One collector's environments may have masks where another's have none.
                self.masks.resize(self.rows() * self.choices, true);
            }
            self.values.extend_from_slice(&rollout.values);
            self.lay_out_sequences(rollout, start);
            self.advantages.resize(self.rows(), 0.0);
            self.returns.resize(self.rows(), 0.0);
            self.estimate(rollout, start, how);
        }
    }

    /// Notes which rows of `rollout`, whose first is `start`, follow each other, for a policy with memory.
    fn lay_out_sequences(&mut self, rollout: &RolloutBatch, start: usize) {
        let Some(memory) = &rollout.memory else { return };
        self.starts.extend(rollout.starts());
        self.memory.extend(memory);
        let sequence = |env: usize| Sequence { first: (start + env) as u32, stride: rollout.envs as u32 };
        self.sequences.extend((0..rollout.envs).map(sequence));
    }

    /// What is shuffled and drawn: sequences for a policy with memory, else rows.
    pub fn unit_count(&self) -> usize {
        if self.sequences.is_empty() { self.rows() } else { self.sequences.len() }
    }

    /// Becomes the sequences of `from` that `indices` name, or its rows where it has no sequences. Sequences lie side by
    /// side, steps first (Huang et al. 2022, LSTM detail 4).
    pub fn gather_units(&mut self, from: &Batch, indices: &[u32], rows: &mut Vec<u32>) {
        if from.sequences.is_empty() {
            return self.gather(from, indices);
        }
        let (steps, units) = (from.rows() / from.sequences.len(), from.memory.hidden.len() / from.sequences.len());
        rows.clear();
        for step in 0..steps as u32 {
            let at = |index: &u32| from.sequences[*index as usize];
            rows.extend(indices.iter().map(at).map(|sequence| sequence.first + step * sequence.stride));
        }
        self.gather(from, rows);
        gather(&mut self.starts, &from.starts, rows, 1);
        gather(&mut self.memory.hidden, &from.memory.hidden, indices, units);
        gather(&mut self.memory.cell, &from.memory.cell, indices, units);
    }

    /// Advantages and returns of `rollout`, whose rows are those from `start` on.
    fn estimate(&mut self, rollout: &RolloutBatch, start: usize, how: &Assembly<'_>) {
        let rewards = match how.reward_scaling {
            None => rollout.rewards.as_slice(),
            Some([scale, clip]) => {
                self.rewards.clear();
                self.rewards.extend(rollout.rewards.iter().map(|r| (r * scale).clamp(-clip, clip)));
                &self.rewards
            }
        };
        let (advantages, returns) = (&mut self.advantages[start..], &mut self.returns[start..]);
        if rollout.policy_version == how.version || !how.corrects_lag {
            advantages_of(rollout, rewards, [how.vtrace.gamma, how.vtrace.lambda], advantages);
            returns.iter_mut().zip(advantages.iter().zip(&rollout.values)).for_each(|(r, (a, v))| *r = a + v);
        } else {
            // From here on the present policy counts as the old one: ratios of the surrogate are to it.
            let log_probs = &mut self.log_probs[start..];
            let ratios = present_log_probs(rollout, how, log_probs);
            how.vtrace.estimate(rollout, (rewards, &ratios), (advantages, returns));
        }
    }

    /// Becomes the rows of `from` that `indices` name.
    pub fn gather(&mut self, from: &Batch, indices: &[u32]) {
        self.clear();
        gather(&mut self.obs, &from.obs, indices, self.obs_dim);
        self.actions.extend_gathered(&from.actions, indices, self.action_width);
        if !from.masks.is_empty() {
            gather(&mut self.masks, &from.masks, indices, self.choices);
        }
        gather(&mut self.log_probs, &from.log_probs, indices, 1);
        gather(&mut self.values, &from.values, indices, 1);
        gather(&mut self.advantages, &from.advantages, indices, 1);
        gather(&mut self.returns, &from.returns, indices, 1);
    }

    /// Shifts and scales the advantages to mean 0 and standard deviation 1 (Huang et al. 2022, core detail 7).
    pub fn normalize_advantages(&mut self) {
        let count = self.rows() as f32;
        let mean = self.advantages.iter().sum::<f32>() / count;
        let squares: f32 = self.advantages.iter().map(|a| (a - mean) * (a - mean)).sum();
        let std = (squares / (count - 1.0).max(1.0)).sqrt();
        let scale = 1.0 / (std + 1e-8);
        self.advantages.iter_mut().for_each(|a| *a = (*a - mean) * scale);
    }

    /// Which choices were allowed, where not all always were.
    pub fn mask(&self) -> Option<&[bool]> {
        (!self.masks.is_empty()).then_some(self.masks.as_slice())
    }

    fn clear(&mut self) {
        self.actions.clear();
        self.masks.clear();
        self.starts.clear();
        self.sequences.clear();
        self.memory.hidden.clear();
        self.memory.cell.clear();
        for column in [&mut self.obs, &mut self.log_probs, &mut self.values, &mut self.advantages, &mut self.returns] {
            column.clear();
        }
    }
}

/// Replaces `log_probs` of the policy that acted by those of the present one; returns their ratios. All `[rows]`.
fn present_log_probs(rollout: &RolloutBatch, how: &Assembly<'_>, log_probs: &mut [f32]) -> Vec<f32> {
    let (model, mut workspace, mut evaluation) = (how.model, Workspace::default(), Evaluation::default());
    let mut ratios = Vec::with_capacity(rollout.rows());
    let [dim, width, choices] = [model.feature_dim(), model.head().width(), model.head().outputs()];
    let mut remembered = LstmWorkspace::default();
    let features = match &rollout.memory {
        Some(memory) => {
            let seen = (rollout.obs.as_slice(), rollout.starts());
            model.remember(how.parameters, (seen.0, &seen.1), &mut memory.clone(), &mut remembered)
        }
        None => &rollout.obs,
    };
    for start in (0..rollout.rows()).step_by(CORRECTED_ROWS) {
        let rows = start..(start + CORRECTED_ROWS).min(rollout.rows());
        let part = |width: usize| rows.start * width..rows.end * width;
        let mask = (!rollout.masks.is_empty()).then(|| &rollout.masks[part(choices)]);
        let outputs = model.outputs(how.parameters, (&features[part(dim)], mask), &mut workspace);
        model.head().evaluate(outputs, rollout.actions.slice(part(width)), &mut evaluation);
        for (present, acting) in evaluation.log_probs.iter().zip(&mut log_probs[rows]) {
            ratios.push(exp(present - *acting));
            *acting = *present;
        }
    }
    ratios
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{ActionHead, Activation, ActorCriticSpec};

    fn batch(advantages: &[f32]) -> Batch {
        let spec = ActorCriticSpec {
            obs_dim: 2,
            head: ActionHead::Gaussian { dims: 2 },
            hidden: vec![],
            activation: Activation::Tanh,
            initial_log_std: 0.0,
            lstm_units: None,
        };
        let mut batch = Batch::new(&ActorCritic::new(spec));
        let count = advantages.len();
        batch.advantages.extend_from_slice(advantages);
        batch.obs.extend((0..2 * count).map(|i| i as f32));
        batch.actions = ActionRows::Continuous((0..2 * count).map(|i| -(i as f32)).collect());
        for column in [&mut batch.log_probs, &mut batch.values, &mut batch.returns] {
            column.extend((0..count).map(|i| 10.0 * i as f32));
        }
        batch
    }

    #[test]
    fn advantages_are_shifted_and_scaled_to_mean_0_and_deviation_1() {
        let mut batch = batch(&[3.0, 5.0, 7.0, 9.0]);
        batch.normalize_advantages();
        let deviation = (20.0f32 / 3.0).sqrt();
        for (found, want) in batch.advantages.iter().zip([-3.0, -1.0, 1.0, 3.0]) {
            assert!((found - want / deviation).abs() < 1e-6, "{:?}", batch.advantages);
        }
    }

    #[test]
    fn equal_or_single_advantages_become_zero() {
        for advantages in [&[2.0, 2.0][..], &[4.0]] {
            let mut batch = batch(advantages);
            batch.normalize_advantages();
            assert!(batch.advantages.iter().all(|a| *a == 0.0), "{:?}", batch.advantages);
        }
    }

    #[test]
    fn gathering_takes_whole_rows_in_the_order_asked_for() {
        let (from, mut to) = (batch(&[1.0, 2.0, 3.0]), batch(&[0.0]));
        to.gather(&from, &[2, 0]);
        assert_eq!(to.obs, [4.0, 5.0, 0.0, 1.0]);
        assert_eq!(to.actions, ActionRows::Continuous(vec![-4.0, -5.0, 0.0, -1.0]));
        assert_eq!((to.advantages, to.returns), (vec![3.0, 1.0], vec![20.0, 0.0]));
        assert_eq!((to.log_probs, to.values), (vec![20.0, 0.0], vec![20.0, 0.0]));
    }
}
