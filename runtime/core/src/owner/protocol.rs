//! What an owner is told, and what it wants done.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{
    Attempt, BundleId, ClassId, GroupId, LeaseId, NodeId, ObjectId, OwnerId, RequestId, TaskId, TimerToken,
};
use crate::node::Refusal;
use crate::resources::{Demand, Grant, Infeasible};
use crate::time::Time;

/// Where the tasks of a class may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Affinity {
    /// Bottom-up: the local node, and others while it keeps the class waiting.
    Any,
    /// Evenly over all nodes.
    Spread,
    /// On one node, and nowhere else: with the node's death its tasks fail.
    Only(NodeId),
    /// On one node while it lives and can.
    Prefer(NodeId),
    /// In a bundle, wherever its group is placed.
    Bundle(BundleId),
}

/// What an owner is told: by its process (submissions, references), by nodes (leases), by the controller (deaths,
/// groups), and by workers (ends of tasks).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Registers a scheduling class. A second definition of a class is ignored and counted.
    DefineClass {
        /// The class.
        class: ClassId,
        /// What each of its tasks needs.
        demand: Demand,
        /// Where they may run.
        affinity: Affinity,
    },
    /// Submits a task. Each of its objects starts with one local reference, the one that the submitter gets.
    Submit {
        /// A new name, of this owner.
        task: TaskId,
        /// A class defined before.
        class: ClassId,
        /// Objects that it needs; each is kept until the task has ended.
        args: Vec<ObjectId>,
        /// How many objects it makes.
        returns: u32,
        /// How often it may run again, after failures and to make lost values again, all together.
        retries: u32,
    },
    /// A task that the fast path has run, and whose values stay where they were made: from now on they are made again where
    /// they are lost. Each object has one local reference. Where the owner can't keep how they were made, they are as put.
    Adopt {
        /// A new name, of this owner.
        task: TaskId,
        /// A class defined before, for when it runs again.
        class: ClassId,
        /// Objects that it needed.
        args: Vec<ObjectId>,
        /// How many objects it has made.
        returns: u32,
        /// How often it may run again.
        retries: u32,
        /// Where the values are.
        node: NodeId,
    },
    /// Announces an object that is made outside (by an actor, by the fast path), with one local reference.
    Expect {
        /// A new name, of this owner.
        object: ObjectId,
    },
    /// An object made outside is there. Without an [`Event::Expect`] before it, it gets one local reference.
    Put {
        /// The object.
        object: ObjectId,
        /// Where its value is.
        node: NodeId,
    },
    /// An expected object won't come: what it stands for failed.
    PutFailed {
        /// The object.
        object: ObjectId,
    },
    /// A further copy of an object is on a node (a pull has finished).
    Copied {
        /// The object.
        object: ObjectId,
        /// Where.
        node: NodeId,
    },
    /// A copy is gone, or was not where it should be. The node is told to drop what it may have of it after all.
    ObjectLost {
        /// The object.
        object: ObjectId,
        /// Where it was.
        node: NodeId,
        /// The attempt that made the value ([`crate::owner::Owner::made_by`]): a late word about an earlier value says
        /// nothing about this one.
        attempt: Attempt,
    },
    /// One local reference more.
    AddRef {
        /// The object.
        object: ObjectId,
    },
    /// One local reference less.
    DropRef {
        /// The object.
        object: ObjectId,
    },
    /// Another owner holds a reference, one more.
    Borrow {
        /// The object.
        object: ObjectId,
        /// Who.
        borrower: OwnerId,
    },
    /// Another owner holds a reference less.
    Unborrow {
        /// The object.
        object: ObjectId,
        /// Who.
        borrower: OwnerId,
    },
    /// Another owner died: what it borrowed, it borrows no more.
    OwnerDied {
        /// The dead owner.
        owner: OwnerId,
    },
    /// Ends a task: before its start it never runs; a running one is told, and its objects fail at once.
    Cancel {
        /// The task.
        task: TaskId,
    },
    /// From a node: a lease.
    LeaseGranted {
        /// The request that it answers.
        request: RequestId,
        /// The lease.
        lease: LeaseId,
        /// What it holds.
        grant: Grant,
    },
    /// From a node: no lease.
    LeaseRefused {
        /// The request that it answers.
        request: RequestId,
        /// Why.
        refusal: Refusal,
    },
    /// From a node: give the lease back at the next task boundary.
    LeaseReclaim {
        /// The request that got the lease.
        request: RequestId,
        /// The lease.
        lease: LeaseId,
    },
    /// From a worker: the task has ended and its objects are on the lease's node.
    TaskDone {
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
        /// Where it ran.
        lease: LeaseId,
    },
    /// From a worker: the task has ended without its objects.
    TaskFailed {
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
        /// Where it ran.
        lease: LeaseId,
        /// How it failed.
        kind: FailureKind,
    },
    /// A node may be asked for leases.
    NodeUp {
        /// The node.
        node: NodeId,
    },
    /// A node is dead, with its leases, running tasks and copies. Final.
    NodeDied {
        /// The node.
        node: NodeId,
    },
    /// From the controller: where the bundles of a group are, by index.
    GroupReady {
        /// The group.
        group: GroupId,
        /// A node for each bundle.
        nodes: Vec<NodeId>,
    },
    /// From the controller: some bundles have lost their node; the group will be ready again. Tasks wait.
    GroupBroken {
        /// The group.
        group: GroupId,
    },
    /// From the controller: the group is no more, or can't be. Tasks that want its bundles fail.
    GroupGone {
        /// The group.
        group: GroupId,
    },
    /// How many executor threads serve the fast path on a node. Each gets a revocable lease of one of its CPUs while nobody
    /// else needs it.
    SetExecutors {
        /// Where.
        node: NodeId,
        /// Threads; 0 gives all leases back.
        count: u32,
    },
    /// From the executor: the thread on this lease has stopped, as [`Action::CloseExecutor`] asked.
    ExecutorClosed {
        /// The lease.
        lease: LeaseId,
    },
    /// A timer has come.
    Timer {
        /// The token that [`Action::SetTimer`] gave.
        token: TimerToken,
    },
}

