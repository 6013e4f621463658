//! What the controller is told, and what it wants done.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{ActorId, Attempt, BundleId, GroupId, Incarnation, LeaseId, NodeId, OwnerId, RequestId, TimerToken};
use crate::node::Refusal;
use crate::resources::{Capacity, Demand, Grant, Infeasible};
use crate::time::Time;

/// What an actor is to be.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ActorSpec {
    /// What it holds while it lives.
    pub demand: Demand,
    /// The bundle it lives in; anywhere where `None`.
    pub bundle: Option<BundleId>,
    /// The name by which others find it.
    pub name: Option<String>,
    /// Whether a live actor of that name is taken instead of an error.
    pub get_or_create: bool,
    /// Whether it outlives its creator.
    pub detached: bool,
    /// How often it is started again after it failed.
    pub restarts: u32,
}

/// How the bundles of a group are laid out. Source: Ray's placement groups (the paper, §4.2, has none).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// On as few nodes as may be.
    Pack,
    /// On as many nodes as may be.
    Spread,
    /// All on one node.
    StrictPack,
    /// Each on a node of its own.
    StrictSpread,
}

/// What the controller is told: by owners (creations, reservations), by nodes (answers), and by its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A node registers. A second registration of a live node is ignored.
    NodeUp {
        /// The node.
        node: NodeId,
        /// What it has.
        capacity: Capacity,
    },
    /// A node is dead. Final.
    NodeDied {
        /// The node.
        node: NodeId,
    },
    /// An owner is dead: its actors that aren't detached die, its groups are removed.
    OwnerDied {
        /// The owner.
        owner: OwnerId,
    },
    /// Creates an actor. Answered with [`Action::ActorCreated`], [`Action::ActorExists`] or [`Action::ActorRefused`]; a
    /// repetition is answered again.
    CreateActor {
        /// A new name, of its creator.
        actor: ActorId,
        /// What it is to be.
        spec: ActorSpec,
    },
    /// Asks for a live actor by name. Answered with [`Action::ActorFound`].
    LookupActor {
        /// Names the question and who asks.
        request: RequestId,
        /// The name.
        name: String,
    },
    /// Ends an actor's life; with `restart` it counts as a failure, and the actor starts again within its budget.
    KillActor {
        /// The actor.
        actor: ActorId,
        /// Whether it may start again.
        restart: bool,
    },
    /// From the actor's node: it runs.
    ActorStarted {
        /// The actor.
        actor: ActorId,
        /// Which life.
        incarnation: Incarnation,
    },
    /// From the actor's node: that life is over, whether it failed to start, crashed, or was stopped.
    ActorEnded {
        /// The actor.
        actor: ActorId,
        /// Which life.
        incarnation: Incarnation,
        /// How it ended.
        end: ActorEnd,
    },
    /// From a node: a lease for an actor.
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
    /// Reserves a placement group. Answered with [`Action::GroupReady`] in the end, or at once with
    /// [`Action::GroupRefused`].
    ReserveGroup {
        /// A new name, of the owner that reserves.
        group: GroupId,
        /// The bundles, by index.
        bundles: Vec<Demand>,
        /// Their layout.
        strategy: Strategy,
    },
    /// Removes a group: leases in it are asked back, actors in it die.
    RemoveGroup {
        /// The group.
        group: GroupId,
    },
    /// From a node: a bundle's resources are set apart.
    Prepared {
        /// The bundle.
        bundle: BundleId,
        /// Which try.
        attempt: Attempt,
    },
    /// From a node: they are not.
    PrepareRefused {
        /// The bundle.
        bundle: BundleId,
        /// Which try.
        attempt: Attempt,
        /// Why.
        refusal: Refusal,
    },
    /// From a node: a bundle grants leases.
    Committed {
        /// The bundle.
        bundle: BundleId,
        /// Which try.
        attempt: Attempt,
    },
    /// From a node: nothing of a bundle is left there.
    BundleReturned {
        /// The node.
        node: NodeId,
        /// The bundle.
        bundle: BundleId,
        /// The last try that ended.
        attempt: Attempt,
    },
    /// A timer has come.
    Timer {
        /// The token that [`Action::SetTimer`] gave.
        token: TimerToken,
    },
}

