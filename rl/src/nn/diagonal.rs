//! Gaussians whose deviations may follow the state, and whose actions may be squashed into bounds.

use serde::{Deserialize, Serialize};

use super::math::{exp, ln, tanh};

/// `ln(2 pi) / 2`.
const HALF_LN_TAU: f32 = 0.918_938_5;
/// Where a log standard deviation that a network gives is held; outside, it has no gradient. As in soft actor-critic
/// (Haarnoja et al. 2018).
const LOG_STD_MIN: f32 = -20.0;
const LOG_STD_MAX: f32 = 2.0;
/// Nodes and weights of the Gauss-Hermite quadrature of degree 7 for a standard normal.
const NODES: [(f32, f32); 7] = [
    (0.0, 0.457_142_86),
    (1.154_405_4, 0.240_123_18),
    (-1.154_405_4, 0.240_123_18),
    (2.366_759_4, 0.030_757_124),
    (-2.366_759_4, 0.030_757_124),
    (3.750_439_7, 0.000_548_268_87),
    (-3.750_439_7, 0.000_548_268_87),
];

/// Independent Gaussian dimensions in their general form; [`ActionHead::Gaussian`](super::ActionHead::Gaussian) is the
/// plain one.
///
/// With bounds, the action done is `low + (high - low) (tanh(u) + 1) / 2` of the Gaussian `u`, and its log-density that
/// of `u` less `ln |da / du|`. Rollouts keep `u`, from which all can be had without loss: near a bound, `u` can't be
/// told from the action. The entropy of the squashed distribution has no closed form; it is that of the Gaussian plus
/// the mean of `ln |da / du|`, by quadrature, so that it is as repeatable and smooth as all else.
///
/// Source: Haarnoja et al. 2018, appendix C.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiagonalGaussian {
    /// Number of dimensions.
    pub dims: usize,
    /// Where standard deviations come from. Where from the state, the outputs are the means and then the log standard
    /// deviations.
    pub std: StdSource,
    /// What actions are squashed into; `None` for no squash.
    pub bounds: Option<Bounds>,
}

/// Where the standard deviations of a Gaussian policy come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdSource {
    /// Parameters beside the network, the same in all states (Huang et al. 2022, continuous detail 2).
    #[default]
    Parameter,
    /// The network, for each state; its logarithm is held between -20 and 2.
    State,
}

/// What actions are squashed into, `[dims]` each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Least values.
    pub low: Vec<f32>,
    /// Greatest values.
    pub high: Vec<f32>,
}

/// Where one row's evaluation goes, `[2, dims]` each.
pub(super) struct RowScratch<'a> {
    /// Standardised actions, then the log standard deviations.
    pub z: &'a mut [f32],
    /// Slopes of the entropy by the means, then by the log standard deviations.
    pub slopes: &'a mut [f32],
}

impl Bounds {
    /// Whether there is a finite way from each lower bound to its upper bound.
    pub(super) fn is_finite(&self) -> bool {
        self.low.iter().zip(&self.high).all(|(low, high)| (high - low).is_finite() && high > low)
    }

    /// Half the width of dimension `i`.
    fn half(&self, i: usize) -> f32 {
        0.5 * (self.high[i] - self.low[i])
    }
}

impl DiagonalGaussian {
    /// Number of network outputs.
    pub(super) fn outputs(&self) -> usize {
        match self.std {
            StdSource::Parameter => self.dims,
            StdSource::State => 2 * self.dims,
        }
    }

    /// How many log standard deviations are learned besides the network.
    pub(super) fn log_std_count(&self) -> usize {
        match self.std {
            StdSource::Parameter => self.dims,
            StdSource::State => 0,
        }
    }

    /// Turns actions before the squash, `[rows, dims]`, into those that are done.
    pub(super) fn squash(&self, actions: &mut [f32]) {
        let Some(bounds) = &self.bounds else { return };
        for row in actions.chunks_exact_mut(self.dims) {
            for (i, a) in row.iter_mut().enumerate() {
                // Rounding may not lead out of the bounds.
                let squashed = bounds.low[i] + bounds.half(i) * (tanh(*a) + 1.0);
                *a = squashed.clamp(bounds.low[i], bounds.high[i]);
            }
        }
    }

