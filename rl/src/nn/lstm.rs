//! A long short-term memory layer over a flat parameter vector, forward and backward through time.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::math::{tanh, vectorized};
use super::{Random, linalg, orthogonal};

/// The layout of one layer (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).
///
/// Parameters: weights of the input `[inputs, 4 units]`, weights of the hidden state `[units, 4 units]`, bias
/// `[4 units]`; the gates are those of input, forgetting, cell and output, in PyTorch's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lstm {
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub units: usize,
}

/// What a layer remembers, of several sequences.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LstmState {
    /// What it gave last, `[rows, units]`.
    pub hidden: Vec<f32>,
    /// Its cells, `[rows, units]`.
    pub cell: Vec<f32>,
}

/// Memory for passes of one [`Lstm`], reused from pass to pass. All `[steps, rows, ..]`.
#[derive(Clone, Debug, Default)]
pub struct LstmWorkspace {
    /// Gates after their nonlinearity, `4 units`.
    gates: Vec<f32>,
    /// Cells after the step, `units`.
    cells: Vec<f32>,
    /// Hidden states and cells before the step, `units`.
    before: LstmState,
    outputs: Vec<f32>,
    /// Gradient of the loss by the sums of the gates, `4 units`.
    gate_gradients: Vec<f32>,
    /// Sums of one step, `[rows, 4 units]`, and gradients by the state, `[rows, units]` each.
    step: Vec<f32>,
    state_gradient: LstmState,
}

impl LstmState {
    /// Zeros for `rows` sequences.
    pub fn zeros(rows: usize, units: usize) -> Self {
        Self { hidden: vec![0.0; rows * units], cell: vec![0.0; rows * units] }
    }

    /// Zeroes the rows that `flags` (`[rows]`) name.
    pub fn reset(&mut self, flags: &[bool]) {
        let units = self.hidden.len() / flags.len().max(1);
        for (row, _) in flags.iter().enumerate().filter(|(_, flag)| **flag) {
            self.hidden[row * units..(row + 1) * units].fill(0.0);
            self.cell[row * units..(row + 1) * units].fill(0.0);
        }
    }

    /// One row.
    pub fn row(&self, row: usize, units: usize) -> Self {
        let range = row * units..(row + 1) * units;
        Self { hidden: self.hidden[range.clone()].to_vec(), cell: self.cell[range].to_vec() }
    }

    /// Adds the rows of another.
    pub fn extend(&mut self, other: &Self) {
        self.hidden.extend_from_slice(&other.hidden);
        self.cell.extend_from_slice(&other.cell);
    }
}

impl Lstm {
    /// Length of the flat parameter vector.
    pub fn parameter_count(&self) -> usize {
        self.bias().end
    }