/// What an owner wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// To a node: [`crate::node::Event::RequestLease`].
    RequestLease {
        /// The node.
        node: NodeId,
        /// The request.
        request: RequestId,
        /// What is asked for.
        demand: Demand,
        /// From which bundle.
        bundle: Option<BundleId>,
        /// Whether it may be asked back.
        revocable: bool,
    },
    /// To a node: [`crate::node::Event::CancelRequest`].
    CancelRequest {
        /// The node.
        node: NodeId,
        /// The request.
        request: RequestId,
    },
    /// To a node (`lease.node`): [`crate::node::Event::ReturnLease`].
    ReturnLease {
        /// The lease.
        lease: LeaseId,
    },
    /// To the worker on the lease: run the task. Its grant is [`crate::owner::Owner::grant`], its arguments are at
    /// [`crate::owner::Owner::copies`].
    Start {
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
        /// On whose resources.
        lease: LeaseId,
        /// Where.
        node: NodeId,
    },
    /// To the worker on the lease: stop the task if you can. It still answers with a `TaskDone` or `TaskFailed`, which
    /// ends the use of the lease.
    CancelRunning {
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
        /// Where it runs.
        lease: LeaseId,
    },
    /// The object's value is on a node: fulfil whoever waits for it.
    ObjectReady {
        /// The object.
        object: ObjectId,
        /// Where.
        node: NodeId,
    },
    /// The object will never be there: fail whoever waits for it, now or later.
    ObjectFailed {
        /// The object.
        object: ObjectId,
        /// Why.
        failure: Failure,
    },
    /// The task has failed for good. Its objects' failures are said one by one; this is for logs and traces.
    TaskFailed {
        /// The task.
        task: TaskId,
        /// Why.
        failure: Failure,
    },
    /// To a node: drop its copy, nobody needs it; but not one of a later attempt than this, which may have been made
    /// while this word was on its way.
    Release {
        /// The object.
        object: ObjectId,
        /// Where.
        node: NodeId,
        /// The attempt that made the value.
        attempt: Attempt,
    },
    /// The task will never run again: drop what is kept to run it.
    Forget {
        /// The task.
        task: TaskId,
    },
    /// A fast-path thread may run on this lease's slot.
    OpenExecutor {
        /// The lease.
        lease: LeaseId,
        /// What it holds.
        grant: Grant,
    },
    /// The fast-path thread on this lease is to stop at its next task boundary, and to say
    /// [`Event::ExecutorClosed`].
    CloseExecutor {
        /// The lease.
        lease: LeaseId,
    },
    /// Say [`Event::Timer`] at `at` or later.
    SetTimer {
        /// When.
        at: Time,
        /// What to say.
        token: TimerToken,
    },
}

