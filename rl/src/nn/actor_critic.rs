//! A policy and a value network with separate parameters.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{
    ActionHead, ActionsMut, Activation, Lstm, LstmState, LstmWorkspace, Mlp, PolicyOutputs, Random, Workspace,
};
use crate::env::Space;

/// Gain of the policy's last layer: near 0, so that training starts from an almost uniform policy.
const POLICY_GAIN: f32 = 0.01;
/// Gain of the value's last layer.
const VALUE_GAIN: f32 = 1.0;

/// What an [`ActorCritic`] is made from: the part of it that is written to checkpoints and sent to actors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActorCriticSpec {
    /// Width of one observation.
    pub obs_dim: usize,
    /// The distribution over actions.
    pub head: ActionHead,
    /// Widths of the hidden layers, the same for both networks.
    pub hidden: Vec<usize>,
    /// Nonlinearity of the hidden layers.
    pub activation: Activation,
    /// Log standard deviation that a Gaussian head starts from.
    pub initial_log_std: f32,
    /// Units of a memory that both networks see observations through; `None` for no memory.
    #[serde(default)]
    pub lstm_units: Option<usize>,
}

/// Separate networks for policy and value (Huang et al. 2022, core detail 13), with the action head.
///
/// With a memory, both networks see what it gives in place of the observations: see [`ActorCritic::remember`].
///
/// One flat parameter vector holds the policy network, the value network, the log standard deviations and the memory, in
/// this order.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorCritic {
    spec: ActorCriticSpec,
    policy: Mlp,
    value: Mlp,
    lstm: Option<Lstm>,
}

/// A named part of the parameters: one weight matrix, bias or the log standard deviations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTensor {
    /// Such as `policy.0.weight`, `value.2.bias`, `log_std`.
    pub name: String,
    /// Weights are `[inputs, outputs]`: the transpose of PyTorch's.
    pub shape: Vec<usize>,
    /// Where it lies in the flat parameters.
    pub range: Range<usize>,
}

impl ActorCriticSpec {
    /// The specification for an environment's spaces.
    pub fn for_spaces(observation: &Space, action: &Space, hidden: &[usize], activation: Activation) -> Self {
        Self {
            obs_dim: observation.width(),
            head: ActionHead::for_space(action),
            hidden: hidden.to_vec(),
            activation,
            initial_log_std: 0.0,
            lstm_units: None,
        }
    }
}

impl ActorCritic {
    /// The networks of `spec`.
    ///
    /// # Panics
    /// If a width is 0.
    pub fn new(spec: ActorCriticSpec) -> Self {
        let lstm = spec.lstm_units.map(|units| Lstm { inputs: spec.obs_dim, units });
        let widths = |outputs: usize| {
            let ends = (std::iter::once(spec.lstm_units.unwrap_or(spec.obs_dim)), std::iter::once(outputs));
            ends.0.chain(spec.hidden.iter().copied()).chain(ends.1).collect::<Vec<_>>()
        };
        let policy = Mlp::new(&widths(spec.head.outputs()), spec.activation);
        let value = Mlp::new(&widths(1), spec.activation);
        Self { spec, policy, value, lstm }
    }

    /// New parameters: orthogonal with gain sqrt(2), 0.01 for the last layer of the policy and 1 of the value, zero
    /// bias (Huang et al. 2022, core detail 2).
    pub fn initial_parameters(&self, random: &mut Random) -> Vec<f32> {
        let mut parameters = vec![0.0; self.parameter_count()];
        self.policy.initialize(&mut parameters[self.policy_range()], POLICY_GAIN, random);
        self.value.initialize(&mut parameters[self.value_range()], VALUE_GAIN, random);
        parameters[self.log_std_range()].fill(self.spec.initial_log_std);
        parameters[self.state_log_std_bias()].fill(self.spec.initial_log_std);
        if let Some(lstm) = &self.lstm {
            lstm.initialize(&mut parameters[self.lstm_range()], random);
        }
        parameters
    }