/// What the controller wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// To a node: [`crate::node::Event::RequestLease`], not revocable.
    RequestLease {
        /// The node.
        node: NodeId,
        /// The request.
        request: RequestId,
        /// What is asked for.
        demand: Demand,
        /// From which bundle.
        bundle: Option<BundleId>,
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
    /// To a node: run the actor's constructor on the lease, and say [`Event::ActorStarted`] or [`Event::ActorEnded`].
    StartActor {
        /// The node.
        node: NodeId,
        /// The actor.
        actor: ActorId,
        /// Which life.
        incarnation: Incarnation,
        /// On whose resources.
        lease: LeaseId,
        /// What the lease holds.
        grant: Grant,
    },
    /// To a node: stop the actor, and say [`Event::ActorEnded`] when nothing of it runs any more.
    StopActor {
        /// The node.
        node: NodeId,
        /// The actor.
        actor: ActorId,
        /// Which life.
        incarnation: Incarnation,
    },
    /// To the creator: the actor is registered; calls may be sent as soon as it is alive.
    ActorCreated {
        /// The actor.
        actor: ActorId,
    },
    /// To the creator (`asked.owner`): there is such an actor already; use it.
    ActorExists {
        /// The name that was to be created.
        asked: ActorId,
        /// The live actor.
        actor: ActorId,
    },
    /// To the creator: there will be no such actor.
    ActorRefused {
        /// The name that was to be created.
        actor: ActorId,
        /// Why.
        refusal: ActorRefusal,
    },
    /// To `request.owner`: the answer to a lookup.
    ActorFound {
        /// The question.
        request: RequestId,
        /// The live actor of that name, if there is one.
        actor: Option<ActorId>,
    },
    /// To all that know the actor: it takes calls there.
    ActorAlive {
        /// The actor.
        actor: ActorId,
        /// Which life.
        incarnation: Incarnation,
        /// Where.
        node: NodeId,
    },
    /// To all that know the actor: this life is over, the next will come.
    ActorRestarting {
        /// The actor.
        actor: ActorId,
        /// The life that is over.
        ended: Incarnation,
    },
    /// To all that know the actor: it is dead for good.
    ActorDead {
        /// The actor.
        actor: ActorId,
        /// Why.
        cause: DeathCause,
    },
    /// To a node: [`crate::node::Event::PrepareBundle`].
    PrepareBundle {
        /// The node.
        node: NodeId,
        /// The bundle.
        bundle: BundleId,
        /// Which try.
        attempt: Attempt,
        /// The bundle's resources.
        demand: Demand,
    },
    /// To a node: [`crate::node::Event::CommitBundle`].
    CommitBundle {
        /// The node.
        node: NodeId,
        /// The bundle.
        bundle: BundleId,
        /// Which try.
        attempt: Attempt,
    },
    /// To a node: [`crate::node::Event::ReturnBundle`].
    ReturnBundle {
        /// The node.
        node: NodeId,
        /// The bundle.
        bundle: BundleId,
        /// Which try.
        attempt: Attempt,
    },
    /// To the group's owner: all bundles are committed, on these nodes. Also after a repair.
    GroupReady {
        /// The group.
        group: GroupId,
        /// A node for each bundle.
        nodes: Vec<NodeId>,
    },
    /// To the group's owner: some bundles have lost their node, and are placed anew.
    GroupBroken {
        /// The group.
        group: GroupId,
    },
    /// To the group's owner: the group can never be.
    GroupRefused {
        /// The group.
        group: GroupId,
        /// Why.
        refusal: GroupRefusal,
    },
    /// To the group's owner: the group was removed. Its resources return as its leases end.
    GroupRemoved {
        /// The group.
        group: GroupId,
    },
    /// Say [`Event::Timer`] at `at` or later.
    SetTimer {
        /// When.
        at: Time,
        /// What to say.
        token: TimerToken,
    },
}

/// How one life of an actor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActorEnd {
    /// Its constructor failed; it would fail again, so there is no restart.
    ConstructorFailed,
    /// Its worker crashed or was killed.
    Crashed,
    /// It ended itself, or was stopped as asked.
    Stopped,
}

/// Why an actor is dead for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DeathCause {
    /// Somebody killed it.
    Killed,
    /// It ended itself.
    Exited,
    /// Its constructor failed. The driver holds the error.
    ConstructorFailed,
    /// It failed once more than it may be restarted.
    RestartsUsed {
        /// The restarts that it was given.
        restarts: u32,
    },
    /// Its creator died.
    OwnerDied,
    /// The placement group that it lived in is no more.
    GroupGone {
        /// The group.
        group: GroupId,
    },
    /// No node will ever have what it needs.
    Infeasible(Infeasible),
}