/// How a task failed, as its worker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// Not by its own doing: the worker died, an argument was not there, memory ran out. Run again within its retries.
    System,
    /// Its own code returned an error or panicked.
    Application {
        /// Whether it asked to be run again after errors.
        retryable: bool,
    },
}

/// Why a task or an object failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Failure {
    /// The task's own code failed. The driver holds the error of this attempt.
    Application {
        /// The task.
        task: TaskId,
        /// The last try.
        attempt: Attempt,
        /// Where it ran.
        node: NodeId,
    },
    /// The system failed the task in its last permitted try.
    System {
        /// The task.
        task: TaskId,
        /// The last try.
        attempt: Attempt,
        /// Where it ran.
        node: NodeId,
    },
    /// The task was cancelled.
    Cancelled {
        /// The task.
        task: TaskId,
    },
    /// An object that the task needs failed; the object is the first that did.
    Argument {
        /// The object.
        object: ObjectId,
    },
    /// An object that the task needs isn't known here: its last reference was dropped before.
    UnknownArgument {
        /// The object.
        object: ObjectId,
    },
    /// No node will ever have what the task needs.
    Infeasible(Infeasible),
    /// The only node that it may run on is dead.
    NodeGone {
        /// The node.
        node: NodeId,
    },
    /// The placement group that it may run in is no more.
    GroupGone {
        /// The group.
        group: GroupId,
    },
    /// The class was not defined, or was one too many.
    UnknownClass {
        /// The class.
        class: ClassId,
    },
    /// Too many tasks are under way ([`crate::Limits::tasks_max`]).
    Overloaded {
        /// The bound.
        tasks_max: usize,
    },
    /// Nodes were told that this owner is dead.
    OwnerFenced,
    /// What the object stood for failed outside (an actor's call, a fast-path task). The driver holds the error.
    Outside {
        /// The object.
        object: ObjectId,
    },
    /// All copies are lost, and it can't be made again.
    Lost {
        /// The object.
        object: ObjectId,
        /// Why it can't.
        cause: LossCause,
    },
}

/// Why a lost object can't be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LossCause {
    /// No task made it (a put, an actor's answer).
    NoProducer,
    /// Its task has used all its retries.
    RetriesUsed,
    /// Its task failed or was cancelled before.
    ProducerFailed,
    /// Its task was dropped from lineage ([`crate::Limits::lineage_max`]).
    LineageDropped,
    /// Too many tasks would have to run before it ([`crate::Limits::rebuild_depth_max`]).
    TooDeep,
    /// Its last reference was dropped before.
    Released,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Application { task, attempt, node } => {
                write!(f, "task {task} returned an error on {node} in attempt {attempt}")
            }
            Failure::System { task, attempt, node } => {
                write!(f, "task {task} could not finish on {node} in attempt {attempt}, its last")
            }
            Failure::Cancelled { task } => write!(f, "task {task} was cancelled"),
            Failure::Argument { object } => write!(f, "an argument failed: object {object}"),
            Failure::UnknownArgument { object } => {
                write!(f, "an argument is not there: the last reference to object {object} was dropped")
            }
            Failure::Infeasible(infeasible) => infeasible.fmt(f),
            Failure::NodeGone { node } => write!(f, "it may run on node {node} only, which is dead"),
            Failure::GroupGone { group } => write!(f, "placement group {group} is no more"),
            Failure::UnknownClass { class } => write!(f, "scheduling class {class} is not defined"),
            Failure::Overloaded { tasks_max } => write!(f, "more than {tasks_max} tasks are under way"),
            Failure::OwnerFenced => f.write_str("the cluster has declared this process dead"),
            Failure::Outside { object } => write!(f, "object {object} was not made"),
            Failure::Lost { object, cause } => write!(f, "all copies of object {object} are lost, and {cause}"),
        }
    }
}

impl core::error::Error for Failure {}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LossCause::NoProducer => "no task made it",
            LossCause::RetriesUsed => "its task has no retries left",
            LossCause::ProducerFailed => "its task has failed",
            LossCause::LineageDropped => "its task was dropped from lineage",
            LossCause::TooDeep => "too many tasks would have to run again",
            LossCause::Released => "its last reference was dropped",
        })
    }
}