    /// Turns standard normals in `action` (`[dims]`) into a sample before the squash; returns the log-density of what
    /// it is squashed into.
    pub(super) fn sample(&self, outputs: &[f32], log_std: &[f32], action: &mut [f32]) -> f32 {
        let mut sum = 0.0;
        for (i, a) in action.iter_mut().enumerate() {
            let s = self.log_std(outputs, log_std, i);
            sum -= 0.5 * *a * *a + s + HALF_LN_TAU;
            *a = outputs[i] + exp(s) * *a;
            sum -= self.log_slope(*a, i);
        }
        sum
    }

    /// `[log-density, entropy]` of one row; leaves in `scratch` what [`DiagonalGaussian::backward`] needs.
    pub(super) fn evaluate(
        &self,
        outputs: &[f32],
        log_std: &[f32],
        action: &[f32],
        scratch: RowScratch<'_>,
    ) -> [f32; 2] {
        let mut totals = [0.0; 2];
        for i in 0..self.dims {
            let (mean, s) = (outputs[i], self.log_std(outputs, log_std, i));
            let z = (action[i] - mean) * exp(-s);
            totals[0] -= 0.5 * z * z + s + HALF_LN_TAU + self.log_slope(action[i], i);
            let [squash, by_mean, by_log_std] = self.mean_log_slope(mean, s, i);
            totals[1] += s + 0.5 + HALF_LN_TAU + squash;
            (scratch.z[i], scratch.z[self.dims + i]) = (z, s);
            (scratch.slopes[i], scratch.slopes[self.dims + i]) = (by_mean, 1.0 + by_log_std);
        }
        totals
    }

    /// Gradient of `d_log_prob * log p + d_entropy * H` of one row by the outputs, written to `gradient`, and by the
    /// log standard deviations beside the network, added to `log_std_gradient`.
    pub(super) fn backward(
        &self,
        (z, slopes): (&[f32], &[f32]),
        [d_log_prob, d_entropy]: [f32; 2],
        (gradient, log_std_gradient): (&mut [f32], &mut [f32]),
    ) {
        for i in 0..self.dims {
            let (z, s) = (z[i], z[self.dims + i]);
            gradient[i] = d_log_prob * z * exp(-s) + d_entropy * slopes[i];
            let by_log_std = d_log_prob * (z * z - 1.0) + d_entropy * slopes[self.dims + i];
            match self.std {
                StdSource::Parameter => log_std_gradient[i] += by_log_std,
                StdSource::State => {
                    let is_held = s <= LOG_STD_MIN || s >= LOG_STD_MAX;
                    gradient[self.dims + i] = if is_held { 0.0 } else { by_log_std };
                }
            }
        }
    }

    /// Log standard deviation of dimension `i`.
    fn log_std(&self, outputs: &[f32], log_std: &[f32], i: usize) -> f32 {
        match self.std {
            StdSource::Parameter => log_std[i],
            StdSource::State => outputs[self.dims + i].clamp(LOG_STD_MIN, LOG_STD_MAX),
        }
    }

    /// `ln |da / du|` of dimension `i` at `u`; 0 without a squash.
    fn log_slope(&self, u: f32, i: usize) -> f32 {
        self.bounds.as_ref().map_or(0.0, |bounds| ln_tanh_slope(u) + bounds.half(i).ln())
    }

    /// Mean of `ln |da / du|` for `u` of this mean and log standard deviation, and its slopes by the two.
    fn mean_log_slope(&self, mean: f32, log_std: f32, i: usize) -> [f32; 3] {
        let Some(bounds) = &self.bounds else { return [0.0; 3] };
        let (std, mut out) = (exp(log_std), [bounds.half(i).ln(), 0.0, 0.0]);
        for (node, weight) in NODES {
            let u = mean + std * node;
            let slope = -2.0 * weight * tanh(u);
            out[0] += weight * ln_tanh_slope(u);
            out[1] += slope;
            out[2] += slope * std * node;
        }
        out
    }
}

