//! Known faults, to be put into the machinery around the machines: a simulator that doesn't catch them proves nothing.

/// One known fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A node takes a repeated request for a new one.
    NoLeaseDedup,
    /// A message for one life of a node reaches the next.
    NoIncarnation,
    /// Nodes don't hear of the death of owners.
    OwnerDeathForgotten,
    /// Whatever attempt a completion bears, it counts for the one that runs.
    StaleAttempts,
    /// A grant that crosses the word that takes its request back is given back by nobody.
    LateLeaseLeaked,
    /// Owners don't hear that a copy is lost.
    LostNotRebuilt,
    /// One bundle of a group is not committed, and is taken for committed.
    HalfCommitted,
    /// The failure detector reads the wall clock.
    WallClock,
    /// Nodes that the cluster may take for dead go on.
    NoFence,
    /// Nodes look whether they may act in a timer only.
    FenceByTimer,
    /// A word of an actor's earlier life counts for the present one.
    StaleIncarnations,
    /// A node drops a newer copy of an object on a late word about an older one.
    StaleRelease,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Mutation; 12] = [
        Mutation::NoLeaseDedup,
        Mutation::NoIncarnation,
        Mutation::OwnerDeathForgotten,
        Mutation::StaleAttempts,
        Mutation::LateLeaseLeaked,
        Mutation::LostNotRebuilt,
        Mutation::HalfCommitted,
        Mutation::WallClock,
        Mutation::NoFence,
        Mutation::FenceByTimer,
        Mutation::StaleIncarnations,
        Mutation::StaleRelease,
    ];
}