    /// What it was made from.
    pub fn spec(&self) -> &ActorCriticSpec {
        &self.spec
    }

    /// The distribution over actions.
    pub fn head(&self) -> &ActionHead {
        &self.spec.head
    }

    /// The policy network.
    pub fn policy(&self) -> &Mlp {
        &self.policy
    }

    /// The value network.
    pub fn value(&self) -> &Mlp {
        &self.value
    }

    /// Length of the flat parameter vector.
    pub fn parameter_count(&self) -> usize {
        self.lstm_range().end
    }

    /// The memory, if there is one.
    pub fn lstm(&self) -> Option<&Lstm> {
        self.lstm.as_ref()
    }

    /// Width of what both networks see: of observations, or of what the memory gives.
    pub fn feature_dim(&self) -> usize {
        self.policy.inputs()
    }

    /// Where the policy network's parameters lie.
    pub fn policy_range(&self) -> Range<usize> {
        0..self.policy.parameter_count()
    }

    /// Where the value network's parameters lie.
    pub fn value_range(&self) -> Range<usize> {
        let start = self.policy.parameter_count();
        start..start + self.value.parameter_count()
    }

    /// Where the log standard deviations lie.
    pub fn log_std_range(&self) -> Range<usize> {
        let start = self.value_range().end;
        start..start + self.spec.head.log_std_count()
    }

    /// Where the memory's parameters lie.
    pub fn lstm_range(&self) -> Range<usize> {
        let start = self.log_std_range().end;
        start..start + self.lstm.as_ref().map_or(0, Lstm::parameter_count)
    }

