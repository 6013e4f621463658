//! Forward, loss and backward on one minibatch, for each of the two networks.

use super::batch::Batch;
use super::loss::{Surrogate, clipped_surrogate, value_loss};
use crate::nn::{ActorCritic, Evaluation, PolicyOutputs, Workspace};

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

impl PolicyPass {
    /// Writes the gradient by the policy's parameters and by the log standard deviations; returns the surrogate and the
    /// mean entropy.
    pub fn differentiate(
        &mut self,
        model: &ActorCritic,
        parameters: &[f32],
        batch: &Batch,
        (clip, entropy_coef): (f32, f32),
        (gradient, log_std_gradient): (&mut [f32], &mut [f32]),
    ) -> (Surrogate, f32) {
        let Self { workspace, evaluation, log_prob_gradient } = self;
        let (network, log_std) = (&parameters[model.policy_range()], &parameters[model.log_std_range()]);
        model.policy().forward(network, &batch.obs, workspace);
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
        model.policy().backward(network, &batch.obs, workspace, gradient);
        (surrogate, evaluation.entropies.iter().sum::<f32>() * share)
    }
}

impl ValuePass {
    /// Writes the gradient by the value network's parameters; returns the loss, unweighted.
    pub fn differentiate(
        &mut self,
        model: &ActorCritic,
        parameters: &[f32],
        batch: &Batch,
        (clip, weight): (Option<f32>, f32),
        gradient: &mut [f32],
    ) -> f32 {
        let network = &parameters[model.value_range()];
        model.value().forward(network, &batch.obs, &mut self.workspace);
        let (values, value_gradient) = self.workspace.output_gradient();
        let loss = value_loss(values, (&batch.returns, &batch.values), clip, weight, value_gradient);
        model.value().backward(network, &batch.obs, &mut self.workspace, gradient);
        loss
    }
}
