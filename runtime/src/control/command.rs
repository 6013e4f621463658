//! What the control thread is asked to do.

use super::leased::{Leased, Run};
use crate::actor::Host;
use crate::error::Result;
use crate::group::{BundleRef, Progress};
use crate::process::{Ended, Joined, Lane};
use rayline_core::controller::{self, ActorSpec, Strategy};
use rayline_core::ids::{ActorId, Attempt, GroupId, LeaseId, NodeId, ObjectId, TaskId};
use rayline_core::owner::FailureKind;
use rayline_core::resources::Demand;
use rayline_transport::{PeerId, TransportError};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// Tells which actor was created or found, or why none could be.
pub(super) type Found = SyncSender<Result<Arc<dyn Host>>>;

/// What comes from a cluster.
pub(crate) enum Arrival {
    /// From the head or a node.
    Frame(PeerId, Vec<u8>),
    /// There is a connection with a peer, in this of its lives.
    Up(PeerId, u64),
    /// There is none any more, or none could be made.
    Down(PeerId, TransportError),
    /// A worker has called.
    Worker(Joined, Arc<Lane>),
    /// A worker's connection has ended.
    WorkerGone(Joined, Arc<Lane>),
    /// The life of an actor has ended in its worker.
    LifeEnded(Ended),
}

/// One thing to do. What waits for an answer has a `reply`.
pub(super) enum Command {
    Submit {
        task: Arc<dyn Leased>,
        /// Those of its arguments that are elsewhere.
        args: Vec<ObjectId>,
        demand: Demand,
        bundle: Option<BundleRef>,
        retries: u32,
    },
    Cancel(TaskId),
    /// The value of a task that has run stays on a node.
    Adopt {
        task: TaskId,
        recipe: Arc<dyn Leased>,
        args: Vec<ObjectId>,
        retries: u32,
        node: NodeId,
    },
    /// Nobody here refers to an object that is elsewhere any more.
    DropRef(ObjectId),
    /// It can't be read from where it was.
    ObjectLost {
        object: ObjectId,
        node: NodeId,
        attempt: Attempt,
    },
    /// A leased task has ended; `Err` where it failed.
    Ended {
        task: TaskId,
        attempt: Attempt,
        lease: LeaseId,
        result: Result<(), FailureKind>,
        /// Whether it ran on a thread of this process.
        here: bool,
    },
    /// A leased task rests without a thread, on its lease.
    Rest {
        task: Arc<dyn Leased>,
        run: Run,
    },
    /// One that rests goes on.
    Wake(TaskId),
    Shrunk,
    /// How many threads the fast path may have.
    SetExecutors(u32),
    /// The holder of a lease blocks, or goes on.
    Lend {
        lease: LeaseId,
        blocks: bool,
    },
    CreateActor {
        host: Arc<dyn Host>,
        spec: ActorSpec,
        bundle: Option<BundleRef>,
    },
    GetOrCreate {
        host: Arc<dyn Host>,
        spec: ActorSpec,
        bundle: Option<BundleRef>,
        reply: Found,
    },
    KillActor {
        actor: ActorId,
        restart: bool,
    },
    ActorEvent(controller::Event),
    NamedActor {
        name: String,
        reply: SyncSender<Option<Arc<dyn Host>>>,
    },
    Reserve {
        group: GroupId,
        bundles: Vec<Demand>,
        strategy: Strategy,
        progress: Arc<Progress>,
        reply: SyncSender<()>,
    },
    RemoveGroup(GroupId),
    /// A worker runs a task on a lease of its driver's, beside its own; or it has ended.
    Guest {
        begins: bool,
    },
    /// Something has come from the cluster.
    Arrival(Arrival),
    Close(SyncSender<()>),
    Stop,
}
