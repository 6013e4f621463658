//! The Gaussian with independent dimensions and a log standard deviation that does not depend on the state.
//!
//! Source: Huang et al. 2022, "37 details", continuous details 1-3.

use super::math::exp;

/// `ln(2 pi) / 2`.
const HALF_LN_TAU: f32 = 0.918_938_5;

/// Log-density of `action` (`[dims]`), and its distance from `mean` in standard deviations, written to `z` (`[dims]`).
#[inline]
pub fn log_prob(mean: &[f32], log_std: &[f32], action: &[f32], z: &mut [f32]) -> f32 {
    let mut sum = 0.0;
    for (((z, a), m), s) in z.iter_mut().zip(action).zip(mean).zip(log_std) {
        *z = (a - m) * exp(-s);
        sum -= 0.5 * *z * *z + s + HALF_LN_TAU;
    }
    sum
}

/// Turns standard normals in `action` (`[dims]`) into a sample, in place; returns its log-density.
#[inline]
pub fn sample(mean: &[f32], log_std: &[f32], action: &mut [f32]) -> f32 {
    let mut sum = 0.0;
    for ((a, m), s) in action.iter_mut().zip(mean).zip(log_std) {
        sum -= 0.5 * *a * *a + s + HALF_LN_TAU;
        *a = m + exp(*s) * *a;
    }
    sum
}

/// Differential entropy in nats; it can be negative.
#[inline]
pub fn entropy(log_std: &[f32]) -> f32 {
    log_std.iter().map(|s| s + 0.5 + HALF_LN_TAU).sum()
}

/// Gradient of `d_log_prob * log p(action)` by the mean, written to `mean_gradient` (`[dims]`), and by the log standard
/// deviation, added to `log_std_gradient` (`[dims]`). `z` is from [`log_prob`].
#[inline]
pub fn backward(z: &[f32], log_std: &[f32], d_log_prob: f32, mean_gradient: &mut [f32], log_std_gradient: &mut [f32]) {
    for (((dm, ds), z), s) in mean_gradient.iter_mut().zip(log_std_gradient).zip(z).zip(log_std) {
        *dm = d_log_prob * z * exp(-s);
        *ds += d_log_prob * (z * z - 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Random;

    const MEAN: [f32; 3] = [0.5, -1.0, 2.0];
    const LOG_STD: [f32; 3] = [-0.5, 0.0, 0.8];
    const ACTION: [f32; 3] = [0.9, -1.7, 1.0];

    fn density(mean: &[f32], log_std: &[f32]) -> f32 {
        log_prob(mean, log_std, &ACTION, &mut [0.0; 3])
    }

    #[test]
    fn log_density_and_entropy_equal_the_formulas() {
        let (mut want, mut entropy_want) = (0.0, 0.0);
        for i in 0..3 {
            let (m, s, a) = (f64::from(MEAN[i]), f64::from(LOG_STD[i]).exp(), f64::from(ACTION[i]));
            let variance = s * s;
            want += -(a - m).powi(2) / (2.0 * variance) - (std::f64::consts::TAU * variance).ln() / 2.0;
            entropy_want += (std::f64::consts::TAU * std::f64::consts::E * variance).ln() / 2.0;
        }
        assert!((f64::from(density(&MEAN, &LOG_STD)) - want).abs() < 1e-5);
        assert!((f64::from(entropy(&LOG_STD)) - entropy_want).abs() < 1e-5);
    }

    #[test]
    fn samples_have_the_moments_and_report_their_density() {
        let mut random = Random::new(9, 0);
        let (n, mut sum, mut squares) = (50_000, [0.0f64; 3], [0.0f64; 3]);
        for _ in 0..n {
            let mut action = [0.0; 3];
            random.fill_normal(&mut action);
            let reported = sample(&MEAN, &LOG_STD, &mut action);
            assert!((reported - log_prob(&MEAN, &LOG_STD, &action, &mut [0.0; 3])).abs() < 1e-4);
            for i in 0..3 {
                sum[i] += f64::from(action[i]);
                squares[i] += f64::from(action[i] - MEAN[i]).powi(2);
            }
        }
        for i in 0..3 {
            let std = f64::from(LOG_STD[i]).exp();
            assert!((sum[i] / f64::from(n) - f64::from(MEAN[i])).abs() < 0.02 * std);
            assert!((squares[i] / f64::from(n) / (std * std) - 1.0).abs() < 0.03);
        }
    }

    #[test]
    fn gradient_equals_the_finite_difference() {
        let (mut z, mut d_mean, mut d_log_std) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        log_prob(&MEAN, &LOG_STD, &ACTION, &mut z);
        backward(&z, &LOG_STD, 1.0, &mut d_mean, &mut d_log_std);
        let h = 1e-2;
        for i in 0..3 {
            let shifted = |of: &[f32; 3], shift: f32| {
                let mut out = *of;
                out[i] += shift;
                out
            };
            let by_mean = density(&shifted(&MEAN, h), &LOG_STD) - density(&shifted(&MEAN, -h), &LOG_STD);
            let by_std = density(&MEAN, &shifted(&LOG_STD, h)) - density(&MEAN, &shifted(&LOG_STD, -h));
            assert!((by_mean / (2.0 * h) - d_mean[i]).abs() < 1e-3);
            assert!((by_std / (2.0 * h) - d_log_std[i]).abs() < 2e-3);
        }
    }
}
