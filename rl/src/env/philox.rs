//! Random numbers that are a function of who draws them.

use std::f64::consts::TAU;

/// The random numbers of one environment: draw number `i` of the stream `(seed, index)` is a function of these three
/// alone, so no two environments share numbers and it doesn't matter who else draws.
///
/// They are not the numbers that NumPy gives for the same seed.
///
/// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11: Philox4x32-10, with the seed as key
/// and (draw, index) as counter.
#[derive(Clone, Debug)]
pub struct Stream {
    seed: u64,
    index: u64,
    draw: u64,
}

impl Stream {
    /// The stream of environment `index` under `seed`, at its beginning.
    pub fn new(seed: u64, index: u64) -> Self {
        Self { seed, index, draw: 0 }
    }

    /// 128 random bits.
    pub fn words(&mut self) -> [u32; 4] {
        self.draw += 1;
        words_at(self.seed, self.index, self.draw)
    }

    /// A number from `low` up to but without `high`, of 53 random bits.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        let [a, b, ..] = self.words();
        let unit = ((u64::from(a) << 21) ^ u64::from(b >> 11)) as f64 / (1u64 << 53) as f64;
        low + (high - low) * unit
    }

    /// A number of the standard normal distribution.
    ///
    /// Source: Box & Muller 1958.
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.uniform(0.0, 1.0), self.uniform(0.0, TAU));
        (-2.0 * (1.0 - radius).ln()).sqrt() * angle.cos()
    }
}

/// The seed that stands for environment `index` under `seed` where an environment takes one seed and no index.
pub fn instance_seed(seed: u64, index: u64) -> u64 {
    let [a, b, ..] = words_at(seed, index, u64::MAX);
    u64::from(a) << 32 | u64::from(b)
}

/// Draw number `draw` of the stream `(seed, index)`.
pub(super) fn words_at(seed: u64, index: u64, draw: u64) -> [u32; 4] {
    philox(halves(seed), [halves(draw), halves(index)])
}

/// A number from `low` up to but without `high`, of the upper 24 bits of a word.
#[inline(always)]
pub(super) fn uniform_f32(word: u32, low: f32, high: f32) -> f32 {
    low + (high - low) * ((word >> 8) as i32 as f32 * (1.0 / (1 << 24) as f32))
}

fn philox(mut key: [u32; 2], counter: [[u32; 2]; 2]) -> [u32; 4] {
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    const MULTIPLIER: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    let [[mut c0, mut c1], [mut c2, mut c3]] = counter;
    for _ in 0..10 {
        let [low_0, high_0] = halves(MULTIPLIER[0] * u64::from(c0));
        let [low_1, high_1] = halves(MULTIPLIER[1] * u64::from(c2));
        (c0, c1, c2, c3) = (high_1 ^ c1 ^ key[0], low_1, high_0 ^ c3 ^ key[1], low_0);
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    [c0, c1, c2, c3]
}

/// Lower half first.
fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: the known answers that come with the authors' Random123.
    #[test]
    fn philox_gives_the_published_answers() {
        let zeros = philox([0; 2], [[0; 2]; 2]);
        assert_eq!(zeros, [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]);
        let ones = philox([u32::MAX; 2], [[u32::MAX; 2]; 2]);
        assert_eq!(ones, [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]);
        let digits_of_pi = philox([0xA409_3822, 0x299F_31D0], [[0x243F_6A88, 0x85A3_08D3], [0x1319_8A2E, 0x0370_7344]]);
        assert_eq!(digits_of_pi, [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1]);
    }

    #[test]
    fn uniform_numbers_fill_their_range() {
        let mut stream = Stream::new(3, 5);
        let drawn: Vec<f64> = (0..10_000).map(|_| stream.uniform(-2.0, 6.0)).collect();
        assert!(drawn.iter().all(|value| (-2.0..6.0).contains(value)));
        let mean = drawn.iter().sum::<f64>() / 10_000.0;
        let variance = drawn.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 10_000.0;
        assert!((mean - 2.0).abs() < 0.1, "{mean}");
        assert!((variance - 64.0 / 12.0).abs() < 0.15, "{variance}");
        assert_eq!(uniform_f32(0, -2.0, 6.0), -2.0);
        assert!((5.999..6.0).contains(&uniform_f32(u32::MAX, -2.0, 6.0)));
    }

    #[test]
    fn normal_numbers_have_the_moments_of_their_distribution() {
        let mut stream = Stream::new(4, 0);
        let drawn: Vec<f64> = (0..40_000).map(|_| stream.normal()).collect();
        let moment = |power: i32| drawn.iter().map(|value| value.powi(power)).sum::<f64>() / 40_000.0;
        for (power, expected, tolerance) in [(1, 0.0, 0.02), (2, 1.0, 0.03), (3, 0.0, 0.08), (4, 3.0, 0.25)] {
            assert!((moment(power) - expected).abs() < tolerance, "moment {power}: {}", moment(power));
        }
    }

    #[test]
    fn streams_differ_in_seed_index_and_draw() {
        let mut stream = Stream::new(1, 2);
        let first = stream.words();
        assert_ne!(first, stream.words());
        assert_ne!(first, Stream::new(2, 2).words());
        assert_ne!(first, Stream::new(1, 3).words());
        assert_eq!(first, Stream::new(1, 2).words());
        assert_ne!(instance_seed(1, 2), instance_seed(1, 3));
        assert_ne!(instance_seed(1, 2), instance_seed(2, 2));
    }
}
