//! What can go wrong in a group.

/// A group can't be had, or an operation of it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectiveError {
    /// A group of nobody.
    #[error("a group needs at least one rank")]
    Empty,
    /// Not one tensor for each rank.
    #[error("{found} tensors for {ranks} ranks: give one for each, in the order of the ranks")]
    Inputs {
        /// Ranks of the group.
        ranks: usize,
        /// Tensors given.
        found: usize,
    },
    /// There is no such rank.
    #[error("rank {rank} is none of the {ranks} ranks of the group")]
    NoRank {
        /// The rank asked for.
        rank: usize,
        /// Ranks of the group.
        ranks: usize,
    },
    /// The tensors of an allreduce differ in length.
    #[error("chunk {chunk} has {expected} numbers on this rank, but {found} on the one before it")]
    Lengths {
        /// Which chunk.
        chunk: usize,
        /// Numbers of this rank's tensor in it.
        expected: usize,
        /// Numbers that came.
        found: usize,
    },
    /// A part didn't come, since the rank that was to send it failed.
    #[error("{missing} of {count} parts have not come: a rank of the group has failed")]
    Incomplete {
        /// Parts that have not come.
        missing: usize,
        /// Parts of the whole.
        count: usize,
    },
    /// A rank is dead. Form the group anew, by [`Collective::reform`](super::Collective::reform).
    #[error("rank {rank} is dead")]
    Dead {
        /// Which one; the first, where there are several.
        rank: usize,
        /// What its call failed with.
        source: rayline::Error,
    },
}