/// Why an actor is not created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ActorRefusal {
    /// A live actor has the name.
    NameTaken {
        /// That actor.
        actor: ActorId,
    },
    /// The name is longer than [`crate::Limits::name_bytes_max`].
    NameTooLong,
    /// There are [`crate::Limits::actors_max`] actors.
    TooMany,
    /// No node will ever have what it needs.
    Infeasible(Infeasible),
    /// There is no such placement group, or it has no such bundle.
    NoSuchBundle(BundleId),
    /// Its creator was declared dead.
    OwnerDead,
}

/// Why a group can never be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GroupRefusal {
    /// A group of no bundles.
    NoBundles,
    /// More bundles than [`crate::Limits::bundles_max`], or more groups than [`crate::Limits::groups_max`].
    TooMany,
    /// One bundle is larger than every node.
    Bundle {
        /// The bundle's index.
        index: u32,
        /// What falls short.
        infeasible: Infeasible,
    },
    /// Each bundle needs a node of its own, and there are too few nodes that can hold one.
    Nodes {
        /// Nodes needed.
        needed: usize,
        /// Nodes there are.
        present: usize,
        /// Nodes that can hold at least one of the bundles.
        suitable: usize,
    },
    /// All bundles must go on one node, and together they are larger than every node.
    OneNode {
        /// What they ask for together.
        asked: Demand,
        /// What the largest node has.
        largest: Capacity,
    },
    /// Each fits some node, but all together don't fit the cluster.
    Together {
        /// What they ask for together.
        asked: Demand,
        /// Nodes there are.
        present: usize,
    },
    /// Its owner was declared dead.
    OwnerDead,
}

impl fmt::Display for DeathCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeathCause::Killed => f.write_str("it was killed"),
            DeathCause::Exited => f.write_str("it ended itself"),
            DeathCause::ConstructorFailed => f.write_str("its constructor failed"),
            DeathCause::RestartsUsed { restarts } => write!(f, "it failed after {restarts} restarts"),
            DeathCause::OwnerDied => f.write_str("its creator died"),
            DeathCause::GroupGone { group } => write!(f, "its placement group {group} is no more"),
            DeathCause::Infeasible(infeasible) => infeasible.fmt(f),
        }
    }
}

impl core::error::Error for DeathCause {}

impl fmt::Display for ActorRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActorRefusal::NameTaken { actor } => write!(f, "actor {actor} has that name"),
            ActorRefusal::NameTooLong => f.write_str("the name is too long"),
            ActorRefusal::TooMany => f.write_str("there are too many actors"),
            ActorRefusal::Infeasible(infeasible) => infeasible.fmt(f),
            ActorRefusal::NoSuchBundle(bundle) => write!(f, "there is no bundle {bundle}"),
            ActorRefusal::OwnerDead => f.write_str("its creator was declared dead"),
        }
    }
}

impl core::error::Error for ActorRefusal {}

impl fmt::Display for GroupRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupRefusal::NoBundles => f.write_str("a placement group needs at least one bundle"),
            GroupRefusal::TooMany => f.write_str("there are too many bundles or placement groups"),
            GroupRefusal::Bundle { index, infeasible } => write!(f, "bundle {index} {infeasible}"),
            GroupRefusal::Nodes { needed, present, suitable } => write!(
                f,
                "needs {needed} nodes, one for each bundle, but there {} and {suitable} can hold a bundle; \
                 add nodes or use Spread",
                Count(*present)
            ),
            GroupRefusal::OneNode { asked, largest } => {
                write!(f, "needs {asked} on one node, but the largest node has {largest}; lower the demand or use Pack")
            }
            GroupRefusal::Together { asked, present } => write!(
                f,
                "needs {asked} in all, and there {} too small for that together; lower the demand or add a node",
                Count(*present)
            ),
            GroupRefusal::OwnerDead => f.write_str("its owner was declared dead"),
        }
    }
}

impl core::error::Error for GroupRefusal {}

/// Writes `is 1 node`, `are 3 nodes`.
struct Count(usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("is 1 node"),
            n => write!(f, "are {n} nodes"),
        }
    }
}
