//! Parts of a tensor, and how they are reduced.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::nn::math::vectorized;

/// One of `count` parts of a tensor, as equal as they can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Which one, from 0.
    pub index: usize,
    /// How many there are, at least 1.
    pub count: usize,
}

/// How the numbers of the ranks become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReduceOp {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The greatest of them; one that is not a number counts as the greatest.
    Max,
}

impl Chunk {
    /// Where it lies in a tensor of `len` numbers.
    pub fn range(self, len: usize) -> Range<usize> {
        let start = |index: usize| index * (len / self.count) + index.min(len % self.count);
        start(self.index)..start(self.index + 1)
    }
}

impl ReduceOp {
    /// `own` and `incoming` as one, in a new vector. The slices are of one length.
    pub(super) fn combine(self, own: &[f32], incoming: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(own.len());
        vectorized(|| {
            let pairs = own.iter().zip(incoming);
            match self {
                Self::Sum | Self::Mean => out.extend(pairs.map(|(a, b)| a + b)),
                Self::Max => out.extend(pairs.map(|(a, b)| if a > b || a.is_nan() { *a } else { *b })),
            }
        });
        out
    }

    /// What is left to do once all `ranks` are in `reduced`.
    pub(super) fn finish(self, reduced: &mut [f32], ranks: usize) {
        if self == Self::Mean {
            let share = 1.0 / ranks as f32;
            vectorized(|| reduced.iter_mut().for_each(|x| *x *= share));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_a_tensor_evenly() {
        for (len, count) in [(10, 3), (2, 4), (0, 2), (12, 4), (7, 1)] {
            let chunks: Vec<_> = (0..count).map(|index| Chunk { index, count }.range(len)).collect();
            assert_eq!((chunks[0].start, chunks[count - 1].end), (0, len));
            assert!(chunks.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(chunks.iter().all(|chunk| (len / count..=len.div_ceil(count)).contains(&chunk.len())));
        }
    }

    #[test]
    fn what_is_not_a_number_comes_through() {
        for op in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max] {
            let out = op.combine(&[f32::NAN, 1.0], &[1.0, f32::NAN]);
            assert!(out.iter().all(|x| x.is_nan()), "{op:?}: {out:?}");
        }
        assert_eq!(ReduceOp::Max.combine(&[1.0, -5.0], &[2.0, -7.0]), [2.0, -5.0]);
    }
}
