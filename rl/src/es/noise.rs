//! The noise that all share, and who takes which part of it.

use rayline::{Buf, Tensor};

use crate::nn::Random;

/// Stream of the generator that fills the table; rounds take those from 0 up.
const TABLE_STREAM: u64 = u64::MAX;
/// Stream of the generator that makes the first parameters.
pub(super) const PARAMETERS_STREAM: u64 = u64::MAX - 1;

/// `len` standard normal numbers, a function of `seed` alone: made once, and read in place by all who perturb.
///
/// Directions are slices of it that may overlap; with a table many times as long as a direction that does no harm
/// (Salimans et al. 2017, section 2.1).
pub fn noise_table(seed: u64, len: usize) -> Tensor<f32> {
    let mut numbers = vec![0.0; len];
    Random::new(seed, TABLE_STREAM).fill_normal(&mut numbers);
    Tensor::from(Buf::from(numbers))
}

/// Where the random numbers of one round come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoundSeeds {
    pairs: u64,
    /// Seed of the environments in which pairs are tried.
    pub envs: u64,
    /// Seed of the environments in which the policy is evaluated after the round.
    pub evaluation: u64,
}

/// The random numbers of one pair.
#[derive(Clone, Debug)]
pub(super) struct PairDraws {
    /// Where its direction begins in the table.
    pub offset: usize,
    /// Whether what it observes goes into the statistics.
    pub is_observed: bool,
    /// The noise of its actions, on the positive and on the negative side.
    pub action_noise: [Random; 2],
}

impl RoundSeeds {
    pub fn new(seed: u64, round: u64) -> Self {
        let mut random = Random::new(seed, round);
        Self { pairs: random.bits(), envs: random.bits(), evaluation: random.bits() }
    }

    /// The draws of the pair at place `pair` of the round: a direction of `direction_len` numbers from a table of
    /// `table_len`, observed with probability `observed_share`.
    pub fn draws(&self, pair: u32, [direction_len, table_len]: [usize; 2], observed_share: f32) -> PairDraws {
        let mut random = Random::new(self.pairs, pair.into());
        let offset = random.below(table_len - direction_len + 1);
        let is_observed = random.uniform() < observed_share;
        let key = random.bits();
        PairDraws { offset, is_observed, action_noise: [0, 1].map(|side| Random::new(key, side)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_function_of_its_seed() {
        let table = noise_table(3, 1000);
        assert_eq!(table, noise_table(3, 1000));
        assert_ne!(table, noise_table(4, 1000));
        assert_eq!(table.shape(), [1000]);
    }

    #[test]
    fn draws_differ_by_pair_round_and_seed_and_stay_in_the_table() {
        let offset = |seed, round, pair| RoundSeeds::new(seed, round).draws(pair, [10, 1 << 20], 0.5).offset;
        assert_eq!(offset(1, 2, 3), offset(1, 2, 3));
        let others = [offset(2, 2, 3), offset(1, 3, 3), offset(1, 2, 4)];
        assert!(!others.contains(&offset(1, 2, 3)));
        let seeds = RoundSeeds::new(5, 0);
        let offsets: Vec<_> = (0..200).map(|pair| seeds.draws(pair, [10, 14], 0.5).offset).collect();
        assert!((0..=4).all(|offset| offsets.contains(&offset)) && offsets.iter().all(|offset| *offset <= 4));
    }

    #[test]
    fn about_the_share_asked_for_is_observed_and_sides_have_their_own_noise() {
        let seeds = RoundSeeds::new(5, 1);
        let observed = |share| (0..2_000).filter(|pair| seeds.draws(*pair, [1, 1], share).is_observed).count();
        assert_eq!((observed(0.0), observed(1.0)), (0, 2_000));
        assert!((150..250).contains(&observed(0.1)), "{}", observed(0.1));
        let [mut positive, mut negative] = seeds.draws(0, [1, 1], 0.0).action_noise;
        assert_ne!(positive.bits(), negative.bits());
    }
}