/// `ln(1 - tanh(u)^2)`, without loss where `tanh(u)` is near 1.
fn ln_tanh_slope(u: f32) -> f32 {
    let u = u.abs();
    2.0 * (std::f32::consts::LN_2 - u - ln(1.0 + exp(-2.0 * u)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squashed(std: StdSource) -> DiagonalGaussian {
        DiagonalGaussian { dims: 1, std, bounds: Some(Bounds { low: vec![-2.0], high: vec![6.0] }) }
    }

    /// Density of the action `a` in double precision, by the change of variables.
    fn density(a: f64, mean: f64, std: f64) -> f64 {
        let y = (a - 2.0) / 4.0;
        let u = y.atanh();
        let gaussian = (-(u - mean).powi(2) / (2.0 * std * std)).exp() / (std * std::f64::consts::TAU.sqrt());
        gaussian / (4.0 * (1.0 - y * y))
    }

    #[test]
    fn log_density_and_entropy_of_squashed_actions_are_those_of_the_change_of_variables() {
        let head = squashed(StdSource::Parameter);
        for (mean, log_std) in [(0.3f32, -0.5f32), (-1.0, 0.0), (0.0, -2.0)] {
            let std = f64::from(log_std).exp();
            let (mut total, mut entropy) = (0.0, 0.0);
            let cells = 200_000;
            for cell in 0..cells {
                let a = -2.0 + 8.0 * (f64::from(cell) + 0.5) / f64::from(cells);
                let p = density(a, f64::from(mean), std);
                total += p * 8.0 / f64::from(cells);
                entropy -= if p > 0.0 { p * p.ln() * 8.0 / f64::from(cells) } else { 0.0 };
            }
            assert!((total - 1.0).abs() < 1e-3, "a density: {total}");
            let u = mean + 0.4;
            let (mut z, mut slopes) = ([0.0; 2], [0.0; 2]);
            let scratch = RowScratch { z: &mut z, slopes: &mut slopes };
            let [log_prob, found] = head.evaluate(&[mean], &[log_std], &[u], scratch);
            let mut action = [u];
            head.squash(&mut action);
            let want = density(f64::from(action[0]), f64::from(mean), std).ln();
            assert!((f64::from(log_prob) - want).abs() < 1e-3, "{log_prob} against {want}");
            assert!((f64::from(found) - entropy).abs() < 2e-2, "entropy {found} against {entropy}");
        }
    }

    #[test]
    fn squashed_actions_stay_within_their_bounds() {
        let mut actions = [-50.0, 0.0, 50.0, f32::INFINITY];
        squashed(StdSource::Parameter).squash(&mut actions);
        assert_eq!(actions, [-2.0, 2.0, 6.0, 6.0]);
    }

    #[test]
    fn a_held_deviation_has_no_gradient() {
        let head = squashed(StdSource::State);
        for (raw, is_held) in [(5.0, true), (0.0, false), (-30.0, true)] {
            let (mut z, mut slopes, mut gradient) = ([0.0; 2], [0.0; 2], [0.0; 2]);
            let action = [exp(f32::clamp(raw, LOG_STD_MIN, LOG_STD_MAX)) * 0.5];
            let scratch = RowScratch { z: &mut z, slopes: &mut slopes };
            let [log_prob, _] = head.evaluate(&[0.0, raw], &[], &action, scratch);
            assert!(log_prob.is_finite());
            head.backward((&z, &slopes), [1.0, 0.5], (&mut gradient, &mut []));
            assert_eq!(gradient[1] == 0.0, is_held, "{raw}: {gradient:?}");
        }
    }

    #[test]
    fn the_slope_of_tanh_keeps_its_precision_far_out() {
        for u in [0.0f32, 0.5, -3.0, 8.0, -20.0, 40.0] {
            let x = f64::from(u);
            let want = 2.0 * (std::f64::consts::LN_2 - x.abs() - (-2.0 * x.abs()).exp().ln_1p());
            assert!((f64::from(ln_tanh_slope(u)) - want).abs() < 1e-5 * (1.0 + want.abs()), "{u}");
        }
    }
}
