//! What a node is told, and what it wants done.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Attempt, BundleId, LeaseId, OwnerId, RequestId};
use crate::resources::{Demand, Grant, Infeasible};

/// What a node is told: by owners and the controller (requests), and by its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Asks for a lease. Answered once, with [`Action::Granted`] or [`Action::Refused`]; a repetition while it is
    /// granted is answered again.
    RequestLease {
        /// Names the request and who asks.
        request: RequestId,
        /// What is asked for.
        demand: Demand,
        /// From which bundle; from what is left of the node where `None`.
        bundle: Option<BundleId>,
        /// Whether the lease is given only while nobody else needs it, and asked back then.
        revocable: bool,
    },
    /// Takes a request back. If it was granted meanwhile, the lease is released.
    CancelRequest {
        /// The request.
        request: RequestId,
    },
    /// Gives a lease back. A lease that isn't there is ignored and counted.
    ReturnLease {
        /// The lease.
        lease: LeaseId,
    },
    /// The holder of a lease blocks (in a `get`) and lends its CPUs to others; it keeps the rest.
    LendCpus {
        /// The lease.
        lease: LeaseId,
    },
    /// The holder wants its CPUs back, and goes on at [`Action::CpusBack`]. It is served before any other waiter.
    RetakeCpus {
        /// The lease.
        lease: LeaseId,
    },
    /// An owner died: all it holds and asks for is released, and late requests of it are refused.
    OwnerDied {
        /// The dead owner.
        owner: OwnerId,
    },
    /// First phase: set a bundle's resources apart. Waits its turn like any request.
    PrepareBundle {
        /// The bundle.
        bundle: BundleId,
        /// Which try of its group.
        attempt: Attempt,
        /// The bundle's resources.
        demand: Demand,
    },
    /// Second phase: from now on the bundle grants leases.
    CommitBundle {
        /// The bundle.
        bundle: BundleId,
        /// Which try of its group.
        attempt: Attempt,
    },
    /// Ends a bundle in any phase, up to and including `attempt`. Its waiters are refused, its leases asked back;
    /// its resources return when the last lease has, and [`Action::BundleReturned`] says so.
    ReturnBundle {
        /// The bundle.
        bundle: BundleId,
        /// Which try of its group.
        attempt: Attempt,
    },
}

/// What a node wants done: each is a message to an owner (`request.owner`, `owner`) or to the controller (bundles).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// To `request.owner`: here is the lease.
    Granted {
        /// The request.
        request: RequestId,
        /// The new lease.
        lease: LeaseId,
        /// What it holds.
        grant: Grant,
    },
    /// To `request.owner`: there is no lease.
    Refused {
        /// The request.
        request: RequestId,
        /// Why.
        refusal: Refusal,
    },
    /// To `request.owner`: give this lease back at the next task boundary; somebody who may not be kept waiting needs it, or
    /// its bundle ends.
    Reclaim {
        /// The request that got the lease (its owner is the holder), for a holder that has not heard of the lease yet.
        request: RequestId,
        /// The lease.
        lease: LeaseId,
    },
    /// To `owner`: the lease's CPUs are back, perhaps in other slots.
    CpusBack {
        /// The holder.
        owner: OwnerId,
        /// The lease.
        lease: LeaseId,
        /// All that the lease holds now.
        grant: Grant,
    },
    /// To the controller: the bundle's resources are set apart.
    Prepared {
        /// The bundle.
        bundle: BundleId,
        /// Which try of its group.
        attempt: Attempt,
    },
    /// To the controller: they are not, and won't be in this attempt.
    PrepareRefused {
        /// The bundle.
        bundle: BundleId,
        /// Which try of its group.
        attempt: Attempt,
        /// Why.
        refusal: Refusal,
    },
    /// To the controller: the bundle grants leases.
    Committed {
        /// The bundle.
        bundle: BundleId,
        /// Which try of its group.
        attempt: Attempt,
    },
    /// To the controller: nothing of the bundle is left here.
    BundleReturned {
        /// The bundle.
        bundle: BundleId,
        /// The last try that ended.
        attempt: Attempt,
    },
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// The node, or the bundle, will never have that much.
    Infeasible(Infeasible),
    /// Too many requests wait already; ask again later.
    QueueFull,
    /// The bundle isn't here, not committed yet, or ending; ask again where it is.
    BundleGone(BundleId),
    /// The request was finished before; a lost duplicate. A new request may be made.
    Stale,
    /// The node was told that the owner is dead.
    OwnerDead(OwnerId),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Infeasible(infeasible) => infeasible.fmt(f),
            Refusal::QueueFull => f.write_str("too many requests wait on the node"),
            Refusal::BundleGone(bundle) => write!(f, "bundle {bundle} is not on the node"),
            Refusal::Stale => f.write_str("the request was finished before"),
            Refusal::OwnerDead(owner) => write!(f, "owner {owner} was declared dead"),
        }
    }
}

impl core::error::Error for Refusal {}
