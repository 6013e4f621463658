//! The lives of actors.

use super::protocol::DeathCause;
use crate::ids::{LeaseId, NodeId, RequestId, TimerToken};
use crate::resources::Grant;

/// Where an actor is.
///
/// ```text
///   CreateActor --> Unplaced --> Requested -- granted --> Starting -- ActorStarted --> Alive
///                      ^            |  ^                     |  |                       | |
///                      '------------'  | timer               |  '--- KillActor ---------|-'--> Stopping
///                       node died   Resting <-- refused      |                          |        |
///                                      ^                     | failed, within budget    |        |
///                                      '---------------------'--------------------------'--------|
///                                                                                     Dead <-----'
/// ```
/// To those who know it, an actor is pending up to its first start, restarting from a failure to its next start, and dead
/// as soon as it is killed; its lease, though, is given back only when its worker has stopped, and so is its place for
/// the next life taken.
#[derive(Debug)]
pub(super) enum Life {
    /// Nowhere has room, or its group isn't ready: tried again when that changes.
    Unplaced,
    /// Between two lives, or after a refusal.
    Resting { token: TimerToken },
    /// A node was asked for a lease.
    Requested { request: RequestId, seat: Seat },
    /// The constructor runs.
    Starting { lease: LeaseId, seat: Seat },
    /// It takes calls.
    Alive { lease: LeaseId, seat: Seat },
    /// It was told to stop.
    Stopping { lease: LeaseId, seat: Seat, then: Then },
    /// For good.
    Dead { cause: DeathCause },
}

impl Life {
    pub(super) fn seat(&self) -> Option<&Seat> {
        match self {
            Life::Requested { seat, .. }
            | Life::Starting { seat, .. }
            | Life::Alive { seat, .. }
            | Life::Stopping { seat, .. } => Some(seat),
            Life::Unplaced | Life::Resting { .. } | Life::Dead { .. } => None,
        }
    }
}

/// What comes after a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Restart,
    Die { cause: DeathCause },
}

/// What an actor has been given on a node, as the controller counts it; nothing where it lives in a bundle.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) node: NodeId,
    pub(super) grant: Option<Grant>,
}
