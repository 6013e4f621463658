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
}
