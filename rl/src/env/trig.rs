//! Sine and cosine in single precision, without branches or calls, so that loops over them become vector instructions.
//!
//! No fused multiply-add: results are the same bits on every machine.

use std::f32::consts::{FRAC_1_PI, FRAC_2_PI};

/// Half of pi in three parts: the first two have so few bits that their products with a quadrant number are exact.
const HALF_PI: [f32; 3] = [201.0 / 128.0, 8117.0 / 16_777_216.0, 1.589_325_5e-8];
/// Adding it rounds to the nearest integer, which then lies in the lowest bits.
const ROUNDER: f32 = 12_582_912.0;

/// Sine and cosine of `x` radians, each within 1.2e-7, for `x` between -1000 and 1000.
///
/// Polynomials (interpolated at Chebyshev nodes) over a quarter turn around the nearest multiple of pi/2; then swapped
/// and signed by quadrant.
#[inline(always)]
pub(super) fn sin_cos(x: f32) -> (f32, f32) {
    let rounded = x * FRAC_2_PI + ROUNDER;
    let quadrant = rounded.to_bits();
    let turns = rounded - ROUNDER;
    let r = ((x - turns * HALF_PI[0]) - turns * HALF_PI[1]) - turns * HALF_PI[2];
    let z = r * r;
    let sin = r + r * z * (-0.166_666_64 + z * (0.008_332_746 + z * -0.000_195_874_47));
    let cos = 1.0 - 0.5 * z + z * z * (0.041_666_664 + z * (-0.001_388_830_1 + z * 2.454_748_8e-5));
    let (first, second) = if quadrant & 1 == 0 { (sin, cos) } else { (cos, sin) };
    (negated_if(first, quadrant & 2), negated_if(second, quadrant.wrapping_add(1) & 2))
}

/// Sine and cosine of `x` radians, each within 1e-7, for `x` between -0.5 and 0.5.
#[inline(always)]
pub(super) fn sin_cos_small(x: f32) -> (f32, f32) {
    let z = x * x;
    let sin = x + x * z * (-1.0 / 6.0 + z * (1.0 / 120.0 + z * (-1.0 / 5040.0)));
    let cos = 1.0 - 0.5 * z + z * z * (1.0 / 24.0 + z * (-1.0 / 720.0 + z * (1.0 / 40_320.0)));
    (sin, cos)
}

/// The same angle within half a turn, for `x` radians between -1000 and 1000.
#[inline(always)]
pub(super) fn wrapped(x: f32) -> f32 {
    let turns = (x * (0.5 * FRAC_1_PI) + ROUNDER) - ROUNDER;
    ((x - turns * (4.0 * HALF_PI[0])) - turns * (4.0 * HALF_PI[1])) - turns * (4.0 * HALF_PI[2])
}

/// `x`, or `-x` if the second bit is set; `bit` is 0 or 2.
#[inline(always)]
fn negated_if(x: f32, bit: u32) -> f32 {
    f32::from_bits(x.to_bits() ^ (bit << 30))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{PI, TAU};

    use super::*;

    fn worst(range: f32, tried: fn(f32) -> (f32, f32)) -> f64 {
        let points = (-100_000..=100_000).map(|at| at as f32 / 100_000.0 * range);
        let error = |x: f32| {
            let (sin, cos) = tried(x);
            let (exact_sin, exact_cos) = f64::from(x).sin_cos();
            (f64::from(sin) - exact_sin).abs().max((f64::from(cos) - exact_cos).abs())
        };
        points.map(error).fold(0.0, f64::max)
    }

    #[test]
    fn sines_are_as_near_as_promised() {
        for range in [1.0, 4.0, 30.0, 1000.0] {
            let error = worst(range, sin_cos);
            assert!(error < 1.2e-7, "{error:e} up to {range}");
        }
    }

    #[test]
    fn small_sines_are_as_near_as_promised() {
        let error = worst(0.5, sin_cos_small);
        assert!(error < 1e-7, "{error:e}");
    }

    #[test]
    fn wrapped_angles_are_the_same_angles() {
        for at in -10_000..=10_000 {
            let x = at as f32 * 0.1;
            let angle = f64::from(wrapped(x));
            assert!(angle.abs() < PI + 4e-7, "{x}: {angle}");
            let turns = (f64::from(x) - angle) / TAU;
            assert!((turns - turns.round()).abs() < 1e-7, "{x}: {turns} turns");
        }
    }
}
