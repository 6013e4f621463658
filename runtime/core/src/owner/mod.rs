//! An owner: the tasks that left the fast path of one process, the objects they make, and the leases they run on.

mod check;
mod class;
mod executors;
mod lineage;
mod object;
mod protocol;
mod reference;
mod task;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use class::{Class, Lease};
use executors::Executors;
use object::Object;
pub use protocol::{Action, Affinity, Event, Failure, FailureKind, LossCause};
use task::{Submission, Task};

use crate::ids::{Attempt, ClassId, GroupId, LeaseId, NodeId, ObjectId, OwnerId, RequestId, TaskId, TimerToken};
use crate::limits::Limits;
use crate::out::Out;
use crate::resources::Grant;
use crate::time::Time;

/// What an owner ignored, and why. For metrics and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events about attempts, requests, timers or nodes that were over.
    pub stale: u64,
    /// Events about leases that aren't held here (any more).
    pub unknown_leases: u64,
    /// References to objects that aren't there, or dropped once too often.
    pub unknown_objects: u64,
    /// Submissions and definitions under a name that is taken.
    pub taken_names: u64,
    /// Tasks started, all attempts counted.
    pub started: u64,
    /// Tasks run again to make a lost value again.
    pub rebuilt: u64,
}

/// What a request for a lease is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Class(ClassId),
    Executor(NodeId),
}

/// What a timer wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Task(TaskId),
    /// A class that was refused may ask again.
    Class(ClassId),
    /// A class looks how long its requests have waited.
    Impatient(ClassId),
    Executors(NodeId),
}

/// Where a placement group is. A group not in the table may still be reserved: its tasks wait.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Ready(Vec<NodeId>),
    Broken,
    Gone,
}

/// The machine of one owner.
///
/// Leases are asked for by class, not by task: as many as there are queued tasks, up to
/// [`Limits::class_requests_max`]. A lease runs one task after the other, oldest submission first, and goes back when the
/// queue is empty, when the node asks for it, or when its slice ([`Limits::lease_slice`]) is over. A request that waits
/// longer than [`Limits::request_patience`] moves on to another node that could serve it.
///
/// A task's record (its lineage) stays while any of its objects is referenced, or is needed to make another again. Values
/// go earlier: when no reference, borrower or unfinished task needs them. A value that no task made can't be made again,
/// so lineage keeps it too.
///
/// Invariants, asserted by [`Owner::check`]:
/// - OWN-1 (O1): an object that is needed has a copy, a pending producer, or a stored error: exactly one.
/// - OWN-2 (O4): an object's counts are exactly the tasks that name it, and it has copies only while it is needed.
/// - OWN-3 (T1): each lease runs one attempt of one task; a running task has the one lease that runs it.
/// - OWN-4: a waiting task waits for as many arguments as it counts, each of which is coming. (What is lost after it began
///   to wait, or in the queue, is noticed before its start, and waited for then.)
/// - OWN-5: queues, requests and leases agree with the tables; no more is asked for than is queued.
/// - OWN-6 (M1): every timer wakes something, and whoever rests has one; retries never grow.
/// - OWN-7: what nobody needs is gone: records, objects, lineage.
/// - OWN-8 (B1): tables are within [`Limits`].
///
/// Source: Moritz et al., OSDI'18, §4.2.1 and §4.2.3; Wang et al., NSDI'21 (ownership).
#[derive(Debug)]
pub struct Owner {
    id: OwnerId,
    local: NodeId,
    limits: Limits,
    nodes: BTreeSet<NodeId>,
    dead_nodes: BTreeSet<NodeId>,
    groups: BTreeMap<GroupId, Place>,
    dead_owners: BTreeSet<OwnerId>,
    classes: BTreeMap<ClassId, Class>,
    tasks: BTreeMap<TaskId, Task>,
    objects: BTreeMap<ObjectId, Object>,
    requests: BTreeMap<RequestId, Purpose>,
    leases: BTreeMap<LeaseId, Lease>,
    executors: Executors,
    timers: BTreeMap<TimerToken, Wake>,
    /// Tasks that are neither finished nor failed.
    live: usize,
    /// Finished tasks that can run again.
    lineage: BTreeSet<TaskId>,
    next_request: u64,
    next_timer: u64,
    counters: Counters,
    todo: Todo,
}

