//! Elementary functions without branches, so that a loop over them vectorises.
//!
//! libm's scalar `tanh` takes 6-16 ns an element and would cost more than the matrix products around it; these take
//! 0.2 ns in a vectorised loop. Coefficients: `tanh` is the rational minimax approximation that Eigen uses
//! (`generic_fast_tanh_float`); the others are Cephes' (`expf`, `logf`, `sinf`, `cosf`), by S. Moshier.
//! No fused multiply-add is asked for: without the instruction it would be a call, and results would differ by machine.

/// Runs `loop_body` compiled for the widest vectors that this machine has (AVX-512, AVX2, or the target's baseline).
///
/// Worth its few nanoseconds from about 32 elements on.
#[inline(always)]
pub(crate) fn vectorized<R>(loop_body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(loop_body)
}

/// Adding and subtracting this rounds an `f32` of magnitude below 2^22 to the nearest whole number.
const ROUND: f32 = 12_582_912.0;
const ROUND_BITS: u32 = ROUND.to_bits();

/// Hyperbolic tangent; absolute error below 4e-7 everywhere. NaN stays NaN.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let x2 = x * x;
    let p = 2.000_188e-13 + x2 * -2.760_768_4e-16;
    let p = -8.604_672e-11 + x2 * p;
    let p = 5.122_297e-8 + x2 * p;
    let p = 1.485_722_4e-5 + x2 * p;
    let p = 6.372_619_4e-4 + x2 * p;
    let p = 4.893_524_6e-3 + x2 * p;
    let q = 1.185_347_1e-4 + x2 * 1.198_258_4e-6;
    let q = 2.268_434_6e-3 + x2 * q;
    let q = 4.893_525_3e-3 + x2 * q;
    x * p / q
}

/// `e^x`; relative error below 3e-7 for `x` in [-87, 88], to which `x` is clamped. NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.398_2e-3 + r * 1.987_569_1e-4;
    let p = 8.333_452e-3 + r * p;
    let p = 4.166_579_6e-2 + r * p;
    let p = 1.666_666_5e-1 + r * p;
    let p = 0.5 + r * p;
    let power_of_two = f32::from_bits(rounded.to_bits().wrapping_sub(ROUND_BITS).wrapping_add(127) << 23);
    (1.0 + r + r * r * p) * power_of_two
}

/// Natural logarithm of a positive, normal `x`; error below 2e-7 + 2e-7 |ln x|. Other inputs give no meaningful value.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    let exponent = (x.to_bits().wrapping_sub(SQRT_HALF_BITS) as i32) >> 23;
    let m = f32::from_bits(x.to_bits().wrapping_sub((exponent as u32) << 23)) - 1.0;
    let e = exponent as f32;
    let m2 = m * m;
    let p = -1.151_461e-1 + m * 7.037_684e-2;
    let p = 1.167_699_9e-1 + m * p;
    let p = -1.242_014_1e-1 + m * p;
    let p = 1.424_932_3e-1 + m * p;
    let p = -1.666_805_8e-1 + m * p;
    let p = 2.000_071_5e-1 + m * p;
    let p = -2.499_999_4e-1 + m * p;
    let p = 3.333_333e-1 + m * p;
    m + (m * m2 * p - 0.5 * m2 + e * -2.121_944_4e-4) + e * 0.693_359_4
}

/// Sine and cosine of `turns` whole turns (2 pi each), for `turns` in [0, 1]; absolute error below 2e-7.
#[inline(always)]
pub fn sin_cos_turns(turns: f32) -> (f32, f32) {
    let rounded = turns * 4.0 + ROUND;
    let quadrant = rounded.to_bits().wrapping_sub(ROUND_BITS);
    let x = (turns - (rounded - ROUND) * 0.25) * std::f32::consts::TAU;
    let z = x * x;
    let s = x + x * z * (-1.666_665_5e-1 + z * (8.332_161e-3 + z * -1.951_529_6e-4));
    let c = 1.0 - 0.5 * z + z * z * (4.166_664_6e-2 + z * (-1.388_731_6e-3 + z * 2.443_315_7e-5));
    let (sin, cos) = if quadrant & 1 == 1 { (c, s) } else { (s, c) };
    let sign = |v: f32, negative: u32| f32::from_bits(v.to_bits() ^ (negative << 31));
    (sign(sin, (quadrant >> 1) & 1), sign(cos, (quadrant.wrapping_add(1) >> 1) & 1))
}

/// Sum of products of `a` and `b`, over the shorter of the two, in sixteen partial sums.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<16>();
    let (b_blocks, b_rest) = b.as_chunks::<16>();
    let mut lanes = [0.0f32; 16];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..16 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest value of `error` over `n` points spread evenly from `low` to `high`.
    fn worst(low: f32, high: f32, error: impl Fn(f32) -> f64) -> f64 {
        let n = 200_000;
        (0..=n).map(|i| error(low + (high - low) * i as f32 / n as f32)).fold(0.0, f64::max)
    }

    #[test]
    fn tanh_is_within_its_stated_error() {
        let error = |x: f32| (f64::from(tanh(x)) - f64::from(x).tanh()).abs();
        assert!(worst(-12.0, 12.0, error) < 4e-7, "{}", worst(-12.0, 12.0, error));
        assert!(tanh(f32::INFINITY) <= 1.0 + 1e-6 && tanh(f32::NAN).is_nan());
    }

    #[test]
    fn exp_is_within_its_stated_error() {
        let error = |x: f32| (f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs();
        assert!(worst(-87.0, 88.0, error) < 3e-7, "{}", worst(-87.0, 88.0, error));
        assert!(worst(-0.3, 0.3, error) < 3e-7);
        assert!(exp(-1000.0) > 0.0 && exp(1000.0).is_finite() && exp(f32::NAN).is_nan());
    }

    #[test]
    fn ln_is_within_its_stated_error() {
        let error = |x: f32| {
            let want = f64::from(x).ln();
            (f64::from(ln(x)) - want).abs() / (1.0 + want.abs())
        };
        assert!(worst(1e-6, 4.0, error) < 2e-7, "{}", worst(1e-6, 4.0, error));
        assert!(worst(1.0, 1e9, error) < 2e-7);
        assert!(error(f32::MIN_POSITIVE) < 2e-7);
    }

    #[test]
    fn sine_and_cosine_are_within_their_stated_error() {
        let error = |turns: f32| {
            let (sin, cos) = sin_cos_turns(turns);
            let angle = f64::from(turns) * std::f64::consts::TAU;
            (f64::from(sin) - angle.sin()).abs().max((f64::from(cos) - angle.cos()).abs())
        };
        assert!(worst(0.0, 1.0, error) < 2e-7, "{}", worst(0.0, 1.0, error));
    }

    #[test]
    fn dot_covers_whole_blocks_and_the_rest() {
        let a: Vec<f32> = (0..37).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &a), (0..37).map(|i| i * i).sum::<i32>() as f32);
    }
}
