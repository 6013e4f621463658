//! Forward, loss and backward on one minibatch, for each of the two networks.

use super::batch::Batch;
use super::loss::{Surrogate, clipped_surrogate, value_loss};
use crate::nn::{ActorCritic, Evaluation, LstmState, LstmWorkspace, PolicyOutputs, Workspace};

/// What the networks of a policy with memory see, and the way back; keeps the memory for it.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryPass {
    workspace: LstmWorkspace,
    state: LstmState,
    features: Vec<f32>,
    feature_gradient: Vec<f32>,
}

/// The policy's part of the loss and gradient; keeps the memory for it.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicyPass {
    workspace: Workspace,
    evaluation: Evaluation,
    log_prob_gradient: Vec<f32>,
}

/// The value's part of the loss and gradient; keeps the memory for it.
#[derive(Clone, Debug, Default)]
pub(super) struct ValuePass {
    workspace: Workspace,
}

impl MemoryPass {
    /// What the networks see of the minibatch: what the memory gives, or the observations where there is none.
    pub fn features<'a>(&'a mut self, model: &ActorCritic, parameters: &[f32], batch: &'a Batch) -> &'a [f32] {
        if model.lstm().is_none() {
            return &batch.obs;
        }
        let Self { workspace, state, features, .. } = self;
        state.clone_from(&batch.memory);
        let seen = model.remember(parameters, (&batch.obs, &batch.starts), state, workspace);
        features.clear();
        features.extend_from_slice(seen);
        features
    }

    /// Writes the gradient by the memory's parameters, from those by what the two networks saw.
    pub fn differentiate(
        &mut self,
        model: &ActorCritic,
        parameters: &[f32],
        batch: &Batch,
        networks: (&mut PolicyPass, &mut ValuePass),
        gradient: &mut [f32],
    ) {
        let Some(lstm) = model.lstm() else { return };
        let by_policy = model.policy().input_gradient(&parameters[model.policy_range()], &mut networks.0.workspace);
        let by_value = model.value().input_gradient(&parameters[model.value_range()], &mut networks.1.workspace);
        self.feature_gradient.clear();
        self.feature_gradient.extend(by_policy.iter().zip(by_value).map(|(a, b)| a + b));
        let (network, seen) = (&parameters[model.lstm_range()], (batch.obs.as_slice(), batch.starts.as_slice()));
        lstm.backward(network, seen, &self.feature_gradient, &mut self.workspace, gradient);
    }
}

impl PolicyPass {
    /// Writes the gradient by the policy's parameters and by the log standard deviations; returns the surrogate and the
    /// mean entropy.
    pub fn differentiate(
        &mut self,
        model: &ActorCritic,
        parameters: &[f32],
        (batch, features): (&Batch, &[f32]),
        (clip, entropy_coef): (f32, f32),
        (gradient, log_std_gradient): (&mut [f32], &mut [f32]),
    ) -> (Surrogate, f32) {
        let Self { workspace, evaluation, log_prob_gradient } = self;
        let (network, log_std) = (&parameters[model.policy_range()], &parameters[model.log_std_range()]);
        model.policy().forward(network, features, workspace);
        let (outputs, output_gradient) = workspace.output_gradient();
        let actions = batch.actions.as_actions();
        let outputs = PolicyOutputs { values: outputs, log_std, mask: batch.mask() };
        model.head().evaluate(outputs, actions, evaluation);
        log_prob_gradient.resize(batch.rows(), 0.0);
        let (old_log_probs, advantages) = (&batch.log_probs, &batch.advantages);
        let surrogate = clipped_surrogate(&evaluation.log_probs, old_log_probs, advantages, clip, log_prob_gradient);
        let share = 1.0 / batch.rows() as f32;
        let weights = (log_prob_gradient.as_slice(), -entropy_coef * share);
        model.head().backward(evaluation, actions, log_std, weights, (output_gradient, log_std_gradient));
        model.policy().backward(network, features, workspace, gradient);
        (surrogate, evaluation.entropies.iter().sum::<f32>() * share)
    }
}

impl ValuePass {
    /// Writes the gradient by the value network's parameters; returns the loss, unweighted.
    pub fn differentiate(
        &mut self,
        model: &ActorCritic,
        parameters: &[f32],
        (batch, features): (&Batch, &[f32]),
        (clip, weight): (Option<f32>, f32),
        gradient: &mut [f32],
    ) -> f32 {
        let network = &parameters[model.value_range()];
        model.value().forward(network, features, &mut self.workspace);
        let (values, value_gradient) = self.workspace.output_gradient();
        let loss = value_loss(values, (&batch.returns, &batch.values), clip, weight, value_gradient);
        model.value().backward(network, features, &mut self.workspace, gradient);
        loss
    }
}
