//! A multi-layer perceptron over a flat parameter vector, forward and backward.

use std::ops::Range;

use super::activation::apply_with_bias;
use super::{Activation, Random, linalg, orthogonal};

/// The layout of a multi-layer perceptron: dense layers with a nonlinearity between them and none after the last.
///
/// Parameters lie layer after layer: weights `[inputs, outputs]` row-major, then bias `[outputs]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    layers: Vec<Layer>,
    activation: Activation,
}

/// One dense layer: where its parameters lie in the flat vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
    /// Weights, `[inputs, outputs]` row-major.
    pub weights: Range<usize>,
    /// Bias, `[outputs]`.
    pub bias: Range<usize>,
}

/// Memory for passes of one [`Mlp`]; grows to the largest batch it has seen and is then reused.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// Output of each layer, `[rows, outputs]`.
    outputs: Vec<Vec<f32>>,
    /// Gradient of the loss by the sums of each layer, `[rows, outputs]`.
    gradients: Vec<Vec<f32>>,
    /// Gradient of the loss by the input, `[rows, inputs]`, where it was asked for.
    input_gradient: Vec<f32>,
}

impl Mlp {
    /// The layout for `widths`: input, hidden layers, output.
    ///
    /// # Panics
    /// If there are fewer than two widths or one of them is 0.
    pub fn new(widths: &[usize], activation: Activation) -> Self {
        assert!(widths.len() >= 2 && widths.iter().all(|w| *w > 0), "no network has the widths {widths:?}");
        let mut at = 0;
        let mut take = |count: usize| {
            at += count;
            at - count..at
        };
        let layers = widths.windows(2).map(|pair| {
            let (inputs, outputs) = (pair[0], pair[1]);
            Layer { inputs, outputs, weights: take(inputs * outputs), bias: take(outputs) }
        });
        Self { layers: layers.collect(), activation }
    }

    /// The layers, from input to output.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Length of the flat parameter vector.
    pub fn parameter_count(&self) -> usize {
        self.last().bias.end
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.last().outputs
    }

    /// Fills `parameters` with orthogonal weights, hidden layers with the activation's gain and the last with
    /// `output_gain`, and zero bias.
    pub fn initialize(&self, parameters: &mut [f32], output_gain: f32, random: &mut Random) {
        for (i, layer) in self.layers.iter().enumerate() {
            let gain = if i + 1 < self.layers.len() { self.activation.gain() } else { output_gain };
            orthogonal(&mut parameters[layer.weights.clone()], [layer.inputs, layer.outputs], gain, random);
            parameters[layer.bias.clone()].fill(0.0);
        }
    }

    /// Runs the network on `input` (`[rows, inputs]`) and returns its output, `[rows, outputs]`.
    ///
    /// # Panics
    /// If `parameters` has the wrong length.
    pub fn forward<'w>(&self, parameters: &[f32], input: &[f32], workspace: &'w mut Workspace) -> &'w [f32] {
        assert_eq!(parameters.len(), self.parameter_count(), "parameters of the network");
        let rows = input.len() / self.inputs();
        workspace.fit(self, rows);
        for (i, layer) in self.layers.iter().enumerate() {
            let (before, from) = workspace.outputs.split_at_mut(i);
            let (x, y) = (before.last().map_or(input, Vec::as_slice), &mut from[0]);
            linalg::forward(x, &parameters[layer.weights.clone()], y, layer.shape(rows));
            let bias = &parameters[layer.bias.clone()];
            if i + 1 < self.layers.len() {
                self.activation.apply(y, bias);
            } else {
                apply_with_bias(y, bias, |y| y);
            }
        }
        workspace.output()
    }

    /// Writes the gradient of the loss by the parameters to `gradient` (laid out as they are). Before it, the caller
    /// ran [`Mlp::forward`] with the same `parameters` and `input` and wrote the gradient by the network's output to
    /// [`Workspace::output_gradient`].
    pub fn backward(&self, parameters: &[f32], input: &[f32], workspace: &mut Workspace, gradient: &mut [f32]) {
        let rows = input.len() / self.inputs();
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (before, from) = workspace.gradients.split_at_mut(i);
            let dy = &from[0];
            let x = if i == 0 { input } else { &workspace.outputs[i - 1] };
            linalg::weight_gradient(x, dy, &mut gradient[layer.weights.clone()], layer.shape(rows));
            linalg::column_sums(dy, &mut gradient[layer.bias.clone()]);
            if let Some(dx) = before.last_mut() {
                linalg::input_gradient(dy, &parameters[layer.weights.clone()], dx, layer.shape(rows));
                self.activation.backward(dx, x);
            }
        }
    }

    /// The gradient of the loss by the input, `[rows, inputs]`, after [`Mlp::backward`] with the same `parameters`.
    pub fn input_gradient<'w>(&self, parameters: &[f32], workspace: &'w mut Workspace) -> &'w [f32] {
        let (first, dy) = (&self.layers[0], &workspace.gradients[0]);
        let rows = dy.len() / first.outputs;
        workspace.input_gradient.resize(rows * first.inputs, 0.0);
        let weights = &parameters[first.weights.clone()];
        linalg::input_gradient(dy, weights, &mut workspace.input_gradient, first.shape(rows));
        &workspace.input_gradient
    }

    fn last(&self) -> &Layer {
        self.layers.last().expect("`new` demands a layer")
    }
}

impl Layer {
    fn shape(&self, rows: usize) -> [usize; 3] {
        [rows, self.inputs, self.outputs]
    }
}

