//! The policy network, run with other parameters for each row.

use rayline::Tensor;
use serde::{Deserialize, Serialize};

use super::EsError;
use crate::env::{Space, VecEnv};
use crate::misfit::misfit;
use crate::nn::math::{tanh, vectorized};
use crate::nn::{ActionHead, Activation, Layer, Mlp, NamedTensor, Random};

/// Gain of the last layer: near 0, so that the first policy prefers nothing.
const OUTPUT_GAIN: f32 = 0.01;

/// What a [`PolicyNet`] is made from: the part of it that is written to checkpoints and sent to evaluators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicySpec {
    /// Width of one observation.
    pub obs_dim: usize,
    /// What the outputs mean. Actions are the most probable ones: the greatest logit, the mean.
    pub head: ActionHead,
    /// Widths of the hidden layers; none for a linear policy.
    pub hidden: Vec<usize>,
    /// Nonlinearity of the hidden layers.
    pub activation: Activation,
}

/// A policy at one moment, as evaluators get it. Cloning it shares the parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EsPolicy {
    /// Updates made before it.
    pub round: u64,
    /// Flat parameters of the [`PolicyNet`], `[parameters]`.
    pub parameters: Tensor<f32>,
    /// Mean and inverse deviation of each number of an observation, `[2, obs_dim]`; empty where observations are taken
    /// as they are.
    pub obs_scaling: Vec<f32>,
}

/// The layout of a policy's network over a flat parameter vector.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyNet {
    spec: PolicySpec,
    mlp: Mlp,
}

impl PolicySpec {
    /// The specification for an environment's spaces.
    pub fn for_spaces(observation: &Space, action: &Space, hidden: &[usize], activation: Activation) -> Self {
        let (obs_dim, head) = (observation.width(), ActionHead::for_space(action));
        Self { obs_dim, head, hidden: hidden.to_vec(), activation }
    }

    /// An error unless environments have the spaces that this is for.
    ///
    /// # Errors
    /// [`EsError::Mismatch`].
    pub(super) fn check(&self, envs: &dyn VecEnv) -> Result<(), EsError> {
        match misfit(self.obs_dim, &self.head, envs.observation_space(), envs.action_space()) {
            Some((what, expected, found)) => Err(EsError::Mismatch { what, expected, found }),
            None => Ok(()),
        }
    }
}

impl PolicyNet {
    /// The network of `spec`.
    ///
    /// # Panics
    /// If a width is 0.
    pub fn new(spec: PolicySpec) -> Self {
        let hidden = spec.hidden.iter().copied();
        let widths: Vec<usize> =
            std::iter::once(spec.obs_dim).chain(hidden).chain(std::iter::once(spec.head.outputs())).collect();
        let mlp = Mlp::new(&widths, spec.activation);
        Self { spec, mlp }
    }

    /// New parameters: orthogonal, the last layer near 0, zero bias.
    pub fn initial_parameters(&self, random: &mut Random) -> Vec<f32> {
        let mut parameters = vec![0.0; self.parameter_count()];
        self.mlp.initialize(&mut parameters, OUTPUT_GAIN, random);
        parameters
    }

    /// What it was made from.
    pub fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    /// Length of the flat parameter vector.
    pub fn parameter_count(&self) -> usize {
        self.mlp.parameter_count()
    }

