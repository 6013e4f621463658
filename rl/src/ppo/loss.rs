//! The losses of PPO on one minibatch, and their gradients by the networks' outputs.

use crate::nn::math::exp;

/// What the clipped surrogate says of a minibatch; means over its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Surrogate {
    /// The loss.
    pub loss: f32,
    /// Mean of `(r - 1) - ln r`.
    pub approx_kl: f32,
    /// Mean of `-ln r`.
    pub old_approx_kl: f32,
    /// Share of rows whose ratio left the clip range.
    pub clip_fraction: f32,
}

/// What one minibatch said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Losses {
    /// The policy's.
    pub surrogate: Surrogate,
    /// The value's, unweighted.
    pub value: f32,
    /// Mean entropy of the policy in nats.
    pub entropy: f32,
}

impl Losses {
    /// How many numbers write the losses.
    pub const NUMBERS: usize = 6;

    /// The losses as numbers, to be joined with those of other learners.
    pub fn numbers(self) -> [f32; Self::NUMBERS] {
        let Surrogate { loss, approx_kl, old_approx_kl, clip_fraction } = self.surrogate;
        [loss, approx_kl, old_approx_kl, clip_fraction, self.value, self.entropy]
    }

    /// The reverse.
    pub fn from_numbers(numbers: [f32; Self::NUMBERS]) -> Self {
        let [loss, approx_kl, old_approx_kl, clip_fraction, value, entropy] = numbers;
        Self { surrogate: Surrogate { loss, approx_kl, old_approx_kl, clip_fraction }, value, entropy }
    }
}

/// `mean(max(-A r, -A clamp(r, 1 - clip, 1 + clip)))` with `r = exp(log_prob - old_log_prob)`; writes its gradient by
/// the log-probabilities to `gradient`. All slices `[rows]`.
///
/// Source: Schulman et al. 2017, equation 7; Huang et al. 2022, core details 8 and 12.
pub(super) fn clipped_surrogate(
    log_probs: &[f32],
    old_log_probs: &[f32],
    advantages: &[f32],
    clip: f32,
    gradient: &mut [f32],
) -> Surrogate {
    let share = 1.0 / log_probs.len() as f32;
    let mut sums = Surrogate::default();
    let rows = log_probs.iter().zip(old_log_probs).zip(advantages).zip(gradient);
    for (((log_prob, old), advantage), gradient) in rows {
        let log_ratio = log_prob - old;
        let ratio = exp(log_ratio);
        let free = ratio * advantage;
        let held = ratio.clamp(1.0 - clip, 1.0 + clip) * advantage;
        // Where the clipped term is the smaller one, it is constant: no gradient.
        *gradient = if held < free { 0.0 } else { -free * share };
        sums.loss -= if held < free { held } else { free };
        sums.approx_kl += ratio - 1.0 - log_ratio;
        sums.old_approx_kl -= log_ratio;
        sums.clip_fraction += if (ratio - 1.0).abs() > clip { 1.0 } else { 0.0 };
    }
    Surrogate {
        loss: sums.loss * share,
        approx_kl: sums.approx_kl * share,
        old_approx_kl: sums.old_approx_kl * share,
        clip_fraction: sums.clip_fraction * share,
    }
}