    /// The parts of the parameters: names, shapes, places.
    pub fn tensors(&self) -> [(&'static str, Vec<usize>, Range<usize>); 3] {
        let gates = 4 * self.units;
        [
            ("input_weight", vec![self.inputs, gates], self.input_weights()),
            ("hidden_weight", vec![self.units, gates], self.hidden_weights()),
            ("bias", vec![gates], self.bias()),
        ]
    }

    /// Fills `parameters` with orthogonal weights of gain 1 and zero bias (Huang et al. 2022, LSTM detail 1).
    pub fn initialize(&self, parameters: &mut [f32], random: &mut Random) {
        let gates = 4 * self.units;
        orthogonal(&mut parameters[self.input_weights()], [self.inputs, gates], 1.0, random);
        orthogonal(&mut parameters[self.hidden_weights()], [self.units, gates], 1.0, random);
        parameters[self.bias()].fill(0.0);
    }

    /// Runs the layer on `input` (`[steps, rows, inputs]`) from `state` on, which becomes that of the end, and returns
    /// its outputs, `[steps, rows, units]`. Where `starts` (`[steps, rows]`) says so, a sequence begins anew: its state is
    /// zero before the step.
    pub fn forward<'w>(
        &self,
        parameters: &[f32],
        (input, starts): (&[f32], &[bool]),
        state: &mut LstmState,
        workspace: &'w mut LstmWorkspace,
    ) -> &'w [f32] {
        let (units, gates) = (self.units, 4 * self.units);
        let (all, rows) = (input.len() / self.inputs, state.hidden.len() / units);
        workspace.fit(all, rows, units);
        let LstmWorkspace { gates: sums, cells, before, outputs, step, .. } = workspace;
        linalg::forward(input, &parameters[self.input_weights()], sums, [all, self.inputs, gates]);
        let (weights, bias) = (&parameters[self.hidden_weights()], &parameters[self.bias()]);
        for at in (0..all).step_by(rows) {
            state.reset(&starts[at..at + rows]);
            let now = at * units..(at + rows) * units;
            before.hidden[now.clone()].copy_from_slice(&state.hidden);
            before.cell[now.clone()].copy_from_slice(&state.cell);
            linalg::forward(&state.hidden, weights, step, [rows, units, gates]);
            let sums = &mut sums[at * gates..(at + rows) * gates];
            let (hidden, cell) = (&mut state.hidden, &mut state.cell);
            vectorized(|| {
                let states = hidden.chunks_exact_mut(units).zip(cell.chunks_exact_mut(units));
                let all_sums = sums.chunks_exact_mut(gates).zip(step.chunks_exact(gates));
                for ((sums, recurrent), (hidden, cell)) in all_sums.zip(states) {
                    activate(sums, recurrent, bias);
                    advance(sums, hidden, cell);
                }
            });
            cells[now.clone()].copy_from_slice(&state.cell);
            outputs[now].copy_from_slice(&state.hidden);
        }
        &workspace.outputs
    }

    /// Writes the gradient of the loss by the parameters to `gradient`, from that by the outputs, `output_gradient`
    /// (`[steps, rows, units]`), through all steps but not into the state at the beginning. Before it, the caller ran
    /// [`Lstm::forward`] with the same input.
    pub fn backward(
        &self,
        parameters: &[f32],
        (input, starts): (&[f32], &[bool]),
        output_gradient: &[f32],
        workspace: &mut LstmWorkspace,
        gradient: &mut [f32],
    ) {
        let (units, gates) = (self.units, 4 * self.units);
        let all = input.len() / self.inputs;
        let LstmWorkspace { gates: values, cells, before, gate_gradients, step, state_gradient, .. } = workspace;
        let rows = step.len() / gates;
        state_gradient.hidden.fill(0.0);
        state_gradient.cell.fill(0.0);
        for at in (0..all).step_by(rows).rev() {
            for row in 0..rows {
                let now = (at + row) * units..(at + row + 1) * units;
                let wide = (at + row) * gates..(at + row + 1) * gates;
                let of_row = row * units..(row + 1) * units;
                let step = Step {
                    gates: &values[wide.clone()],
                    cell: &cells[now.clone()],
                    cell_before: &before.cell[now.clone()],
                };
                let by_output = (&output_gradient[now], &state_gradient.hidden[of_row.clone()]);
                step.backward(by_output, &mut state_gradient.cell[of_row], &mut gate_gradients[wide]);
            }
            let of_step = &gate_gradients[at * gates..(at + rows) * gates];
            let weights = &parameters[self.hidden_weights()];
            linalg::input_gradient(of_step, weights, &mut state_gradient.hidden, [rows, units, gates]);
            state_gradient.reset(&starts[at..at + rows]);
        }
        linalg::weight_gradient(input, gate_gradients, &mut gradient[self.input_weights()], [all, self.inputs, gates]);
        let hidden = &before.hidden;
        linalg::weight_gradient(hidden, gate_gradients, &mut gradient[self.hidden_weights()], [all, units, gates]);
        linalg::column_sums(gate_gradients, &mut gradient[self.bias()]);
    }

    fn input_weights(&self) -> Range<usize> {
        0..self.inputs * 4 * self.units
    }

    fn hidden_weights(&self) -> Range<usize> {
        let start = self.input_weights().end;
        start..start + self.units * 4 * self.units
    }

    fn bias(&self) -> Range<usize> {
        let start = self.hidden_weights().end;
        start..start + 4 * self.units
    }
}

