//! One member of a group.

use rayline::{Actor, Buf, Tensor, methods};

use super::{Chunk, CollectiveError, ReduceOp};

/// An actor that has a part in collective operations; [`Collective`](super::Collective) makes the calls.
#[derive(Actor, Debug)]
pub struct Rank {
    /// Ranks of the group.
    ranks: usize,
    /// The operation that parts are kept for. Another one drops them: what a failed one left is of no use.
    operation: u64,
    kept: Vec<Option<Tensor<f32>>>,
}

#[methods]
impl Rank {
    /// A member of a group of `ranks`.
    pub fn new(ranks: usize) -> Self {
        Self { ranks, operation: 0, kept: Vec::new() }
    }

    /// This rank's part of a tensor: the beginning of a chunk's way. Nothing is copied.
    pub fn part(&mut self, own: &Tensor<f32>, chunk: Chunk) -> Tensor<f32> {
        let range = chunk.range(own.len());
        Tensor::from(own.data().slice(range))
    }

    /// This rank's part of a tensor and what came of the ranks before it, as one; with `last`, of all ranks.
    ///
    /// # Errors
    /// [`CollectiveError::Lengths`] if the tensors differ in length.
    pub fn reduce(
        &mut self,
        own: &Tensor<f32>,
        chunk: Chunk,
        op: ReduceOp,
        last: bool,
        incoming: &Tensor<f32>,
    ) -> Result<Tensor<f32>, CollectiveError> {
        let own = &own.data()[chunk.range(own.len())];
        if own.len() != incoming.len() {
            let (expected, found) = (own.len(), incoming.len());
            return Err(CollectiveError::Lengths { chunk: chunk.index, expected, found });
        }
        let mut out = op.combine(own, incoming.data());
        if last {
            op.finish(&mut out, self.ranks);
        }
        Ok(Tensor::from(Buf::from(out)))
    }

    /// Holds `value` as a part of the result of `operation`, and hands it on.
    pub fn hold(&mut self, operation: u64, part: Chunk, value: Tensor<f32>) -> Tensor<f32> {
        if self.operation != operation {
            (self.operation, self.kept) = (operation, vec![None; part.count]);
        }
        self.kept[part.index] = Some(value.clone());
        value
    }

    /// The parts that were kept for `operation`, `count` of them, as one tensor.
    ///
    /// # Errors
    /// [`CollectiveError::Incomplete`] if some have not come.
    pub fn joined(&mut self, operation: u64, count: usize) -> Result<Tensor<f32>, CollectiveError> {
        let mut parts = self.take_parts(operation, count)?;
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        let mut whole = Vec::with_capacity(parts.iter().map(Tensor::len).sum());
        parts.iter().for_each(|part| whole.extend_from_slice(part.data()));
        Ok(Tensor::from(Buf::from(whole)))
    }

    /// The parts that were kept for `operation`, `count` of them, each for itself.
    ///
    /// # Errors
    /// [`CollectiveError::Incomplete`] if some have not come.
    pub fn gathered(&mut self, operation: u64, count: usize) -> Result<Vec<Tensor<f32>>, CollectiveError> {
        self.take_parts(operation, count)
    }

    /// Answers once all that was asked of this rank before is done.
    pub fn arrive(&mut self) {}
}

impl Rank {
    fn take_parts(&mut self, operation: u64, count: usize) -> Result<Vec<Tensor<f32>>, CollectiveError> {
        let kept = if self.operation == operation { std::mem::take(&mut self.kept) } else { Vec::new() };
        let missing = count - kept.iter().flatten().count();
        let parts: Vec<_> = kept.into_iter().flatten().collect();
        if missing > 0 { Err(CollectiveError::Incomplete { missing, count }) } else { Ok(parts) }
    }
}