/// Half the mean squared error of `values`; writes its gradient times `weight` to `gradient`. All slices `[rows]`.
///
/// With a clip, the larger of the plain error and that of the value held within `clip` of the old one counts.
///
/// Source: Huang et al. 2022, core detail 9.
pub(super) fn value_loss(
    values: &[f32],
    (returns, old_values): (&[f32], &[f32]),
    clip: Option<f32>,
    weight: f32,
    gradient: &mut [f32],
) -> f32 {
    let share = 1.0 / values.len() as f32;
    // An infinite clip holds nothing: the plain error.
    let clip = clip.unwrap_or(f32::INFINITY);
    let mut sum = 0.0;
    for (((value, target), old), gradient) in values.iter().zip(returns).zip(old_values).zip(gradient) {
        let moved = value - old;
        let inside = moved.abs() <= clip;
        let error = value - target;
        let held_error = if inside { error } else { old + moved.clamp(-clip, clip) - target };
        let counts_plain = inside || error * error >= held_error * held_error;
        let (counted, slope) = if counts_plain { (error, error) } else { (held_error, 0.0) };
        sum += counted * counted;
        *gradient = weight * share * slope;
    }
    0.5 * sum * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Random;

    fn normals(count: usize, stream: u64) -> Vec<f32> {
        let mut out = vec![0.0; count];
        Random::new(5, stream).fill_normal(&mut out);
        out
    }

    /// Compares `gradient` with central differences of `loss` over each of `at`, away from kinks by the choice of seed.
    fn check(at: &[f32], gradient: &[f32], loss: impl Fn(&[f32]) -> f32) {
        let h = 2e-3;
        for i in 0..at.len() {
            let shifted = |shift: f32| {
                let mut out = at.to_vec();
                out[i] += shift;
                loss(&out)
            };
            let numeric = (shifted(h) - shifted(-h)) / (2.0 * h);
            assert!((numeric - gradient[i]).abs() < 1e-3, "row {i}: {} against {numeric}", gradient[i]);
        }
    }

    #[test]
    fn surrogate_gradient_equals_the_finite_difference() {
        let rows = 40;
        let old = vec![-0.7; rows];
        let log_probs: Vec<f32> = normals(rows, 0).iter().map(|z| -0.7 + 0.3 * z).collect();
        let advantages = normals(rows, 1);
        let mut gradient = vec![0.0; rows];
        let stats = clipped_surrogate(&log_probs, &old, &advantages, 0.2, &mut gradient);
        check(&log_probs, &gradient, |l| clipped_surrogate(l, &old, &advantages, 0.2, &mut vec![0.0; rows]).loss);
        let clipped = log_probs.iter().filter(|l| ((*l + 0.7).exp() - 1.0).abs() > 0.2).count();
        assert_eq!(stats.clip_fraction, clipped as f32 / rows as f32);
        let cut = gradient.iter().filter(|g| **g == 0.0).count();
        assert!(cut > 0 && cut < clipped, "some of {clipped} clipped rows must still pull back: {cut} are cut");
    }

    #[test]
    fn an_unmoved_policy_has_the_policy_gradient_and_no_divergence() {
        let (old, advantages, mut gradient) = ([-0.5, -1.0], [2.0, -4.0], [0.0; 2]);
        let stats = clipped_surrogate(&old, &old, &advantages, 0.2, &mut gradient);
        assert_eq!(gradient, [-1.0, 2.0]);
        assert_eq!(stats, Surrogate { loss: 1.0, ..Surrogate::default() });
    }

    #[test]
    fn divergences_equal_the_formulas() {
        let stats = clipped_surrogate(&[-0.4, -1.3], &[-0.5, -1.0], &[1.0, 1.0], 0.2, &mut [0.0; 2]);
        let want = ((0.1f32.exp() - 1.0 - 0.1) + ((-0.3f32).exp() - 1.0 + 0.3)) / 2.0;
        assert!((stats.approx_kl - want).abs() < 1e-6 && (stats.old_approx_kl - 0.1).abs() < 1e-6);
    }

    #[test]
    fn value_gradients_equal_the_finite_difference() {
        let rows = 40;
        let (values, returns, old) = (normals(rows, 2), normals(rows, 3), normals(rows, 4));
        for clip in [None, Some(0.5)] {
            let mut gradient = vec![0.0; rows];
            value_loss(&values, (&returns, &old), clip, 0.7, &mut gradient);
            check(&values, &gradient, |v| 0.7 * value_loss(v, (&returns, &old), clip, 0.7, &mut vec![0.0; rows]));
            assert_eq!(gradient.contains(&0.0), clip.is_some(), "only a clip cuts gradients");
        }
    }

    #[test]
    fn nan_comes_through() {
        assert!(clipped_surrogate(&[f32::NAN], &[0.0], &[1.0], 0.2, &mut [0.0]).loss.is_nan());
        assert!(value_loss(&[f32::NAN], (&[0.0], &[0.0]), Some(0.2), 1.0, &mut [0.0]).is_nan());
    }
}