impl Workspace {
    /// Output of the last forward pass, `[rows, outputs]`.
    pub fn output(&self) -> &[f32] {
        self.outputs.last().map_or(&[], Vec::as_slice)
    }

    /// Output of the last forward pass, and where the caller puts the gradient of the loss by it; both
    /// `[rows, outputs]`.
    pub fn output_gradient(&mut self) -> (&[f32], &mut [f32]) {
        match (self.outputs.last(), self.gradients.last_mut()) {
            (Some(output), Some(gradient)) => (output, gradient),
            _ => (&[], &mut []),
        }
    }

    /// Holds exactly `rows` rows of each layer; capacity never shrinks.
    fn fit(&mut self, mlp: &Mlp, rows: usize) {
        self.outputs.resize_with(mlp.layers.len(), Vec::new);
        self.gradients.resize_with(mlp.layers.len(), Vec::new);
        for buffers in [&mut self.outputs, &mut self.gradients] {
            for (buffer, layer) in buffers.iter_mut().zip(&mlp.layers) {
                buffer.resize(rows * layer.outputs, 0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sum(output * weight)`: a loss whose gradient by the output is `weight`.
    fn loss(mlp: &Mlp, parameters: &[f32], input: &[f32], weight: &[f32]) -> f32 {
        let mut workspace = Workspace::default();
        mlp.forward(parameters, input, &mut workspace).iter().zip(weight).map(|(y, w)| y * w).sum()
    }

    fn normals(count: usize, stream: u64) -> Vec<f32> {
        let mut out = vec![0.0; count];
        Random::new(11, stream).fill_normal(&mut out);
        out
    }

    /// Compares every parameter's gradient with a central difference. In f32 the difference of two losses of size 1
    /// over 2 h = 1e-2 is good to about 1e-4, to which curvature adds h^2.
    fn check_gradient(widths: &[usize], activation: Activation) {
        let mlp = Mlp::new(widths, activation);
        let mut parameters = vec![0.0; mlp.parameter_count()];
        mlp.initialize(&mut parameters, 1.0, &mut Random::new(4, 0));
        parameters.iter_mut().zip(normals(mlp.parameter_count(), 1)).for_each(|(p, z)| *p += 0.1 * z);
        let rows = 5;
        let (input, weight) = (normals(rows * mlp.inputs(), 2), normals(rows * mlp.outputs(), 3));
        let mut workspace = Workspace::default();
        mlp.forward(&parameters, &input, &mut workspace);
        workspace.output_gradient().1.copy_from_slice(&weight);
        let mut gradient = vec![f32::NAN; mlp.parameter_count()];
        mlp.backward(&parameters, &input, &mut workspace, &mut gradient);
        let h = 5e-3;
        for i in 0..parameters.len() {
            let at = |shift: f32| {
                let mut shifted = parameters.clone();
                shifted[i] += shift;
                loss(&mlp, &shifted, &input, &weight)
            };
            let numeric = (at(h) - at(-h)) / (2.0 * h);
            let tolerance = 2e-3 * (1.0 + numeric.abs());
            assert!((gradient[i] - numeric).abs() < tolerance, "parameter {i}: {} against {numeric}", gradient[i]);
        }
    }

    #[test]
    fn tanh_gradient_equals_the_finite_difference() {
        check_gradient(&[3, 8, 7, 2], Activation::Tanh);
        check_gradient(&[4, 1], Activation::Tanh);
    }

    #[test]
    fn the_gradient_by_the_input_equals_the_finite_difference() {
        let mlp = Mlp::new(&[3, 8, 2], Activation::Tanh);
        let mut parameters = vec![0.0; mlp.parameter_count()];
        mlp.initialize(&mut parameters, 1.0, &mut Random::new(4, 0));
        let (input, weight) = (normals(5 * 3, 2), normals(5 * 2, 3));
        let (mut workspace, mut gradient) = (Workspace::default(), vec![0.0; parameters.len()]);
        mlp.forward(&parameters, &input, &mut workspace);
        workspace.output_gradient().1.copy_from_slice(&weight);
        mlp.backward(&parameters, &input, &mut workspace, &mut gradient);
        for (i, analytic) in mlp.input_gradient(&parameters, &mut workspace).to_vec().into_iter().enumerate() {
            let at = |shift: f32| {
                let mut shifted = input.clone();
                shifted[i] += shift;
                loss(&mlp, &parameters, &shifted, &weight)
            };
            let numeric = (at(5e-3) - at(-5e-3)) / 1e-2;
            assert!(
                (analytic - numeric).abs() < 2e-3 * (1.0 + numeric.abs()),
                "input {i}: {analytic} against {numeric}"
            );
        }
    }

    #[test]
    fn relu_gradient_equals_the_finite_difference() {
        // With smooth data no sum lies within h of a kink for this seed; a kink would show as an error of order 1.
        check_gradient(&[3, 5, 2], Activation::Relu);
    }

    #[test]
    fn rows_are_independent_of_the_batch_and_of_an_earlier_one() {
        let mlp = Mlp::new(&[3, 16, 2], Activation::Tanh);
        let mut parameters = vec![0.0; mlp.parameter_count()];
        mlp.initialize(&mut parameters, 1.0, &mut Random::new(4, 0));
        let input = normals(9 * 3, 5);
        let mut workspace = Workspace::default();
        let all = mlp.forward(&parameters, &input, &mut workspace).to_vec();
        let one = mlp.forward(&parameters, &input[3 * 3..4 * 3], &mut workspace);
        assert_eq!(one.len(), 2);
        one.iter().zip(&all[3 * 2..]).for_each(|(a, b)| assert!((a - b).abs() < 1e-6));
    }
}
