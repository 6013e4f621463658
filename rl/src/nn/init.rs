//! Orthogonal initialisation.

use super::Random;
use super::math::{dot, vectorized};

/// Fills `weights` (`[inputs, outputs]`, row-major) with `gain` times a random matrix whose rows or columns, whichever
/// are fewer, are orthonormal; uniform over such matrices.
///
/// Source: Saxe et al. 2014; Huang et al. 2022 ("37 details", core detail 2).
///
/// # Panics
/// If `weights` does not hold `inputs * outputs` elements.
pub fn orthogonal(weights: &mut [f32], [inputs, outputs]: [usize; 2], gain: f32, random: &mut Random) {
    assert_eq!(weights.len(), inputs * outputs, "weights must be [{inputs}, {outputs}]");
    let (vectors, length) = (inputs.min(outputs), inputs.max(outputs));
    let mut basis = vec![0.0f32; vectors * length];
    random.fill_normal(&mut basis);
    vectorized(|| orthonormalize(&mut basis, length));
    for (i, row) in weights.chunks_exact_mut(outputs).enumerate() {
        for (j, w) in row.iter_mut().enumerate() {
            *w = gain * if inputs <= outputs { basis[i * length + j] } else { basis[j * length + i] };
        }
    }
}

/// Makes the rows of `basis` (`[vectors, length]`) orthonormal by Gram-Schmidt, each row twice, which keeps the error
/// at rounding level (Giraud et al. 2005, "twice is enough").
#[inline(always)]
fn orthonormalize(basis: &mut [f32], length: usize) {
    for row in 0..basis.len() / length {
        let (done, rest) = basis.split_at_mut(row * length);
        let current = &mut rest[..length];
        for _ in 0..2 {
            for earlier in done.chunks_exact(length) {
                let along = dot(current, earlier);
                current.iter_mut().zip(earlier).for_each(|(c, e)| *c -= along * e);
            }
            let norm = dot(current, current).sqrt();
            current.iter_mut().for_each(|c| *c /= norm);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest deviation of the Gram matrix of the rows or the columns from `gain`² times the identity.
    fn deviation(weights: &[f32], [inputs, outputs]: [usize; 2], gain: f32) -> f32 {
        let at = |vector: usize, i: usize| match inputs <= outputs {
            true => weights[vector * outputs + i],
            false => weights[i * outputs + vector],
        };
        let (vectors, length) = (inputs.min(outputs), inputs.max(outputs));
        let mut worst = 0.0f32;
        for a in 0..vectors {
            for b in 0..vectors {
                let product: f32 = (0..length).map(|i| at(a, i) * at(b, i)).sum();
                let want = if a == b { gain * gain } else { 0.0 };
                worst = worst.max((product - want).abs());
            }
        }
        worst
    }

    #[test]
    fn rows_or_columns_are_orthonormal_times_the_gain() {
        for (shape, gain) in [([4, 64], 1.414), ([64, 64], 1.414), ([64, 2], 0.01), ([64, 1], 1.0), ([300, 128], 1.0)] {
            let mut weights = vec![0.0; shape[0] * shape[1]];
            orthogonal(&mut weights, shape, gain, &mut Random::new(1, 0));
            let worst = deviation(&weights, shape, gain);
            assert!(worst < 1e-5 * gain * gain, "{shape:?}: {worst}");
        }
    }

    #[test]
    fn seeds_differ() {
        let draw = |seed| {
            let mut weights = [0.0; 12];
            orthogonal(&mut weights, [3, 4], 1.0, &mut Random::new(seed, 0));
            weights
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