impl LstmWorkspace {
    fn fit(&mut self, all: usize, rows: usize, units: usize) {
        let narrow = [&mut self.cells, &mut self.before.hidden, &mut self.before.cell, &mut self.outputs];
        narrow.into_iter().for_each(|buffer| buffer.resize(all * units, 0.0));
        [&mut self.gates, &mut self.gate_gradients].into_iter().for_each(|b| b.resize(all * 4 * units, 0.0));
        self.step.resize(rows * 4 * units, 0.0);
        self.state_gradient.hidden.resize(rows * units, 0.0);
        self.state_gradient.cell.resize(rows * units, 0.0);
    }
}

/// What one step of one row was.
struct Step<'a> {
    gates: &'a [f32],
    cell: &'a [f32],
    cell_before: &'a [f32],
}

impl Step<'_> {
    /// Writes the gradient by the sums of the gates, and makes the gradient by the cell that by the cell before.
    fn backward(&self, (by_output, by_hidden): (&[f32], &[f32]), by_cell: &mut [f32], by_gates: &mut [f32]) {
        let units = self.cell.len();
        let [input, forget, candidate, output] = quarters(self.gates);
        for i in 0..units {
            let (dh, y) = (by_output[i] + by_hidden[i], tanh(self.cell[i]));
            let dc = by_cell[i] + dh * output[i] * (1.0 - y * y);
            by_gates[i] = dc * candidate[i] * input[i] * (1.0 - input[i]);
            by_gates[units + i] = dc * self.cell_before[i] * forget[i] * (1.0 - forget[i]);
            by_gates[2 * units + i] = dc * input[i] * (1.0 - candidate[i] * candidate[i]);
            by_gates[3 * units + i] = dh * y * output[i] * (1.0 - output[i]);
            by_cell[i] = dc * forget[i];
        }
    }
}

/// Turns the sums of one row, `[4 units]`, into gates.
#[inline(always)]
fn activate(sums: &mut [f32], recurrent: &[f32], bias: &[f32]) {
    let units = sums.len() / 4;
    sums.iter_mut().zip(recurrent).zip(bias).for_each(|((sum, recurrent), bias)| *sum += recurrent + bias);
    sums[..2 * units].iter_mut().for_each(|x| *x = sigmoid(*x));
    sums[2 * units..3 * units].iter_mut().for_each(|x| *x = tanh(*x));
    sums[3 * units..].iter_mut().for_each(|x| *x = sigmoid(*x));
}

/// Advances the state of one row by its gates.
#[inline(always)]
fn advance(gates: &[f32], hidden: &mut [f32], cell: &mut [f32]) {
    let [input, forget, candidate, output] = quarters(gates);
    for i in 0..cell.len() {
        cell[i] = forget[i] * cell[i] + input[i] * candidate[i];
        hidden[i] = output[i] * tanh(cell[i]);
    }
}