/// What an event left to be done, so that nothing recurses: empty between events.
#[derive(Debug, Default)]
struct Todo {
    /// Tasks to be failed.
    failing: VecDeque<(TaskId, Failure)>,
    /// Lost objects, now pending, whose producers must run; with how deep they are below what was asked for.
    rebuilding: VecDeque<(ObjectId, u32)>,
    /// Objects that lost a reference.
    loose: VecDeque<ObjectId>,
    /// Classes whose queue, leases or nodes changed.
    dirty: BTreeSet<ClassId>,
}

impl Owner {
    /// An owner in a process on node `local`, which is up.
    pub fn new(id: OwnerId, local: NodeId, limits: Limits) -> Owner {
        Owner {
            id,
            local,
            limits,
            nodes: BTreeSet::from([local]),
            dead_nodes: BTreeSet::new(),
            groups: BTreeMap::new(),
            dead_owners: BTreeSet::new(),
            classes: BTreeMap::new(),
            tasks: BTreeMap::new(),
            objects: BTreeMap::new(),
            requests: BTreeMap::new(),
            leases: BTreeMap::new(),
            executors: Executors::new(),
            timers: BTreeMap::new(),
            live: 0,
            lineage: BTreeSet::new(),
            next_request: 1,
            next_timer: 1,
            counters: Counters::default(),
            todo: Todo::default(),
        }
    }

