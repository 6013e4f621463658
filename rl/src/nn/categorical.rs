//! The categorical distribution over logits.

use super::math::{exp, ln};

/// Writes the log-probabilities of `logits` (`[choices]`) to `log_probs` and the probabilities to `probs` (both
/// `[choices]`); returns the entropy in nats. Errors about 3e-7, relative to the largest logit's size.
#[inline]
pub fn log_softmax(logits: &[f32], log_probs: &mut [f32], probs: &mut [f32]) -> f32 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (p, logit) in probs.iter_mut().zip(logits) {
        *p = exp(logit - max);
        sum += *p;
    }
    let (log_sum, share) = (max + ln(sum), 1.0 / sum);
    let mut entropy = 0.0;
    for ((log_p, p), logit) in log_probs.iter_mut().zip(probs).zip(logits) {
        *log_p = logit - log_sum;
        *p *= share;
        entropy -= *p * *log_p;
    }
    entropy
}

/// The choice whose share of [0, 1) `uniform` falls into, and its log-probability.
#[inline]
pub fn sample(logits: &[f32], uniform: f32) -> (u32, f32) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|l| exp(l - max)).sum();
    let mut left = uniform * sum;
    let mut choice = logits.len() - 1;
    for (i, logit) in logits.iter().enumerate() {
        left -= exp(logit - max);
        if left < 0.0 {
            choice = i;
            break;
        }
    }
    (choice as u32, logits[choice] - max - ln(sum))
}

/// Log-probability that stands for a choice that is not allowed: finite, so that its product with the probability 0 is 0.
const FORBIDDEN: f32 = -1e9;

/// As [`log_softmax`], over those choices that `mask` (`[choices]`) allows, at least one of them; the others have the
/// probability 0, and [`backward`] gives their logits no gradient.
///
/// Source: Huang & Ontañón 2022, "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms".
#[inline]
pub fn log_softmax_masked(logits: &[f32], mask: &[bool], log_probs: &mut [f32], probs: &mut [f32]) -> f32 {
    let allowed = || logits.iter().zip(mask).filter(|(_, allowed)| **allowed).map(|(logit, _)| *logit);
    let max = allowed().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = allowed().map(|logit| exp(logit - max)).sum();
    let (log_sum, share, mut entropy) = (max + ln(sum), 1.0 / sum, 0.0);
    for (i, (log_p, p)) in log_probs.iter_mut().zip(probs).enumerate() {
        (*log_p, *p) = if mask[i] { (logits[i] - log_sum, exp(logits[i] - max) * share) } else { (FORBIDDEN, 0.0) };
        entropy -= *p * *log_p;
    }
    entropy
}

/// As [`sample`], among those choices that `mask` (`[choices]`) allows, at least one of them.
#[inline]
pub fn sample_masked(logits: &[f32], mask: &[bool], uniform: f32) -> (u32, f32) {
    let allowed = || logits.iter().zip(mask).enumerate().filter(|(_, (_, allowed))| **allowed);
    let max = allowed().fold(f32::NEG_INFINITY, |max, (_, (logit, _))| max.max(*logit));
    let sum: f32 = allowed().map(|(_, (logit, _))| exp(logit - max)).sum();
    let (mut left, mut choice) = (uniform * sum, 0);
    for (i, (logit, _)) in allowed() {
        left -= exp(logit - max);
        // Where rounding leaves something over, the last one allowed is taken.
        choice = i;
        if left < 0.0 {
            break;
        }
    }
    (choice as u32, logits[choice] - max - ln(sum))
}

/// The most probable of those choices that `mask` (`[choices]`) allows; the first of equals.
#[inline]
pub fn mode_masked(logits: &[f32], mask: &[bool]) -> u32 {
    let allowed = (0..logits.len()).filter(|i| mask[*i]);
    let best = |best: Option<usize>, i: usize| match best {
        Some(best) if logits[i] <= logits[best] => Some(best),
        _ => Some(i),
    };
    allowed.fold(None, best).unwrap_or(0) as u32
}

/// The most probable choice; the first of equals.
#[inline]
pub fn mode(logits: &[f32]) -> u32 {
    let best = |best: usize, i: usize| if logits[i] > logits[best] { i } else { best };
    (0..logits.len()).fold(0, best) as u32
}

