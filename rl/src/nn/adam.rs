//! The optimiser.

use serde::{Deserialize, Serialize};

use super::math::{dot, vectorized};

/// Adam (Kingma & Ba 2015) with bias correction, as PyTorch's; its state is one pair of moments per parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment; PPO uses 1e-5 (Huang et al. 2022, core detail 3).
    pub epsilon: f32,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    pub(crate) steps: u64,
}

impl Adam {
    /// An optimiser for `parameters` parameters with PPO's constants: 0.9, 0.999, 1e-5.
    pub fn new(parameters: usize) -> Self {
        let zeros = vec![0.0; parameters];
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, first: zeros.clone(), second: zeros, steps: 0 }
    }

    /// Moves `parameters` one step against `gradient * gradient_scale`; the scale is how a clipped norm comes in
    /// without a pass of its own.
    ///
    /// # Panics
    /// If a slice has another length than the optimiser was made for.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], learning_rate: f32, gradient_scale: f32) {
        assert_eq!((parameters.len(), gradient.len()), (self.first.len(), self.first.len()), "parameters and gradient");
        self.steps += 1;
        let Self { beta1, beta2, epsilon, first, second, steps } = self;
        let (beta1, beta2, epsilon) = (*beta1, *beta2, *epsilon);
        let step_size = learning_rate * correction(beta1, *steps);
        let second_correction = correction(beta2, *steps);
        vectorized(move || {
            for (((p, g), m), v) in parameters.iter_mut().zip(gradient).zip(first).zip(second) {
                let g = g * gradient_scale;
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                *p -= step_size * *m / ((*v * second_correction).sqrt() + epsilon);
            }
        });
    }

    /// Steps made so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

/// `1 / (1 - beta^steps)`: undoes the pull of a moment towards its zero start.
fn correction(beta: f32, steps: u64) -> f32 {
    let steps = i32::try_from(steps).unwrap_or(i32::MAX);
    (1.0 / (1.0 - f64::from(beta).powi(steps))) as f32
}

/// Euclidean norm of the whole gradient.
pub fn global_norm(gradient: &[f32]) -> f32 {
    vectorized(move || dot(gradient, gradient)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adam as Algorithm 1 of the paper has it, one parameter, f64.
    struct Reference {
        p: f64,
        m: f64,
        v: f64,
        t: i32,
    }

    impl Reference {
        fn step(&mut self, g: f64, lr: f64) {
            self.t += 1;
            self.m = 0.9 * self.m + 0.1 * g;
            self.v = 0.999 * self.v + 0.001 * g * g;
            let (m_hat, v_hat) = (self.m / (1.0 - 0.9f64.powi(self.t)), self.v / (1.0 - 0.999f64.powi(self.t)));
            self.p -= lr * m_hat / (v_hat.sqrt() + 1e-5);
        }
    }

    #[test]
    fn follows_the_reference_with_a_scaled_gradient() {
        let n = 37;
        let mut adam = Adam::new(n);
        let mut p: Vec<f32> = (0..n).map(|i| i as f32 * 0.1 - 1.0).collect();
        let mut reference: Vec<Reference> =
            p.iter().map(|p| Reference { p: f64::from(*p), m: 0.0, v: 0.0, t: 0 }).collect();
        for step in 0..200 {
            let g: Vec<f32> = (0..n).map(|i| ((i * 7 + step * 3) % 11) as f32 * 0.01 - 0.05).collect();
            adam.step(&mut p, &g, 1e-2, 0.5);
            reference.iter_mut().zip(&g).for_each(|(r, g)| r.step(f64::from(*g) * 0.5, 1e-2));
        }
        for (p, r) in p.iter().zip(&reference) {
            assert!((f64::from(*p) - r.p).abs() < 2e-5, "{p} against {}", r.p);
        }
        assert_eq!(adam.steps(), 200);
    }

    #[test]
    fn norm_is_euclidean() {
        assert_eq!(global_norm(&[3.0, 0.0, -4.0]), 5.0);
        assert!(global_norm(&[1.0, f32::NAN]).is_nan());
    }
}