#[inline(always)]
fn quarters(gates: &[f32]) -> [&[f32]; 4] {
    let units = gates.len() / 4;
    std::array::from_fn(|gate| &gates[gate * units..(gate + 1) * units])
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    0.5 * tanh(0.5 * x) + 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    const LSTM: Lstm = Lstm { inputs: 3, units: 4 };
    const STEPS: usize = 5;
    const ROWS: usize = 2;

    fn normals(count: usize, stream: u64) -> Vec<f32> {
        let mut out = vec![0.0; count];
        Random::new(6, stream).fill_normal(&mut out);
        out
    }

    fn parameters() -> Vec<f32> {
        normals(LSTM.parameter_count(), 0).iter().map(|z| 0.5 * z).collect()
    }

    fn starts() -> Vec<bool> {
        (0..STEPS * ROWS).map(|at| at == 5).collect()
    }

    fn state() -> LstmState {
        LstmState { hidden: normals(ROWS * 4, 3), cell: normals(ROWS * 4, 4) }
    }

    /// `sum(output * weight)`.
    fn loss(parameters: &[f32]) -> f32 {
        let mut workspace = LstmWorkspace::default();
        let (input, starts) = (normals(STEPS * ROWS * 3, 1), starts());
        let outputs = LSTM.forward(parameters, (&input, &starts), &mut state(), &mut workspace);
        outputs.iter().zip(normals(STEPS * ROWS * 4, 2)).map(|(y, w)| y * w).sum()
    }

    #[test]
    fn the_gradient_through_time_equals_the_finite_difference() {
        let (input, starts, mut workspace) = (normals(STEPS * ROWS * 3, 1), starts(), LstmWorkspace::default());
        let (parameters, weight) = (parameters(), normals(STEPS * ROWS * 4, 2));
        LSTM.forward(&parameters, (&input, &starts), &mut state(), &mut workspace);
        let mut gradient = vec![f32::NAN; parameters.len()];
        LSTM.backward(&parameters, (&input, &starts), &weight, &mut workspace, &mut gradient);
        for (i, analytic) in gradient.into_iter().enumerate() {
            let at = |shift: f32| {
                let mut shifted = parameters.clone();
                shifted[i] += shift;
                loss(&shifted)
            };
            let numeric = (at(5e-3) - at(-5e-3)) / 1e-2;
            assert!((analytic - numeric).abs() < 2e-3 * (1.0 + numeric.abs()), "{i}: {analytic} against {numeric}");
        }
    }

    #[test]
    fn it_equals_the_formulas_in_double_precision() {
        let (parameters, input) = (parameters(), normals(3, 1));
        let (mut found, start) = (state().row(0, 4), state().row(0, 4));
        LSTM.forward(&parameters, (&input, &[false]), &mut found, &mut LstmWorkspace::default());
        let sum = |gate: usize, unit: usize| {
            let column = gate * 4 + unit;
            let from = |values: &[f32], first: usize| -> f64 {
                let weights = values.iter().enumerate().map(|(i, x)| (parameters[first + i * 16 + column], x));
                weights.map(|(w, x)| f64::from(w) * f64::from(*x)).sum()
            };
            from(&input, 0) + from(&start.hidden, 48) + f64::from(parameters[112 + column])
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for unit in 0..4 {
            let [i, f, o] = [0, 1, 3].map(|gate| sigmoid(sum(gate, unit)));
            let cell = f * f64::from(start.cell[unit]) + i * sum(2, unit).tanh();
            assert!((f64::from(found.cell[unit]) - cell).abs() < 1e-5);
            assert!((f64::from(found.hidden[unit]) - o * cell.tanh()).abs() < 1e-5);
        }
    }

    #[test]
    fn a_sequence_in_pieces_is_the_sequence_and_a_start_forgets() {
        let (parameters, input, mut workspace) = (parameters(), normals(STEPS * ROWS * 3, 1), LstmWorkspace::default());
        let starts = starts();
        let mut whole_state = state();
        let whole = LSTM.forward(&parameters, (&input, &starts), &mut whole_state, &mut workspace).to_vec();
        let (mut state, mut pieces) = (state(), Vec::new());
        for step in 0..STEPS {
            let (x, starts) = (&input[step * ROWS * 3..(step + 1) * ROWS * 3], &starts[step * ROWS..(step + 1) * ROWS]);
            pieces.extend_from_slice(LSTM.forward(&parameters, (x, starts), &mut state, &mut workspace));
        }
        whole.iter().zip(&pieces).for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
        assert_eq!(state.hidden.len(), whole_state.hidden.len());
        let mut fresh = LstmState::zeros(1, 4);
        let from_start = LSTM.forward(&parameters, (&input[15..18], &[false]), &mut fresh, &mut workspace);
        from_start.iter().zip(&whole[20..24]).for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
    }
}