    /// Takes one event and appends what is to be done.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Out<Action>) {
        match event {
            Event::DefineClass { class, demand, affinity } => self.define_class(class, demand, affinity),
            Event::Submit { task, class, args, returns, retries } => {
                self.submit(task, Submission { class, args, returns, retries });
            }
            Event::Adopt { task, class, args, returns, retries, node } => {
                self.adopt(task, Submission { class, args, returns, retries }, node, out);
            }
            Event::Expect { object } => self.expect(object),
            Event::Put { object, node } => self.put(object, node, out),
            Event::PutFailed { object } => self.put_failed(object, out),
            Event::Copied { object, node } => self.copied(object, node, out),
            Event::ObjectLost { object, node, attempt } => self.object_lost(object, node, attempt, out),
            Event::AddRef { object } => self.add_ref(object, out),
            Event::DropRef { object } => self.drop_ref(object),
            Event::Borrow { object, borrower } => self.borrow(object, borrower, out),
            Event::Unborrow { object, borrower } => self.unborrow(object, borrower),
            Event::OwnerDied { owner } => self.owner_died(owner),
            Event::Cancel { task } => self.cancel(task, out),
            Event::LeaseGranted { request, lease, grant } => self.lease_granted(now, request, (lease, grant), out),
            Event::LeaseRefused { request, refusal } => self.lease_refused(now, request, refusal, out),
            Event::LeaseReclaim { request, lease } => self.lease_reclaim(request, lease, out),
            Event::TaskDone { task, attempt, lease } => self.task_done(now, (task, attempt, lease), out),
            Event::TaskFailed { task, attempt, lease, kind } => {
                self.task_failed(now, (task, attempt, lease), kind, out);
            }
            Event::NodeUp { node } => self.node_up(node, out),
            Event::NodeDied { node } => self.node_died(now, node, out),
            Event::GroupReady { group, nodes } => self.group_changed(group, Place::Ready(nodes), out),
            Event::GroupBroken { group } => self.group_changed(group, Place::Broken, out),
            Event::GroupGone { group } => self.group_changed(group, Place::Gone, out),
            Event::SetExecutors { node, count } => self.set_executors(node, count, out),
            Event::ExecutorClosed { lease } => self.executor_closed(lease, out),
            Event::Timer { token } => self.timer(now, token, out),
        }
        self.settle(now, out);
    }

    /// The owner's id.
    pub const fn id(&self) -> OwnerId {
        self.id
    }

    /// What a lease of a task holds, while it is held.
    pub fn grant(&self, lease: LeaseId) -> Option<&Grant> {
        self.leases.get(&lease).map(|lease| &lease.grant)
    }

    /// The live nodes that have a copy of the object; none where it isn't ready.
    pub fn copies(&self, object: ObjectId) -> &[NodeId] {
        self.objects.get(&object).map_or(&[], |object| object.copies())
    }

    /// The attempt that made the object's value, or will; the first for what no task made.
    pub fn made_by(&self, object: ObjectId) -> Attempt {
        self.tasks.get(&object.task).map_or(Attempt::FIRST, |task| task.attempt)
    }

    /// Tasks that are neither finished nor failed.
    pub const fn live_tasks(&self) -> usize {
        self.live
    }

    /// Task records held, lineage included.
    pub fn records(&self) -> usize {
        self.tasks.len()
    }

    /// Leases held for tasks.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// What was ignored and done so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn timer(&mut self, now: Time, token: TimerToken, out: &mut Out<Action>) {
        match self.timers.remove(&token) {
            Some(Wake::Task(task)) => self.await_args(task, 0),
            Some(Wake::Class(class)) => self.resume_class(class),
            Some(Wake::Impatient(class)) => self.move_requests(now, class, out),
            Some(Wake::Executors(node)) => self.balance_executors(node, out),
            None => self.counters.stale += 1,
        }
    }

    fn node_up(&mut self, node: NodeId, out: &mut Out<Action>) {
        if self.dead_nodes.contains(&node) {
            self.counters.stale += 1;
            return;
        }
        self.nodes.insert(node);
        self.balance_executors(node, out);
        self.todo.dirty.extend(self.classes.keys());
    }

    fn node_died(&mut self, now: Time, node: NodeId, out: &mut Out<Action>) {
        self.dead_nodes.insert(node);
        while self.dead_nodes.len() > self.limits.nodes_max {
            self.dead_nodes.pop_first();
        }
        self.drop_executors_on(node);
        if !self.nodes.remove(&node) {
            self.counters.stale += 1;
            return;
        }
        let holders: Vec<ObjectId> =
            self.objects.iter().filter(|(_, o)| o.copies().contains(&node)).map(|o| *o.0).collect();
        holders.into_iter().for_each(|object| self.copy_lost(object, node));
        self.drop_leases_on(now, node, out);
        self.drop_requests_to(node);
        self.todo.dirty.extend(self.classes.keys());
    }

    /// What a class asked where its bundle is no more is taken back; what it has queued fails with its group.
    ///
    /// That a group is broken says nothing where none of its nodes is dead: either it is an old word, about where the group
    /// was before, or the node's death will be told; until then the node itself refuses.
    fn group_changed(&mut self, group: GroupId, place: Place, out: &mut Out<Action>) {
        if place == Place::Broken
            && let Some(Place::Ready(nodes)) = self.groups.get(&group)
            && !nodes.iter().any(|node| self.dead_nodes.contains(node))
        {
            self.counters.stale += 1;
            return;
        }
        let in_group = |class: &Class| class.bundle().filter(|bundle| bundle.group == group);
        let classes = self.classes.iter().filter_map(|(id, class)| Some((*id, in_group(class)?)));
        for (id, bundle) in classes.collect::<Vec<_>>() {
            let node = match &place {
                Place::Ready(nodes) => nodes.get(bundle.index as usize).copied(),
                Place::Broken | Place::Gone => None,
            };
            self.move_class(id, node, out);
            if place == Place::Gone {
                self.fail_queued(id, &Failure::GroupGone { group });
            }
        }
        self.groups.insert(group, place);
    }

    fn set_timer(&mut self, at: Time, wake: Wake, out: &mut Out<Action>) -> TimerToken {
        let token = TimerToken(self.next_timer);
        self.next_timer += 1;
        self.timers.insert(token, wake);
        out.push(Action::SetTimer { at, token });
        token
    }

    /// Does what the event left, until nothing is left. Failures first, so that nothing is started that has failed.
    fn settle(&mut self, now: Time, out: &mut Out<Action>) {
        loop {
            if let Some((task, failure)) = self.todo.failing.pop_front() {
                self.fail(task, failure, out);
            } else if let Some((object, depth)) = self.todo.rebuilding.pop_front() {
                self.rebuild(object, depth, out);
            } else if let Some(object) = self.todo.loose.pop_front() {
                self.collect(object, out);
            } else if let Some(class) = self.todo.dirty.pop_first() {
                self.feed(now, class, out);
            } else {
                return;
            }
        }
    }
}
