//! What the two machines of membership are told, and what they want done.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, OwnerId, TimerToken};
use crate::resources::Capacity;
use crate::time::Time;

/// One life of a node's process, as the node itself names it before it has a [`NodeId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// The machine, the same in all lives.
    pub machine: u64,
    /// Grows with every start of the process on that machine.
    pub boot: u64,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}.{}", self.machine, self.boot)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What [`super::Members`] is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// From a node: it wants to belong to the cluster. Answered with [`Action::Welcome`] or [`Action::Refuse`]; a
    /// repetition is answered again.
    Join {
        /// Who.
        peer: Peer,
        /// What it has.
        capacity: Capacity,
    },
    /// From a node: it is alive. May be lost, come twice, or overtake others.
    Heartbeat {
        /// Who.
        node: NodeId,
        /// Counts the node's heartbeats.
        beat: u64,
    },
    /// From a node: an owner's process has started on it. Answered with [`Action::OwnerWelcome`], again where it is repeated;
    /// an owner of a dead node gets no answer.
    OwnerJoin {
        /// The owner.
        owner: OwnerId,
        /// Where it runs.
        node: NodeId,
    },
    /// From an owner's node: the owner's process has ended.
    OwnerClosed {
        /// The owner.
        owner: OwnerId,
    },
    /// From a node: nothing runs on it any more, and it will say nothing else.
    Leave {
        /// Who.
        node: NodeId,
    },
    /// From the driver: the node's own side has ended its connection, as the system does for a process that is over. Not to
    /// be told where this side gave the connection up: the node may not know of that.
    Closed {
        /// Who.
        node: NodeId,
    },
    /// A timer has come.
    Timer {
        /// The token that [`Action::SetTimer`] gave.
        token: TimerToken,
    },
}

/// What [`super::Members`] wants done. `NodeUp`, `NodeDied` and `OwnerDied` are for the controller, and for all
/// [`super::Members::owners`] and [`super::Members::welcomed`] nodes, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// To the peer: it is a member, under this name. With it go the members there are.
    Welcome {
        /// Who asked.
        peer: Peer,
        /// Its name in this life.
        node: NodeId,
    },
    /// To the peer: it is not a member, and will not be in this life.
    Refuse {
        /// Who asked.
        peer: Peer,
        /// Why.
        why: JoinRefusal,
    },
    /// To a node: its heartbeat has come. May be lost.
    Ack {
        /// Whose.
        node: NodeId,
        /// Which.
        beat: u64,
    },
    /// To a node that is dead for the cluster and still speaks: it must end all that it runs.
    Fence {
        /// Who.
        node: NodeId,
    },
    /// To the owner: it is a member; it may begin. With it go the nodes that are up, and the owners that are dead.
    OwnerWelcome {
        /// The owner.
        owner: OwnerId,
    },
    /// A node is a member, and knows it.
    NodeUp {
        /// Who.
        node: NodeId,
        /// What it has.
        capacity: Capacity,
    },
    /// A node is dead. Final.
    NodeDied {
        /// Who.
        node: NodeId,
    },
    /// An owner is dead, by itself or with its node. Final.
    OwnerDied {
        /// Who.
        owner: OwnerId,
    },
    /// Say [`Event::Timer`] at `at` or later.
    SetTimer {
        /// When.
        at: Time,
        /// What to say.
        token: TimerToken,
    },
}

/// Why a node can't be a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum JoinRefusal {
    /// This life was declared dead, or a later one of the same machine has joined.
    LifeOver,
    /// There are [`crate::Limits::nodes_max`] members.
    TooMany,
}

impl fmt::Display for JoinRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinRefusal::LifeOver => "this life of the node was declared dead",
            JoinRefusal::TooMany => "the cluster has as many nodes as it may have",
        })
    }
}

impl core::error::Error for JoinRefusal {}