    /// What the networks see of `obs` (`[steps, rows, obs_dim]`), `[steps, rows, feature_dim]`, given what is remembered
    /// of each row in `state`, which becomes what is remembered then. Rows that `starts` (`[steps, rows]`) names begin
    /// anew.
    ///
    /// # Panics
    /// If there is no memory: then the networks see the observations.
    pub fn remember<'w>(
        &self,
        parameters: &[f32],
        seen: (&[f32], &[bool]),
        state: &mut LstmState,
        workspace: &'w mut LstmWorkspace,
    ) -> &'w [f32] {
        let lstm = self.lstm.as_ref().expect("asked of a policy with memory");
        lstm.forward(&parameters[self.lstm_range()], seen, state, workspace)
    }

    /// Where the biases of those outputs lie that are log standard deviations, if any are.
    fn state_log_std_bias(&self) -> Range<usize> {
        let end = self.policy.parameter_count();
        match &self.spec.head {
            ActionHead::Diagonal(head) => end - (self.spec.head.outputs() - head.dims)..end,
            _ => end..end,
        }
    }

    /// What the policy says of each row of `obs` (`[rows, feature_dim]`), under `mask` (`[rows, outputs]`).
    pub(crate) fn outputs<'w>(
        &self,
        parameters: &'w [f32],
        (obs, mask): (&[f32], Option<&'w [bool]>),
        workspace: &'w mut Workspace,
    ) -> PolicyOutputs<'w> {
        let values = self.policy.forward(&parameters[self.policy_range()], obs, workspace);
        PolicyOutputs { values, log_std: &parameters[self.log_std_range()], mask }
    }

    /// All parts of the parameters, in their order.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let networks = [("policy", &self.policy, 0), ("value", &self.value, self.value_range().start)];
        let mut tensors = Vec::new();
        for (network, mlp, start) in networks {
            for (i, layer) in mlp.layers().iter().enumerate() {
                let moved = |range: &Range<usize>| range.start + start..range.end + start;
                let parts = [
                    ("weight", vec![layer.inputs, layer.outputs], moved(&layer.weights)),
                    ("bias", vec![layer.outputs], moved(&layer.bias)),
                ];
                tensors.extend(parts.map(|(part, shape, range)| NamedTensor {
                    name: format!("{network}.{i}.{part}"),
                    shape,
                    range,
                }));
            }
        }
        let range = self.log_std_range();
        if !range.is_empty() {
            tensors.push(NamedTensor { name: "log_std".into(), shape: vec![range.len()], range });
        }
        let start = self.lstm_range().start;
        for (part, shape, range) in self.lstm.iter().flat_map(Lstm::tensors) {
            tensors.push(NamedTensor {
                name: format!("lstm.{part}"),
                shape,
                range: range.start + start..range.end + start,
            });
        }
        tensors
    }

    /// Samples an action for each row of `obs` (`[rows, feature_dim]`), among those that the mask (`[rows, outputs]`)
    /// allows, into `actions` (`[rows, width]`), and its log-probability into `log_probs` (`[rows]`). Actions are as
    /// they are kept: [`ActionHead::squash`] makes them those that are done.
    pub fn act(
        &self,
        parameters: &[f32],
        seen: (&[f32], Option<&[bool]>),
        (random, workspace): (&mut Random, &mut Workspace),
        actions: ActionsMut<'_>,
        log_probs: &mut [f32],
    ) {
        self.spec.head.sample(self.outputs(parameters, seen, workspace), random, actions, log_probs);
    }

    /// Writes the most probable action for each row of `obs` (`[rows, feature_dim]`), among those that the mask
    /// (`[rows, outputs]`) allows, to `actions` (`[rows, width]`), ready to be done.
    pub fn act_greedily(
        &self,
        parameters: &[f32],
        seen: (&[f32], Option<&[bool]>),
        workspace: &mut Workspace,
        mut actions: ActionsMut<'_>,
    ) {
        self.spec.head.mode(self.outputs(parameters, seen, workspace), actions.reborrow());
        self.spec.head.squash(actions);
    }

    /// Values of the states `obs` (`[rows, feature_dim]`), `[rows]`.
    pub fn values<'w>(&self, parameters: &[f32], obs: &[f32], workspace: &'w mut Workspace) -> &'w [f32] {
        self.value.forward(&parameters[self.value_range()], obs, workspace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(head: ActionHead) -> ActorCritic {
        let spec = ActorCriticSpec {
            obs_dim: 3,
            head,
            hidden: vec![8, 8],
            activation: Activation::Tanh,
            initial_log_std: -0.5,
            lstm_units: Some(5),
        };
        ActorCritic::new(spec)
    }

    #[test]
    fn tensors_cover_the_parameters_without_gap() {
        let model = model(ActionHead::Gaussian { dims: 2 });
        let tensors = model.tensors();
        let mut at = 0;
        for tensor in &tensors {
            assert_eq!(tensor.range.start, at, "{}", tensor.name);
            assert_eq!(tensor.range.len(), tensor.shape.iter().product::<usize>(), "{}", tensor.name);
            at = tensor.range.end;
        }
        assert_eq!(at, model.parameter_count());
        let names: Vec<&str> = tensors.iter().skip(12).map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["log_std", "lstm.input_weight", "lstm.hidden_weight", "lstm.bias"]);
    }

    #[test]
    fn a_new_policy_is_almost_uniform_and_its_log_std_as_told() {
        let model = model(ActionHead::Categorical { choices: vec![4] });
        let parameters = model.initial_parameters(&mut Random::new(1, 0));
        let mut workspace = Workspace::default();
        let features = [0.5, -0.2, 0.9, 0.0, 0.3];
        let logits = model.policy.forward(&parameters[model.policy_range()], &features, &mut workspace);
        assert!(logits.iter().all(|l| l.abs() < 0.1), "{logits:?}");
        let model = self::model(ActionHead::Gaussian { dims: 2 });
        let parameters = model.initial_parameters(&mut Random::new(1, 0));
        assert_eq!(&parameters[model.log_std_range()], &[-0.5, -0.5]);
    }
}