    /// All parts of the parameters, in their order.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let layers = self.mlp.layers().iter().enumerate();
        let parts = layers.flat_map(|(i, Layer { inputs, outputs, weights, bias })| {
            [
                NamedTensor {
                    name: format!("policy.{i}.weight"),
                    shape: vec![*inputs, *outputs],
                    range: weights.clone(),
                },
                NamedTensor { name: format!("policy.{i}.bias"), shape: vec![*outputs], range: bias.clone() },
            ]
        });
        parts.collect()
    }

    /// Runs the network on those rows of `obs` (`[rows, obs_dim]`) that are `active` (`[rows]`), and writes their
    /// `outputs` (`[rows, outputs]`). Row `i` has the parameters from `i * stride` of `parameters` on: a stride of 0
    /// means the same for all. A row's outputs don't depend on the other rows, to the bit.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn forward_rows(
        &self,
        (parameters, stride): (&[f32], usize),
        (obs, active): (&[f32], &[bool]),
        scratch: &mut [Vec<f32>; 2],
        outputs: &mut [f32],
    ) {
        let layers = self.mlp.layers();
        let widest = layers.iter().map(|layer| layer.outputs).max().unwrap_or(0);
        scratch.iter_mut().for_each(|buffer| buffer.resize(widest, 0.0));
        let rows = obs.chunks_exact(self.spec.obs_dim).zip(outputs.chunks_exact_mut(self.spec.head.outputs()));
        let (hidden, last) = layers.split_at(layers.len() - 1);
        let activation = self.spec.activation;
        vectorized(move || {
            let [x, y] = scratch;
            for (row, (obs, outputs)) in rows.enumerate().filter(|(row, _)| active[*row]) {
                let parameters = &parameters[row * stride..];
                let mut input = obs;
                for layer in hidden {
                    dense(layer, parameters, input, &mut y[..layer.outputs]);
                    activate(activation, &mut y[..layer.outputs]);
                    std::mem::swap(x, y);
                    input = &x[..layer.outputs];
                }
                dense(&last[0], parameters, input, outputs);
            }
        });
    }
}

/// `y = x w + b` for one row; the inner loop runs over outputs, which lie side by side.
#[inline(always)]
fn dense(layer: &Layer, parameters: &[f32], x: &[f32], y: &mut [f32]) {
    y.copy_from_slice(&parameters[layer.bias.clone()]);
    let weights = &parameters[layer.weights.clone()];
    for (x, weights) in x.iter().zip(weights.chunks_exact(layer.outputs)) {
        y.iter_mut().zip(weights).for_each(|(y, w)| *y += x * w);
    }
}

#[inline(always)]
fn activate(activation: Activation, sums: &mut [f32]) {
    match activation {
        Activation::Tanh => sums.iter_mut().for_each(|x| *x = tanh(*x)),
        // Written so that NaN passes: `f32::max` would hide it as 0.
        Activation::Relu => sums.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Workspace;

    fn normals(count: usize, stream: u64) -> Vec<f32> {
        let mut out = vec![0.0; count];
        Random::new(11, stream).fill_normal(&mut out);
        out
    }

    #[test]
    fn each_row_is_run_with_its_own_parameters() {
        for (hidden, activation) in
            [(vec![], Activation::Tanh), (vec![8, 5], Activation::Tanh), (vec![9], Activation::Relu)]
        {
            let head = ActionHead::Gaussian { dims: 3 };
            let net = PolicyNet::new(PolicySpec { obs_dim: 4, head, hidden, activation });
            let (rows, stride) = (5, net.parameter_count());
            let (parameters, obs) = (normals(rows * stride, 1), normals(rows * 4, 2));
            let mut outputs = vec![f32::NAN; rows * 3];
            let active = [true, true, false, true, true];
            let mut scratch = Default::default();
            net.forward_rows((&parameters, stride), (&obs, &active), &mut scratch, &mut outputs);
            let mut workspace = Workspace::default();
            for (row, outputs) in outputs.chunks_exact(3).enumerate() {
                if !active[row] {
                    assert!(outputs.iter().all(|y| y.is_nan()));
                    continue;
                }
                let own = &parameters[row * stride..(row + 1) * stride];
                let obs = &obs[row * 4..(row + 1) * 4];
                for (y, expected) in outputs.iter().zip(net.mlp.forward(own, obs, &mut workspace)) {
                    assert!((y - expected).abs() < 1e-4, "row {row}: {y} against {expected}");
                }
            }
            let mut shared = vec![0.0; rows * 3];
            net.forward_rows((&parameters, 0), (&obs, &[true; 5]), &mut scratch, &mut shared);
            assert_eq!(shared[..3], outputs[..3], "row 0 has the first parameters either way, to the bit");
        }
    }
}
