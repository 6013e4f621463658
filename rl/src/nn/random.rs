//! The seeded generator that sampling and shuffling draw from.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::math::{ln, sin_cos_turns, vectorized};

/// Pairs of normals made in one vectorised pass.
const BLOCK: usize = 32;

/// xoshiro256++ (Blackman & Vigna 2021): 0.7 ns a draw, period 2^256 - 1, state of 32 bytes that a checkpoint keeps.
///
/// The same seed and stream give the same numbers on every machine and thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// A generator for `stream` of `seed`: each part of a training run (learner, collector 0, collector 1, …) takes a
    /// stream of its own, so that adding one does not change the numbers of another.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mixed = splitmix(splitmix(seed) ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// Uniform 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), in steps of 2^-24.
    #[inline]
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in `0..bound`, with a bias below `bound` / 2^64 (Lemire's multiplication).
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Puts `items` into a uniformly random order (Fisher-Yates).
    pub fn shuffle(&mut self, items: &mut [u32]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Fills `out` with standard normal numbers (Box-Muller on 32-bit uniforms: |z| stays below 6.7).
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        for block in out.chunks_mut(2 * BLOCK) {
            self.fill_normal_block(block);
        }
    }

    fn fill_normal_block(&mut self, out: &mut [f32]) {
        let pairs = out.len().div_ceil(2);
        let mut draws = [0u64; BLOCK];
        draws[..pairs].fill_with(|| self.bits());
        let mut normals = [[0.0f32; BLOCK]; 2];
        vectorized(|| {
            for (i, draw) in draws.iter().enumerate() {
                (normals[0][i], normals[1][i]) = normal_pair(*draw);
            }
        });
        let (first, second) = out.split_at_mut(pairs);
        first.copy_from_slice(&normals[0][..pairs]);
        second.copy_from_slice(&normals[1][..second.len()]);
    }
}

/// Two independent standard normals from 64 uniform bits.
#[inline(always)]
fn normal_pair(draw: u64) -> (f32, f32) {
    // The half bit keeps the logarithm's argument above zero.
    let unit = ((draw >> 32) as u32 as f32 + 0.5) * (1.0 / 4_294_967_808.0);
    let turns = (draw as u32 >> 8) as f32 * (1.0 / 16_777_216.0);
    let radius = (-2.0 * ln(unit)).max(0.0).sqrt();
    let (sin, cos) = sin_cos_turns(turns);
    (radius * cos, radius * sin)
}

/// One step of SplitMix64 (Steele et al. 2014): spreads close seeds far apart.
fn splitmix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_moments_and_tails_of_a_normal() {
        let mut z = vec![0.0f32; 400_001];
        Random::new(7, 0).fill_normal(&mut z);
        let n = z.len() as f64;
        let moment = |power: i32| z.iter().map(|z| f64::from(*z).powi(power)).sum::<f64>() / n;
        assert!(moment(1).abs() < 0.006, "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.01, "variance {}", moment(2));
        assert!(moment(3).abs() < 0.02, "skew {}", moment(3));
        assert!((moment(4) - 3.0).abs() < 0.06, "kurtosis {}", moment(4));
        let beyond_3 = z.iter().filter(|z| z.abs() > 3.0).count() as f64 / n;
        assert!((beyond_3 - 0.0027).abs() < 0.0004, "tail {beyond_3}");
    }

    #[test]
    fn consecutive_normals_are_uncorrelated() {
        let mut z = vec![0.0f32; 100_000];
        Random::new(3, 1).fill_normal(&mut z);
        for lag in [1, 2, 32, 64] {
            let c = z.iter().zip(&z[lag..]).map(|(a, b)| f64::from(a * b)).sum::<f64>() / z.len() as f64;
            assert!(c.abs() < 0.015, "lag {lag}: {c}");
        }
    }

    #[test]
    fn same_seed_repeats_and_streams_differ() {
        let draw = |seed, stream| Random::new(seed, stream).bits();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
        assert_ne!(draw(0, 1), draw(1, 0));
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_uniform_at_its_ends() {
        let mut random = Random::new(5, 0);
        let mut first_counts = [0u32; 5];
        for _ in 0..10_000 {
            let mut items = [0, 1, 2, 3, 4];
            random.shuffle(&mut items);
            first_counts[items[0] as usize] += 1;
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3, 4]);
        }
        assert!(first_counts.iter().all(|c| (1_800..2_200).contains(c)), "{first_counts:?}");
    }
}
