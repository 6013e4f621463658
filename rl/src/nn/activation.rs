//! What a hidden layer does to its sums.

use serde::{Deserialize, Serialize};

use super::math::{tanh, vectorized};

/// Nonlinearity of the hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Hyperbolic tangent (Huang et al. 2022, "37 details", core detail 13).
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    /// Adds `bias` (`[outputs]`) to each row of `sums` (`[rows, outputs]`) and applies the nonlinearity in place.
    pub(super) fn apply(self, sums: &mut [f32], bias: &[f32]) {
        match self {
            Activation::Tanh => apply_with_bias(sums, bias, tanh),
            // Written so that NaN passes: `f32::max` would hide it as 0.
            Activation::Relu => apply_with_bias(sums, bias, |x| if x < 0.0 { 0.0 } else { x }),
        }
    }

    /// Multiplies `gradient` by the nonlinearity's derivative, which both kinds tell from their `output` alone.
    pub(super) fn backward(self, gradient: &mut [f32], output: &[f32]) {
        vectorized(move || match self {
            Activation::Tanh => gradient.iter_mut().zip(output).for_each(|(d, y)| *d *= 1.0 - y * y),
            Activation::Relu => gradient.iter_mut().zip(output).for_each(|(d, y)| *d = if *y > 0.0 { *d } else { 0.0 }),
        });
    }

    /// Gain of orthogonal initialisation that PPO implementations use for hidden layers of either kind: sqrt(2)
    /// (Huang et al. 2022, core detail 2).
    pub fn gain(self) -> f32 {
        std::f32::consts::SQRT_2
    }
}

/// `y = f(y + bias)` for each row of `y`.
#[inline(always)]
pub(super) fn apply_with_bias(y: &mut [f32], bias: &[f32], f: impl Fn(f32) -> f32) {
    vectorized(move || {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, b) in row.iter_mut().zip(bias) {
                *y = f(*y + b);
            }
        }
    });
}
