//! What travels, and between whom.

use rayline_core::ids::{ActorId, Attempt, Incarnation, LeaseId, NodeId, ObjectId, OwnerId, TaskId};
use rayline_core::members::{self, MemberEvent, Peer};
use rayline_core::{controller, node, owner};

/// One end of a channel. Each name is of one life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Addr {
    Controller,
    /// A node's process, whether it is a member or not.
    Peer(Peer),
    /// The same, by the name that it has as a member.
    Node(NodeId),
    Owner(OwnerId),
}

/// How a message may go astray.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Once, and in order, as long as both ends live.
    Sequenced,
    /// At least once; what was lost comes later, and what was not heard of comes again.
    Repeated,
    /// Perhaps.
    Lossy,
}

/// A message, or a word of a driver to itself.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Members(members::Event),
    Controller(controller::Event),
    Member(MemberEvent),
    Node(node::Event),
    Owner(owner::Event),
    /// To an owner: it is a member, and so are these; these owners are dead.
    OwnerWelcome {
        nodes: Vec<NodeId>,
        dead: Vec<OwnerId>,
    },
    /// To a node.
    NodeDied(NodeId),
    Run(Run),
    CancelRun {
        task: TaskId,
        attempt: Attempt,
    },
    StartActor {
        actor: ActorId,
        incarnation: Incarnation,
        lease: LeaseId,
    },
    StopActor {
        actor: ActorId,
        incarnation: Incarnation,
    },
    /// To a node: nobody needs what this attempt, or an earlier one, has made.
    Release {
        object: ObjectId,
        attempt: Attempt,
    },
    /// To a node: send a copy.
    Fetch {
        object: ObjectId,
        to: NodeId,
    },
    Fetched {
        object: ObjectId,
        from: NodeId,
        attempt: Option<Attempt>,
    },
    /// To an owner: a reference of another.
    Lend {
        object: ObjectId,
    },
    /// To the owner of an object: the borrower wants to know where it is.
    Ask {
        object: ObjectId,
        borrower: OwnerId,
    },
    Answer {
        object: ObjectId,
    },
}

/// A task to be run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) task: TaskId,
    pub(crate) attempt: Attempt,
    pub(crate) lease: LeaseId,
    pub(crate) returns: u32,
    /// Each with the attempt that made it, and where it is said to be.
    pub(crate) args: Vec<(ObjectId, Attempt, Vec<NodeId>)>,
}

impl Message {
    pub(crate) fn class(&self) -> Class {
        match self {
            Message::Members(members::Event::Heartbeat { .. }) | Message::Member(MemberEvent::Ack { .. }) => {
                Class::Lossy
            }
            Message::Node(node::Event::OwnerDied { .. }) | Message::NodeDied(_) | Message::OwnerWelcome { .. } => {
                Class::Sequenced
            }
            Message::Lend { .. } | Message::Ask { .. } | Message::Answer { .. } => Class::Sequenced,
            Message::Owner(
                owner::Event::NodeUp { .. }
                | owner::Event::NodeDied { .. }
                | owner::Event::OwnerDied { .. }
                | owner::Event::GroupReady { .. }
                | owner::Event::GroupBroken { .. }
                | owner::Event::GroupGone { .. }
                | owner::Event::Borrow { .. }
                | owner::Event::Unborrow { .. },
            ) => Class::Sequenced,
            _ => Class::Repeated,
        }
    }
}
