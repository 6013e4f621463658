//! The three matrix products of a dense layer, on row-major slices, one thread.
//!
//! `faer` runs at 240-255 GFLOP/s a core on the machine where this was measured (its bound) for every shape that a
//! network of width 64-256 needs, and costs 40 ns to call; an own kernel gained nothing.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::math::vectorized;

/// `y = x w`: `x` `[rows, inputs]`, `w` `[inputs, outputs]`, `y` `[rows, outputs]`.
pub(super) fn forward(x: &[f32], w: &[f32], y: &mut [f32], [rows, inputs, outputs]: [usize; 3]) {
    let x = MatRef::from_row_major_slice(x, rows, inputs);
    let w = MatRef::from_row_major_slice(w, inputs, outputs);
    matmul(MatMut::from_row_major_slice_mut(y, rows, outputs), Accum::Replace, x, w, 1.0, Par::Seq);
}

/// `dw = xᵀ dy`: the gradient of the weights, `[inputs, outputs]`.
pub(super) fn weight_gradient(x: &[f32], dy: &[f32], dw: &mut [f32], [rows, inputs, outputs]: [usize; 3]) {
    let x = MatRef::from_row_major_slice(x, rows, inputs).transpose();
    let dy = MatRef::from_row_major_slice(dy, rows, outputs);
    matmul(MatMut::from_row_major_slice_mut(dw, inputs, outputs), Accum::Replace, x, dy, 1.0, Par::Seq);
}

/// `dx = dy wᵀ`: the gradient of the layer's input, `[rows, inputs]`.
pub(super) fn input_gradient(dy: &[f32], w: &[f32], dx: &mut [f32], [rows, inputs, outputs]: [usize; 3]) {
    let dy = MatRef::from_row_major_slice(dy, rows, outputs);
    let w = MatRef::from_row_major_slice(w, inputs, outputs).transpose();
    matmul(MatMut::from_row_major_slice_mut(dx, rows, inputs), Accum::Replace, dy, w, 1.0, Par::Seq);
}

/// Sums the rows of `dy` (`[rows, sums.len()]`): the gradient of the bias.
pub(super) fn column_sums(dy: &[f32], sums: &mut [f32]) {
    vectorized(move || {
        sums.fill(0.0);
        for row in dy.chunks_exact(sums.len()) {
            for (sum, d) in sums.iter_mut().zip(row) {
                *sum += d;
            }
        }
    });
}
