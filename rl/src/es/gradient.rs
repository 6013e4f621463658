//! From weighted directions to a gradient.

use serde::{Deserialize, Serialize};

use super::tree::tree;
use crate::nn::math::vectorized;

/// Directions of one part of the sum, which one task makes.
const BLOCK: usize = 64;

/// Directions of the noise table with their weights: what a gradient is summed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Directions {
    /// Where each direction begins in the table.
    offsets: Vec<u64>,
    /// The weight of each.
    weights: Vec<f32>,
    /// Numbers of a direction.
    len: usize,
}

impl Directions {
    /// Directions of `len` numbers that begin at `offsets` (`[n]`), with `weights` (`[n]`).
    ///
    /// # Panics
    /// If there are not as many weights as offsets.
    pub fn new(offsets: Vec<u64>, weights: Vec<f32>, len: usize) -> Self {
        assert_eq!(offsets.len(), weights.len(), "weights of the directions");
        Self { offsets, weights, len }
    }

    /// Parts of the sum: see [`Directions::part`].
    pub fn parts(&self) -> usize {
        self.offsets.len().div_ceil(BLOCK)
    }

    /// The sum of weight times direction over part `part`, `[len]`. Parts hold the same directions wherever they are
    /// summed.
    ///
    /// # Panics
    /// If `noise` is shorter than a direction needs, or there is no such part.
    pub fn part(&self, noise: &[f32], part: usize) -> Vec<f32> {
        let range = part * BLOCK..self.offsets.len().min((part + 1) * BLOCK);
        let directions: Vec<(f32, &[f32])> = range
            .filter(|at| self.weights[*at] != 0.0)
            .map(|at| (self.weights[at], &noise[self.offsets[at] as usize..][..self.len]))
            .collect();
        let mut sum = vec![0.0; self.len];
        let (fours, rest) = directions.as_chunks::<4>();
        vectorized(|| {
            // Four at a time, so that the sum passes through memory a quarter as often.
            for [a, b, c, d] in fours {
                let columns = a.1.iter().zip(b.1).zip(c.1.iter().zip(d.1));
                for (sum, ((x, y), (z, w))) in sum.iter_mut().zip(columns) {
                    *sum += (a.0 * x + b.0 * y) + (c.0 * z + d.0 * w);
                }
            }
            for (weight, direction) in rest {
                sum.iter_mut().zip(*direction).for_each(|(sum, x)| *sum += weight * x);
            }
        });
        sum
    }

    /// The sum of weight times direction over all, `[len]`: the same bits as a tree of tasks makes of the parts.
    ///
    /// # Panics
    /// As [`Directions::part`].
    pub fn sum(&self, noise: &[f32]) -> Vec<f32> {
        let parts = (0..self.parts()).map(|part| self.part(noise, part)).collect();
        let sum = tree(parts, |group| {
            let mut group = group.into_iter();
            let mut sum = group.next().unwrap_or_default();
            group.for_each(|later| add(&mut sum, &later));
            sum
        });
        sum.unwrap_or_else(|| vec![0.0; self.len])
    }

    /// Multiplications that the sum takes.
    pub(super) fn work(&self) -> usize {
        self.offsets.len() * self.len
    }
}

/// Adds `later` to `sum`, element by element.
pub(super) fn add(sum: &mut [f32], later: &[f32]) {
    vectorized(move || sum.iter_mut().zip(later).for_each(|(sum, x)| *sum += x));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::es::noise::{RoundSeeds, noise_table};

    fn directions(count: u32, len: usize, table_len: usize) -> Directions {
        let seeds = RoundSeeds::new(1, 0);
        let offsets = (0..count).map(|pair| seeds.draws(pair, [len, table_len], 0.0).offset as u64).collect();
        Directions::new(offsets, (0..count).map(|i| (i as f32 * 0.7).sin()).collect(), len)
    }

    #[test]
    fn the_sum_is_that_of_a_plain_loop_in_double_precision() {
        let noise = noise_table(2, 5_000);
        for (count, len) in [(1, 7), (3, 33), (64, 5), (301, 129)] {
            let directions = directions(count, len, 5_000);
            for (at, sum) in directions.sum(noise.data()).iter().enumerate() {
                let terms = directions.offsets.iter().zip(&directions.weights);
                let plain: f64 =
                    terms.map(|(offset, w)| f64::from(*w) * f64::from(noise.data()[*offset as usize + at])).sum();
                assert!((f64::from(*sum) - plain).abs() < 1e-4, "{count} of {len}, {at}: {sum} against {plain}");
            }
        }
        assert_eq!(Directions::new(vec![], vec![], 3).sum(noise.data()), [0.0; 3]);
    }

    /// `E[(f(x + s e) - f(x - s e)) e / (2 s)]` is the gradient of a quadratic `f` exactly, for any `s`.
    #[test]
    fn antithetic_directions_estimate_the_gradient_of_a_quadratic() {
        const LEN: usize = 6;
        let (sigma, pairs) = (0.5f32, 40_000u32);
        let noise = noise_table(9, 1 << 20);
        let f = |x: &[f32]| -> f32 { x.iter().enumerate().map(|(i, x)| -(i as f32 + 1.0) * (x - 1.0).powi(2)).sum() };
        let at = [0.5f32, -0.25, 1.0, 2.0, 0.0, 1.5];
        let seeds = RoundSeeds::new(1, 0);
        let (mut offsets, mut weights) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            let offset = seeds.draws(pair, [LEN, 1 << 20], 0.0).offset;
            let side = |sign: f32| -> Vec<f32> {
                at.iter().zip(&noise.data()[offset..]).map(|(x, e)| x + sign * sigma * e).collect()
            };
            offsets.push(offset as u64);
            weights.push((f(&side(1.0)) - f(&side(-1.0))) / (2.0 * sigma) / pairs as f32);
        }
        let estimate = Directions::new(offsets, weights, LEN).sum(noise.data());
        for (i, (estimate, x)) in estimate.iter().zip(at).enumerate() {
            let gradient = -2.0 * (i as f32 + 1.0) * (x - 1.0);
            // The gradient's norm is 15.5, so an estimate from so many pairs has a deviation of 0.08.
            assert!((estimate - gradient).abs() < 0.4, "{i}: {estimate} against {gradient}");
        }
    }
}