/// Gradient by the logits of `d_log_prob * log p(choice) + d_entropy * H`, written to `gradient` (`[choices]`).
/// `log_probs` and `probs` are from [`log_softmax`].
///
/// `d log p(a) / d l_i = [i = a] - p_i` and `d H / d l_i = -p_i (log p_i + H)`.
#[inline]
pub fn backward(
    (log_probs, probs): (&[f32], &[f32]),
    choice: u32,
    [d_log_prob, d_entropy]: [f32; 2],
    gradient: &mut [f32],
) {
    let entropy = -probs.iter().zip(log_probs).map(|(p, log_p)| p * log_p).sum::<f32>();
    for (i, ((d, p), log_p)) in gradient.iter_mut().zip(probs).zip(log_probs).enumerate() {
        let chosen = if i == choice as usize { 1.0 } else { 0.0 };
        *d = d_log_prob * (chosen - p) - d_entropy * p * (log_p + entropy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Random;

    const LOGITS: [f32; 4] = [0.5, -1.0, 2.0, 0.1];

    fn probabilities(logits: &[f32]) -> Vec<f64> {
        let weights: Vec<f64> = logits.iter().map(|l| f64::from(*l).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|w| w / sum).collect()
    }

    /// Log-probabilities, probabilities and entropy.
    fn softmax(logits: &[f32]) -> (Vec<f32>, Vec<f32>, f32) {
        let (mut log_probs, mut probs) = (vec![0.0; logits.len()], vec![0.0; logits.len()]);
        let entropy = log_softmax(logits, &mut log_probs, &mut probs);
        (log_probs, probs, entropy)
    }

    #[test]
    fn log_probabilities_and_entropy_equal_the_formulas() {
        for shift in [0.0, 50.0, -50.0] {
            let logits = LOGITS.map(|l| l + shift);
            let want = probabilities(&LOGITS);
            let (log_probs, probs, entropy) = softmax(&logits);
            log_probs.iter().zip(&want).for_each(|(l, p)| assert!((f64::from(*l) - p.ln()).abs() < 1e-5));
            probs.iter().zip(&want).for_each(|(found, p)| assert!((f64::from(*found) - p).abs() < 1e-5));
            let want = -want.iter().map(|p| p * p.ln()).sum::<f64>();
            assert!((f64::from(entropy) - want).abs() < 1e-5);
        }
    }

    #[test]
    fn an_impossible_choice_gives_no_nan() {
        let (log_probs, _, entropy) = softmax(&[0.0, -200.0]);
        assert!((log_probs[1] + 200.0).abs() < 1e-3 && entropy.abs() < 1e-6);
        assert_eq!(sample(&[0.0, -200.0], 0.999_999_9).0, 0);
    }

    #[test]
    fn samples_have_the_frequencies_and_report_their_log_probability() {
        let (mut random, mut counts) = (Random::new(2, 0), [0u32; 4]);
        for _ in 0..100_000 {
            let (choice, log_prob) = sample(&LOGITS, random.uniform());
            counts[choice as usize] += 1;
            assert!((log_prob - softmax(&LOGITS).0[choice as usize]).abs() < 1e-6);
        }
        for (count, p) in counts.iter().zip(probabilities(&LOGITS)) {
            assert!((f64::from(*count) / 1e5 - p).abs() < 0.006, "{counts:?}");
        }
    }

    #[test]
    fn mode_is_the_first_largest() {
        assert_eq!(mode(&LOGITS), 2);
        assert_eq!(mode(&[1.0, 1.0]), 0);
    }

    #[test]
    fn gradient_equals_the_finite_difference() {
        let (d_log_prob, d_entropy, choice) = (0.7, -0.3, 1);
        let loss = |logits: &[f32]| {
            let (log_probs, _, entropy) = softmax(logits);
            d_log_prob * log_probs[choice as usize] + d_entropy * entropy
        };
        let mut gradient = [0.0; 4];
        let (log_probs, probs, _) = softmax(&LOGITS);
        backward((&log_probs, &probs), choice, [d_log_prob, d_entropy], &mut gradient);
        let h = 1e-2;
        for i in 0..4 {
            let at = |shift: f32| {
                let mut shifted = LOGITS;
                shifted[i] += shift;
                loss(&shifted)
            };
            let numeric = (at(h) - at(-h)) / (2.0 * h);
            assert!((gradient[i] - numeric).abs() < 5e-4, "logit {i}: {} against {numeric}", gradient[i]);
        }
    }

    #[test]
    fn what_is_not_allowed_is_never_drawn_and_the_rest_is_as_without_it() {
        let mask = [false, true, true, false];
        let (mut log_probs, mut probs) = ([0.0; 4], [0.0; 4]);
        let entropy = log_softmax_masked(&LOGITS, &mask, &mut log_probs, &mut probs);
        let (mut few_log_probs, mut few) = ([0.0; 2], [0.0; 2]);
        let few_entropy = log_softmax(&LOGITS[1..3], &mut few_log_probs, &mut few);
        assert!((entropy - few_entropy).abs() < 1e-6);
        assert_eq!([probs[0], probs[3]], [0.0; 2]);
        probs[1..3].iter().zip(few).for_each(|(p, few)| assert!((p - few).abs() < 1e-6));
        for uniform in [0.0, 0.01, 0.5, 0.999_999_94] {
            let (choice, log_prob) = sample_masked(&LOGITS, &mask, uniform);
            assert!(mask[choice as usize] && (log_prob - log_probs[choice as usize]).abs() < 1e-5, "{uniform}");
        }
        assert_eq!(sample_masked(&LOGITS, &[false, false, false, true], 0.0).0, 3);
        assert_eq!((mode_masked(&LOGITS, &mask), mode_masked(&LOGITS, &[true, true, false, false])), (2, 0));
    }

    #[test]
    fn the_masked_gradient_equals_the_finite_difference() {
        let (mask, choice, weights) = ([true, false, true, true], 2u32, [0.7, -0.4]);
        let loss = |logits: &[f32]| {
            let (mut log_probs, mut probs) = ([0.0; 4], [0.0; 4]);
            let entropy = log_softmax_masked(logits, &mask, &mut log_probs, &mut probs);
            weights[0] * log_probs[choice as usize] + weights[1] * entropy
        };
        let (mut log_probs, mut probs, mut gradient) = ([0.0; 4], [0.0; 4], [f32::NAN; 4]);
        log_softmax_masked(&LOGITS, &mask, &mut log_probs, &mut probs);
        backward((&log_probs, &probs), choice, weights, &mut gradient);
        for i in 0..4 {
            let at = |shift: f32| {
                let mut logits = LOGITS;
                logits[i] += shift;
                loss(&logits)
            };
            let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((gradient[i] - numeric).abs() < 1e-3, "logit {i}: {} against {numeric}", gradient[i]);
        }
        assert_eq!(gradient[1], 0.0);
    }
}
