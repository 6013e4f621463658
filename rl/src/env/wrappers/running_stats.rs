//! Mean and variance of what streams by.

use serde::{Deserialize, Serialize};

/// Weight of the first guess, a mean of 0 and a variance of 1, in observations.
const PRIOR: f64 = 1e-4;

/// Mean and variance of vectors, updated batch by batch, in double precision.
///
/// Source: Chan, Golub & LeVeque 1979; the first guess is that of Gymnasium's and Stable-Baselines3's `RunningMeanStd`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningStats {
    mean: Vec<f64>,
    variance: Vec<f64>,
    count: f64,
}

impl RunningStats {
    /// Of vectors `[len]`, none seen.
    pub fn new(len: usize) -> Self {
        Self { mean: vec![0.0; len], variance: vec![1.0; len], count: PRIOR }
    }

    /// Of vectors `[len]`, none seen and without a first guess: a part of what is seen, on its way to other statistics. With
    /// a guess in each part, vectors far from 0 would seem to vary more than they do.
    pub(crate) fn part(len: usize) -> Self {
        Self { count: 0.0, ..Self::new(len) }
    }

    /// Sees vectors, `[rows, len]` row-major.
    ///
    /// # Panics
    /// If the numbers are no whole rows.
    pub fn update(&mut self, rows: &[f32]) {
        let len = self.mean.len();
        assert!(rows.len().is_multiple_of(len), "{} numbers in rows of {len}", rows.len());
        let count = (rows.len() / len) as f64;
        if count == 0.0 {
            return;
        }
        let (mut mean, mut variance) = (vec![0.0; len], vec![0.0; len]);
        for row in rows.chunks_exact(len) {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        for row in rows.chunks_exact(len) {
            let deviations = row.iter().zip(&mean).map(|(value, mean)| f64::from(*value) - mean);
            variance.iter_mut().zip(deviations).for_each(|(sum, deviation)| *sum += deviation * deviation);
        }
        variance.iter_mut().for_each(|sum| *sum /= count);
        self.add(&Self { mean, variance, count });
    }

    /// Adds what other statistics have seen: those of another simulator, say. The first guess of both counts, which
    /// weighs a ten-thousandth of an observation.
    ///
    /// # Panics
    /// If they are of vectors of another length.
    pub fn add(&mut self, other: &Self) {
        assert_eq!(other.len(), self.len(), "numbers in the other statistics");
        let count = self.count + other.count;
        for at in 0..self.len() {
            let delta = other.mean[at] - self.mean[at];
            let squares = self.variance[at] * self.count + other.variance[at] * other.count;
            let between = delta * delta * self.count * other.count / count;
            self.mean[at] += delta * other.count / count;
            self.variance[at] = (squares + between) / count;
        }
        self.count = count;
    }

    /// Numbers of a vector.
    pub fn len(&self) -> usize {
        self.mean.len()
    }

    /// Whether the vectors have no numbers.
    pub fn is_empty(&self) -> bool {
        self.mean.is_empty()
    }

    /// Means, `[len]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Variances, divided by the count and not by one less, `[len]`.
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// Vectors seen, and the weight of the first guess.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// Whether lengths agree and the numbers are those of statistics: they may come from a file.
    pub(crate) fn is_sound(&self) -> bool {
        let is_number = |value: &f64| value.is_finite();
        self.variance.len() == self.len()
            && self.mean.iter().all(is_number)
            && self.variance.iter().all(|value| is_number(value) && *value >= 0.0)
            && self.count.is_finite()
            && self.count > 0.0
    }
}
