//! A group of ranks, and the calls of its operations.

use rayline::{ObjectRef, Tensor};

use super::{Chunk, CollectiveError, Rank, RankRef, ReduceOp};

/// A group of actors that reduce, gather and hand around tensors. Tensors are given and taken as references, one for each
/// rank in their order; a value that isn't there yet is waited for by the ranks, not by the caller.
///
/// A rank that is dead fails the references of all ranks whose result needs it. [`Collective::barrier`] says which rank
/// it is, and [`Collective::reform`] puts others in the place of the dead. What a failed operation has left doesn't
/// touch the next.
pub struct Collective {
    ranks: Vec<RankRef>,
    operation: u64,
}

impl Collective {
    /// A group of `ranks` new actors.
    ///
    /// # Errors
    /// [`CollectiveError::Empty`] for none.
    pub fn new(ranks: usize) -> Result<Self, CollectiveError> {
        Self::over((0..ranks).map(|_| Rank::remote(ranks)).collect())
    }

    /// A group of actors that were made elsewhere, in placement groups for instance, each by [`Rank::new`] with their
    /// number.
    ///
    /// # Errors
    /// [`CollectiveError::Empty`] for none.
    pub fn over(ranks: Vec<RankRef>) -> Result<Self, CollectiveError> {
        if ranks.is_empty() { Err(CollectiveError::Empty) } else { Ok(Self { ranks, operation: 0 }) }
    }

    /// Ranks of the group.
    pub fn rank_count(&self) -> usize {
        self.ranks.len()
    }

    /// The ranks.
    pub fn ranks(&self) -> &[RankRef] {
        &self.ranks
    }

    /// The tensors of all ranks as one, which each of them gets, in the same bits. They have one length.
    ///
    /// # Errors
    /// [`CollectiveError::Inputs`] unless there is one tensor for each rank. The references fail with
    /// [`CollectiveError::Lengths`] where lengths differ, with [`CollectiveError::Incomplete`] or the error of the rank
    /// where one is dead.
    pub fn allreduce(
        &mut self,
        inputs: Vec<ObjectRef<Tensor<f32>>>,
        op: ReduceOp,
    ) -> Result<Vec<ObjectRef<Tensor<f32>>>, CollectiveError> {
        self.check(inputs.len())?;
        let count = self.ranks.len();
        let mut chunks: Vec<_> =
            (0..count).map(|index| self.ranks[index].part(&inputs[index], Chunk { index, count })).collect();
        // Step by step, so that each rank is asked in the order in which its arguments come.
        for step in 1..count {
            for (index, value) in chunks.iter_mut().enumerate() {
                let rank = (index + step) % count;
                let (chunk, is_last) = (Chunk { index, count }, step + 1 == count);
                *value = self.ranks[rank].reduce(&inputs[rank], chunk, op, is_last, &*value);
            }
        }
        Ok(self.hand_around(chunks, |index| (index + count - 1) % count, RankRef::joined))
    }

    /// The tensor of each rank, for all of them, in the order of the ranks. Lengths may differ.
    ///
    /// # Errors
    /// [`CollectiveError::Inputs`] unless there is one tensor for each rank. References fail as those of
    /// [`Collective::allreduce`].
    pub fn allgather(
        &mut self,
        inputs: Vec<ObjectRef<Tensor<f32>>>,
    ) -> Result<Vec<ObjectRef<Vec<Tensor<f32>>>>, CollectiveError> {
        self.check(inputs.len())?;
        Ok(self.hand_around(inputs, |index| index, RankRef::gathered))
    }

    /// The tensor of rank `root`, for all ranks, along the ring.
    ///
    /// # Errors
    /// [`CollectiveError::NoRank`] if there is no rank `root`. References of ranks after a dead one fail with its error.
    pub fn broadcast(
        &mut self,
        root: usize,
        input: ObjectRef<Tensor<f32>>,
    ) -> Result<Vec<ObjectRef<Tensor<f32>>>, CollectiveError> {
        let count = self.ranks.len();
        if root >= count {
            return Err(CollectiveError::NoRank { rank: root, ranks: count });
        }
        self.operation += 1;
        let (mut value, mut results) = (input, Vec::with_capacity(count));
        for step in 0..count {
            let rank = &self.ranks[(root + step) % count];
            value = rank.hold(self.operation, Chunk { index: 0, count: 1 }, &value);
            results.push(rank.joined(self.operation, 1));
        }
        results.rotate_right(root);
        Ok(results)
    }

    /// Waits until all ranks have done what was asked of them before.
    ///
    /// # Errors
    /// [`CollectiveError::Dead`] if a rank is.
    pub fn barrier(&self) -> Result<(), CollectiveError> {
        let arrivals: Vec<_> = self.ranks.iter().map(RankRef::arrive).collect();
        for (rank, arrival) in arrivals.into_iter().enumerate() {
            arrival.get().map_err(|source| CollectiveError::Dead { rank, source })?;
        }
        Ok(())
    }

    /// Puts new actors in the places of those that are dead, once all are done with what was asked of them; returns which
    /// places those are.
    pub fn reform(&mut self) -> Vec<usize> {
        let arrivals: Vec<_> = self.ranks.iter().map(RankRef::arrive).collect();
        let is_dead = |(_, arrival): &(usize, ObjectRef<()>)| arrival.get().is_err();
        let dead: Vec<usize> = arrivals.into_iter().enumerate().filter(is_dead).map(|(rank, _)| rank).collect();
        for rank in &dead {
            self.ranks[*rank] = Rank::remote(self.ranks.len());
        }
        dead
    }

    /// Hands part `index`, which lies with rank `holder(index)`, from rank to rank until all have all; then each rank
    /// makes its result.
    fn hand_around<T>(
        &mut self,
        mut parts: Vec<ObjectRef<Tensor<f32>>>,
        holder: impl Fn(usize) -> usize,
        result: impl Fn(&RankRef, u64, usize) -> ObjectRef<T>,
    ) -> Vec<ObjectRef<T>> {
        self.operation += 1;
        let (operation, count) = (self.operation, self.ranks.len());
        for step in 0..count {
            for (index, value) in parts.iter_mut().enumerate() {
                let rank = (holder(index) + step) % count;
                *value = self.ranks[rank].hold(operation, Chunk { index, count }, &*value);
            }
        }
        self.ranks.iter().map(|rank| result(rank, operation, count)).collect()
    }

    fn check(&self, found: usize) -> Result<(), CollectiveError> {
        let ranks = self.ranks.len();
        if found == ranks { Ok(()) } else { Err(CollectiveError::Inputs { ranks, found }) }
    }
}
