//! Normal numbers against the CPU.

use std::f32::consts::TAU;

use rayline_gpu::kernels::{Noise, NoisePlace};

use crate::bits;
use crate::common::Bench;
use crate::philox::words_at;

/// Operation by operation as the kernel; coefficients are Cephes'.
fn natural_log(x: f32) -> f32 {
    let exponent = (x.to_bits().wrapping_sub(0x3f35_04f3) as i32) >> 23;
    let m = f32::from_bits(x.to_bits().wrapping_sub((exponent as u32) << 23)) - 1.0;
    let e = exponent as f32;
    let m2 = m * m;
    let coefficients = [
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    let p = coefficients.iter().fold(-1.151_461e-1 + m * 7.037_684e-2, |p, c| c + m * p);
    m + (m * m2 * p - 0.5 * m2 + e * -2.121_944_4e-4) + e * 0.693_359_4
}

fn sin_cos_turns(turns: f32) -> (f32, f32) {
    let rounded = turns * 4.0 + 12_582_912.0;
    let quadrant = rounded.to_bits();
    let x = (turns - (rounded - 12_582_912.0) * 0.25) * TAU;
    let z = x * x;
    let s = x + x * z * (-1.666_665_5e-1 + z * (8.332_161e-3 + z * -1.951_529_6e-4));
    let c = 1.0 - 0.5 * z + z * z * (4.166_664_6e-2 + z * (-1.388_731_6e-3 + z * 2.443_315_7e-5));
    let (sin, cos) = if quadrant & 1 == 1 { (c, s) } else { (s, c) };
    let signed = |value: f32, bit: u32| f32::from_bits(value.to_bits() ^ (bit << 30));
    (signed(sin, quadrant & 2), signed(cos, quadrant.wrapping_add(1) & 2))
}

fn normal_pair(radius_word: u32, angle_word: u32) -> [f32; 2] {
    let unit = (radius_word as f32 + 0.5) * (1.0 / 4_294_967_808.0);
    let radius = (-2.0 * natural_log(unit)).max(0.0).sqrt();
    let (sin, cos) = sin_cos_turns((angle_word >> 8) as f32 * (1.0 / 16_777_216.0));
    [radius * cos, radius * sin]
}

fn normals(place: NoisePlace, len: usize) -> Vec<f32> {
    let blocks = (0..len.div_ceil(4) as u64).map(|block| place.first_block + block);
    let words = blocks.map(|block| words_at(place.seed, place.sequence, block));
    words.flat_map(|[a, b, c, d]| [normal_pair(a, b), normal_pair(c, d)].concat()).take(len).collect()
}

#[test]
fn the_device_draws_what_the_cpu_does_bit_by_bit() {
    let Bench { stream, lease, modules, .. } = Bench::new();
    let noise = Noise::new(&modules).unwrap();
    for (len, place) in [
        (1, NoisePlace { seed: 0, sequence: 0, first_block: 0 }),
        (1027, NoisePlace { seed: u64::MAX - 5, sequence: 1 << 40, first_block: u64::from(u32::MAX) - 3 }),
    ] {
        let mut out = lease.allocate(&stream, len).unwrap();
        noise.fill(&stream, place, &mut out).unwrap();
        assert_eq!(bits(&stream.to_vec(&out).unwrap()), bits(&normals(place, len)), "{place:?}");
    }
}

#[test]
fn the_numbers_have_the_moments_of_a_normal_distribution() {
    let Bench { stream, lease, modules, .. } = Bench::new();
    let mut out = lease.allocate(&stream, 40_000).unwrap();
    let place = NoisePlace { seed: 7, sequence: 1, first_block: 0 };
    Noise::new(&modules).unwrap().fill(&stream, place, &mut out).unwrap();
    let drawn = stream.to_vec(&out).unwrap();
    let moment = |power: i32| drawn.iter().map(|value| f64::from(*value).powi(power)).sum::<f64>() / 40_000.0;
    for (power, expected, tolerance) in [(1, 0.0, 0.02), (2, 1.0, 0.03), (3, 0.0, 0.08), (4, 3.0, 0.25)] {
        assert!((moment(power) - expected).abs() < tolerance, "moment {power}: {}", moment(power));
    }
}
