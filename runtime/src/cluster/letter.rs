//! What crosses between the processes of the control plane.

use super::binary::{BinaryId, Program};
use super::home::Control;
use super::post::HEAD;
use super::status::Resources;
use rayline_core::ids::{LeaseId, NodeId, OwnerId};
use rayline_core::members::{self, MemberEvent, Peer};
use rayline_core::resources::{Capacity, Demand, Grant};
use rayline_core::{controller, node, owner};
use rayline_transport::PeerId;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Whom a letter is for. All but the head's are names of one life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Address {
    /// Members and controller.
    Head,
    /// A node's process, whether it is a member or not.
    Life(Peer),
    /// The same, by its name as a member.
    Node(NodeId),
    /// A process that owns objects.
    Owner(OwnerId),
}

/// A letter, and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Whom it is for.
    pub to: Address,
    /// What it says.
    pub letter: Letter,
}

/// Where a node's process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its name as a peer of the transport.
    pub peer: u128,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its host's name, for people.
    pub host: String,
    /// Its process on that host.
    pub pid: u32,
}

/// A driver's wish for a worker on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hire {
    /// Who wishes.
    pub owner: OwnerId,
    /// Where the driver is.
    pub driver: Place,
    /// What is to run.
    pub binary: Program,
    /// How it was called there.
    pub name: String,
    /// Variables of the driver's environment that its workers have, too.
    pub variables: Vec<(String, String)>,
}

/// How much of a node is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What is free.
    pub free: Resources,
    /// Live leases.
    pub leases: u32,
    /// Who waits: each demand, and how many wait with the same. At most [`Report::DEMANDS_MAX`] different ones; the rest is
    /// left out.
    pub waiting: Vec<(Demand, u32)>,
}

/// Everything that one process of the control plane tells another. That both speak the same version is the handshake's
/// business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Letter {
    /// To the head: [`members::Event::Join`], and where the node is.
    Join {
        /// Who.
        peer: Peer,
        /// What it has.
        capacity: Capacity,
        /// Where it is.
        place: Place,
    },
    /// To the head: the other events of membership.
    Members(members::Event),
    /// To the head, from owners and nodes.
    Controller(controller::Event),
    /// To the head: how much of a node is used.
    Report {
        /// Whose.
        node: NodeId,
        /// What has changed since the last.
        report: Report,
    },
    /// To a node, by the name of its life or as a member.
    Member(MemberEvent),
    /// To a node, before its welcome: where the control surface is.
    Control(Control),
    /// To a node that has left: it is no member any more.
    Farewell,
    /// To a node, from the head and from owners.
    Node(node::Event),
    /// To a node: another is dead.
    NodeDied(NodeId),
    /// From the controller, to a node (lives of actors), or to an owner (what it asked for).
    Wanted(controller::Action),
    /// To an owner.
    Owner(owner::Event),
    /// To the head, from a driver: it wants to be an owner. Answered with `OwnerWelcome` or `OwnerRefused`, again where it is
    /// repeated.
    Enlist {
        /// Where it is.
        place: Place,
        /// The name that it had from an earlier head.
        known: Option<OwnerId>,
        /// Its program.
        binary: BinaryId,
    },
    /// To whom the head can give no place.
    OwnerRefused {
        /// Why.
        why: String,
    },
    /// To a node, from a driver: start a worker for it. What becomes of that it tells with `WorkerEnded`; the worker itself
    /// calls the driver.
    Hire(Hire),
    /// To a driver, from a node: its worker has ended (how), or never ran (why).
    WorkerEnded {
        /// Which node.
        node: NodeId,
        /// The worker's name as a peer.
        worker: u128,
        /// How, or why not.
        how: Result<String, String>,
    },
    /// To a driver, from a node: its worker has written a line.
    Wrote {
        /// Which node.
        node: NodeId,
        /// Which process.
        pid: u32,
        /// What it wrote.
        line: String,
    },
    /// To an owner: it is a member, and so are these nodes; these owners are dead.
    OwnerWelcome {
        /// Its name.
        owner: OwnerId,
        /// The node that it belongs to: its own machine's, where that has one.
        home: NodeId,
        /// The nodes that are up, and where they are.
        nodes: Vec<(NodeId, Place)>,
        /// Dead owners, which may still speak to it.
        dead: Vec<OwnerId>,
    },
    /// To an owner: a node is up, and where it is.
    Found {
        /// The node.
        node: NodeId,
        /// Where it is.
        place: Place,
    },
    /// To an owner, from a node: the CPUs that a lease lent are back.
    CpusBack {
        /// The lease.
        lease: LeaseId,
        /// All that it holds now.
        grant: Grant,
    },
}

impl Place {
    /// Of this process, which listens at `address` as `peer`.
    pub(crate) fn here(peer: PeerId, address: SocketAddr) -> Place {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Place { peer: peer.0, address, host, pid: std::process::id() }
    }

    /// Whether the head runs in the same process.
    pub fn is_head(&self) -> bool {
        self.peer == HEAD.0
    }
}

impl Report {
    /// Different demands in a report.
    pub const DEMANDS_MAX: usize = 64;

    /// What a node has free, and who waits there.
    pub(super) fn of(node: &node::Node) -> Report {
        let mut waiting: Vec<(Demand, u32)> = Vec::new();
        for demand in node.waiting_demands() {
            match waiting.iter().position(|(known, _)| known == demand) {
                Some(at) => waiting[at].1 += 1,
                None if waiting.len() < Self::DEMANDS_MAX => waiting.push((demand.clone(), 1)),
                None => {}
            }
        }
        let leases = u32::try_from(node.leases()).unwrap_or(u32::MAX);
        Report { free: Resources::free_of(node.ledger()), leases, waiting }
    }
}
