//! Every bound that the machines keep, in one place.

use core::time::Duration;

use crate::time::Backoff;

/// Bounds, and what happens at each. The defaults suit one machine to a few hundred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Node: requests that wait for resources, all pools together, and as many revocable ones beside them. Beyond it one is
    /// refused with [`Refusal::QueueFull`](crate::node::Refusal::QueueFull), and its owner asks again later.
    pub node_waiting_max: usize,
    /// Node: how often a waiting request may be overtaken by later ones that fit before it does. From then on what it
    /// needs of what becomes free is kept for it.
    pub overtakes_max: u32,
    /// Node: finished requests remembered per owner, to tell a late duplicate from a new request. Older ones count as
    /// finished ([`Refusal::Stale`](crate::node::Refusal::Stale)).
    pub node_tombstones_max: usize,
    /// Controller: ended groups, and ended or refused actors, remembered per owner, to tell a late duplicate from a new name.
    /// Older ones count as ended.
    pub controller_tombstones_max: usize,
    /// All machines: dead owners remembered, the oldest forgotten first.
    pub dead_owners_max: usize,

    /// Owner: tasks neither finished nor failed. A task beyond it fails with
    /// [`Failure::Overloaded`](crate::owner::Failure::Overloaded).
    pub tasks_max: usize,
    /// Owner: finished tasks kept as lineage. The oldest beyond it are forgotten, and their values can no longer be made
    /// again.
    pub lineage_max: usize,
    /// Owner: how many tasks deep a lost value is made again; deeper ones are lost.
    pub rebuild_depth_max: u32,
    /// Owner: scheduling classes. A definition beyond it is ignored and counted, and its tasks fail.
    pub classes_max: usize,
    /// Owner: requests for leases under way per class; further tasks wait for these.
    pub class_requests_max: usize,
    /// Owner: how long a lease is kept while others may want it. At the end of the first task after that it is given
    /// back and asked for anew, so that every waiter of a node gets its turn.
    pub lease_slice: Duration,
    /// Owner: how long a request waits in the queue of one node before it is made at another instead, where there is one
    /// that could serve it.
    pub request_patience: Duration,
    /// Owner: waits between the tries of a task.
    pub task_backoff: Backoff,
    /// Owner and controller: waits before a refused request is made again.
    pub request_backoff: Backoff,

    /// Controller: live nodes; a registration beyond it is refused. Also the dead nodes that controller and owners remember,
    /// the oldest forgotten first.
    pub nodes_max: usize,
    /// Members: machines remembered with their last life; those without a live node are forgotten first.
    pub machines_max: usize,
    /// Member: how often a node says that it is alive, and asks to join.
    pub heartbeat_every: Duration,
    /// Member: how long after the sending of its last acknowledged heartbeat a node ends itself. Less than
    /// [`Limits::dead_after`], by more than clocks may differ in their speed over that time; more than a controller takes to
    /// come back.
    pub fence_after: Duration,
    /// Members: how long a node may be silent before it is dead.
    pub dead_after: Duration,
    /// Member: how long after its connection with the controller has ended a node ends itself, unless a heartbeat sent since
    /// is acknowledged. Less than [`Limits::closed_dead_after`].
    pub closed_fence_after: Duration,
    /// Members: how long a node may be silent after its own side has ended its connection before it is dead.
    pub closed_dead_after: Duration,
    /// Member: heartbeats remembered until they are acknowledged, the oldest forgotten first.
    pub heartbeats_unanswered_max: usize,
    /// Controller: actors not dead. A creation beyond it is refused.
    pub actors_max: usize,
    /// Controller: dead actors remembered, the oldest forgotten first.
    pub dead_actors_max: usize,
    /// Controller: bytes in an actor's name. A longer one is refused.
    pub name_bytes_max: usize,
    /// Controller: groups reserved or waiting. A reservation beyond it is refused.
    pub groups_max: usize,
    /// Controller: bundles in a group. A reservation beyond it is refused.
    pub bundles_max: usize,
    /// Controller: how long the nodes of a group may take to reserve its bundles; then all are given back, and the
    /// group tries again after the others.
    pub prepare_timeout: Duration,
    /// Controller: waits between the lives of an actor.
    pub restart_backoff: Backoff,
    /// Controller: an actor's life that was longer than this went well: those before it count no more, and the next
    /// begins after a tenth of the first wait.
    pub healthy_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            node_waiting_max: 4096,
            overtakes_max: 64,
            node_tombstones_max: 4096,
            controller_tombstones_max: 4096,
            dead_owners_max: 4096,
            tasks_max: 1 << 20,
            lineage_max: 1 << 20,
            rebuild_depth_max: 10_000,
            classes_max: 4096,
            class_requests_max: 256,
            lease_slice: Duration::from_millis(200),
            request_patience: Duration::from_millis(100),
            task_backoff: Backoff { first: Duration::from_millis(20), longest: Duration::from_secs(10) },
            request_backoff: Backoff { first: Duration::from_millis(5), longest: Duration::from_secs(1) },
            nodes_max: 10_000,
            machines_max: 20_000,
            heartbeat_every: Duration::from_millis(500),
            fence_after: Duration::from_secs(4),
            dead_after: Duration::from_secs(5),
            closed_fence_after: Duration::from_millis(300),
            closed_dead_after: Duration::from_millis(400),
            heartbeats_unanswered_max: 64,
            actors_max: 1 << 20,
            dead_actors_max: 100_000,
            name_bytes_max: 256,
            groups_max: 65_536,
            bundles_max: 4096,
            prepare_timeout: Duration::from_secs(5),
            restart_backoff: Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(30) },
            healthy_after: Duration::from_secs(1),
        }
    }
}
