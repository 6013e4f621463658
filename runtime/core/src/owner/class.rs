//! Scheduling classes: asking for leases by demand, and running tasks on them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Action, Affinity, Failure, FailureKind, Owner, Place, Purpose, Wake};
use crate::ids::{Attempt, BundleId, ClassId, LeaseId, NodeId, RequestId, TaskId, TimerToken};
use crate::node::Refusal;
use crate::out::Out;
use crate::resources::{Demand, Grant, Infeasible};
use crate::time::Time;

/// Tasks that need the same in the same place.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) demand: Demand,
    pub(super) affinity: Affinity,
    /// Tasks that could run now; the oldest submission first, so that what is made again comes before what waits for it.
    pub(super) queue: BTreeSet<TaskId>,
    /// All its tasks that have a record, whatever their state.
    pub(super) records: BTreeSet<TaskId>,
    /// Requests under way.
    pub(super) requests: BTreeMap<RequestId, Asked>,
    pub(super) leases: BTreeSet<LeaseId>,
    /// Nodes that will never have what the class needs.
    pub(super) barred: BTreeMap<NodeId, Infeasible>,
    /// Refusals in a row, for the backoff.
    pub(super) refusals: u32,
    pub(super) asking: Asking,
    pub(super) patience: Patience,
}

/// A request under way: with whom, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) node: NodeId,
    pub(super) at: Time,
}

/// Whether a class watches how long its requests wait: `Calm -- asks one of several nodes --> Watching -- timer --> Calm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Calm,
    Watching { token: TimerToken },
}

/// Whether a class may ask for leases: `Free -- refused --> Paused -- timer, grant --> Free`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    Free,
    Paused { token: TimerToken },
}

/// A lease, and the run on it: it has one always, since a lease without work is given back.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) class: ClassId,
    pub(super) grant: Grant,
    pub(super) granted_at: Time,
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    pub(super) returns: u32,
    pub(super) stay: Stay,
}

/// What becomes of a lease when its run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// It runs the next task, while there is one and the slice is not over.
    Keep,
    /// It is given back: the node has asked for it.
    GiveBack,
}

/// Where a class may ask next.
enum Target {
    At(NodeId),
    /// Nowhere now.
    Wait,
    /// Nowhere ever.
    Never(Failure),
}

impl Owner {
    pub(super) fn define_class(&mut self, id: ClassId, demand: Demand, affinity: Affinity) {
        if self.classes.contains_key(&id) || self.classes.len() >= self.limits.classes_max {
            self.counters.taken_names += 1;
            return;
        }
        let class = Class {
            demand,
            affinity,
            queue: BTreeSet::new(),
            records: BTreeSet::new(),
            requests: BTreeMap::new(),
            leases: BTreeSet::new(),
            barred: BTreeMap::new(),
            refusals: 0,
            asking: Asking::Free,
            patience: Patience::Calm,
        };
        self.classes.insert(id, class);
    }

    /// Brings what a class asks for in line with what it has queued.
    pub(super) fn feed(&mut self, now: Time, id: ClassId, out: &mut Out<Action>) {
        if self.classes.get(&id).is_some_and(|class| self.is_over(class)) {
            self.classes.remove(&id);
        }
        let Some(class) = self.classes.get_mut(&id) else { return };
        let wanted = class.queue.len().min(self.limits.class_requests_max);
        while class.requests.len() > wanted {
            let (request, asked) = class.requests.pop_last().expect("there are some");
            self.requests.remove(&request);
            out.push(Action::CancelRequest { node: asked.node, request });
        }
        if class.asking == Asking::Free && class.requests.len() < wanted {
            self.ask(now, id, wanted, out);
        }
    }

    /// Whether its group is gone and nothing of it is left.
    pub(super) fn is_over(&self, class: &Class) -> bool {
        let is_gone = |bundle: BundleId| self.groups.get(&bundle.group) == Some(&Place::Gone);
        class.is_idle() && class.bundle().is_some_and(is_gone)
    }

    fn ask(&mut self, now: Time, id: ClassId, wanted: usize, out: &mut Out<Action>) {
        let class = &self.classes[&id];
        let mut load = self.load_of(class);
        for _ in class.requests.len()..wanted {
            match self.target(&self.classes[&id], &load) {
                Target::At(node) => {
                    *load.entry(node).or_insert(0) += 1;
                    self.request_lease(now, id, node, out);
                }
                Target::Wait => return,
                Target::Never(failure) => return self.fail_queued(id, &failure),
            }
        }
        self.watch(now, id, out);
    }

    fn request_lease(&mut self, now: Time, id: ClassId, node: NodeId, out: &mut Out<Action>) {
        let request = self.new_request(Purpose::Class(id));
        let class = self.classes.get_mut(&id).expect("it asks");
        class.requests.insert(request, Asked { node, at: now });
        let demand = class.demand.clone();
        out.push(Action::RequestLease { node, request, demand, bundle: class.bundle(), revocable: false });
    }

    /// Sets a timer for requests that wait too long on one of several nodes.
    fn watch(&mut self, now: Time, id: ClassId, out: &mut Out<Action>) {
        let class = &self.classes[&id];
        let is_needed = !class.requests.is_empty() && class.patience == Patience::Calm;
        if is_needed && class.may_move() && self.able(class).nth(1).is_some() {
            let token = self.set_timer(now + self.limits.request_patience, Wake::Impatient(id), out);
            self.classes.get_mut(&id).expect("it asks").patience = Patience::Watching { token };
        }
    }

    /// Makes requests that have waited too long on one node at another. Their nodes may be full of what never ends.
    pub(super) fn move_requests(&mut self, now: Time, id: ClassId, out: &mut Out<Action>) {
        let class = self.classes.get_mut(&id).expect("OWN-6: a timer's class is defined");
        class.patience = Patience::Calm;
        let patience = self.limits.request_patience;
        let late = class.requests.iter().filter(|(_, asked)| now.since(asked.at) >= patience);
        for (request, asked) in late.map(|(request, asked)| (*request, *asked)).collect::<Vec<_>>() {
            let class = &self.classes[&id];
            let load = self.load_of(class);
            let others = self.able(class).filter(|node| *node != asked.node);
            if let Some(node) = others.min_by_key(|node| (load.get(node).copied().unwrap_or(0), *node)) {
                self.classes.get_mut(&id).expect("it asks").requests.remove(&request);
                self.requests.remove(&request);
                out.push(Action::CancelRequest { node: asked.node, request });
                self.request_lease(now, id, node, out);
            }
        }
        self.watch(now, id, out);
    }

    /// Live nodes that may have what a class needs.
    fn able(&self, class: &Class) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().copied().filter(|node| !class.barred.contains_key(node))
    }

    pub(super) fn new_request(&mut self, purpose: Purpose) -> RequestId {
        let request = RequestId { owner: self.id, seq: self.next_request };
        self.next_request += 1;
        self.requests.insert(request, purpose);
        request
    }

    /// How much a class asks of each node, and where it spreads, has of it.
    fn load_of(&self, class: &Class) -> BTreeMap<NodeId, usize> {
        let mut load = BTreeMap::new();
        class.requests.values().for_each(|asked| *load.entry(asked.node).or_insert(0) += 1);
        if class.affinity == Affinity::Spread {
            class.leases.iter().for_each(|lease| *load.entry(lease.node).or_insert(0) += 1);
        }
        load
    }

    fn target(&self, class: &Class, load: &BTreeMap<NodeId, usize>) -> Target {
        match class.affinity {
            Affinity::Any | Affinity::Spread => self.least_asked(class, load),
            Affinity::Only(node) if !self.nodes.contains(&node) => Target::Never(Failure::NodeGone { node }),
            Affinity::Only(node) => match class.barred.get(&node) {
                Some(infeasible) => Target::Never(Failure::Infeasible(infeasible.clone())),
                None => Target::At(node),
            },
            Affinity::Prefer(node) if self.nodes.contains(&node) && !class.barred.contains_key(&node) => {
                Target::At(node)
            }
            Affinity::Prefer(_) => self.least_asked(class, load),
            Affinity::Bundle(bundle) => self.bundle_target(class, bundle),
        }
    }

    /// The node that the class asks least; of equals the local one.
    fn least_asked(&self, class: &Class, load: &BTreeMap<NodeId, usize>) -> Target {
        let rank = |node: &NodeId| (load.get(node).copied().unwrap_or(0), *node != self.local, *node);
        if let Some(node) = self.able(class).min_by_key(rank) {
            return Target::At(node);
        }
        let refusals = self.nodes.iter().filter_map(|node| class.barred.get(node)).cloned();
        match refusals.reduce(Infeasible::closer) {
            Some(infeasible) => Target::Never(Failure::Infeasible(infeasible.of_largest_node())),
            None => Target::Wait,
        }
    }

    fn bundle_target(&self, class: &Class, bundle: BundleId) -> Target {
        let gone = Target::Never(Failure::GroupGone { group: bundle.group });
        match self.groups.get(&bundle.group) {
            None | Some(Place::Broken) => Target::Wait,
            Some(Place::Gone) => gone,
            Some(Place::Ready(nodes)) => match nodes.get(bundle.index as usize) {
                None => gone,
                Some(node) => match class.barred.get(node) {
                    Some(infeasible) => Target::Never(Failure::Infeasible(infeasible.clone())),
                    None if self.nodes.contains(node) => Target::At(*node),
                    None => Target::Wait,
                },
            },
        }
    }

    pub(super) fn fail_queued(&mut self, id: ClassId, failure: &Failure) {
        let queue = &self.classes[&id].queue;
        self.todo.failing.extend(queue.iter().map(|task| (*task, failure.clone())));
    }

    pub(super) fn lease_granted(
        &mut self,
        now: Time,
        request: RequestId,
        (lease, grant): (LeaseId, Grant),
        out: &mut Out<Action>,
    ) {
        match self.requests.remove(&request) {
            None if self.leases.contains_key(&lease) || self.is_executors(lease) => self.counters.stale += 1,
            None => {
                self.counters.stale += 1;
                out.push(Action::ReturnLease { lease });
            }
            Some(Purpose::Executor(_)) => self.open_executor(request, lease, grant, out),
            Some(Purpose::Class(id)) => {
                let class = self.classes.get_mut(&id).expect("OWN-5: a request's class is defined");
                class.requests.remove(&request);
                class.refusals = 0;
                if let Some(task) = self.next_task(id) {
                    self.classes.get_mut(&id).expect("it has a task").leases.insert(lease);
                    let held = self.lease_for(now, id, grant, task);
                    self.leases.insert(lease, held);
                    self.start(task, lease, out);
                } else {
                    out.push(Action::ReturnLease { lease });
                }
                self.todo.dirty.insert(id);
            }
        }
    }

    fn lease_for(&self, granted_at: Time, class: ClassId, grant: Grant, id: TaskId) -> Lease {
        let task = &self.tasks[&id];
        let (attempt, returns) = (task.attempt, task.returns);
        Lease { class, grant, granted_at, task: id, attempt, returns, stay: Stay::Keep }
    }

    /// Takes the next task of a class that can run. One whose arguments were lost in the queue waits for them again.
    fn next_task(&mut self, id: ClassId) -> Option<TaskId> {
        while let Some(task) = self.classes.get_mut(&id)?.queue.pop_first() {
            if self.has_args(task) {
                return Some(task);
            }
            self.await_args(task, 0);
        }
        None
    }

    fn start(&mut self, id: TaskId, lease: LeaseId, out: &mut Out<Action>) {
        let task = self.tasks.get_mut(&id).expect("a queued task has a record");
        task.state = super::task::State::Running { lease };
        self.counters.started += 1;
        out.push(Action::Start { task: id, attempt: task.attempt, lease, node: lease.node });
    }

    /// The run on a lease has ended: the next, or back to the node.
    pub(super) fn reuse_lease(&mut self, now: Time, id: LeaseId, out: &mut Out<Action>) {
        let lease = &self.leases[&id];
        let class = lease.class;
        self.todo.dirty.insert(class);
        let is_over = now.since(lease.granted_at) >= self.limits.lease_slice;
        if lease.stay == Stay::Keep
            && !is_over
            && let Some(task) = self.next_task(class)
        {
            let lease = self.leases.get_mut(&id).expect("it was just there");
            let record = &self.tasks[&task];
            (lease.task, lease.attempt, lease.returns) = (task, record.attempt, record.returns);
            return self.start(task, id, out);
        }
        self.leases.remove(&id);
        self.classes.get_mut(&class).expect("OWN-5: a lease's class is defined").leases.remove(&id);
        out.push(Action::ReturnLease { lease: id });
    }

    pub(super) fn lease_refused(&mut self, now: Time, request: RequestId, refusal: Refusal, out: &mut Out<Action>) {
        match self.requests.remove(&request) {
            None => self.counters.stale += 1,
            Some(Purpose::Executor(node)) => self.executor_refused(now, (node, request), &refusal, out),
            Some(Purpose::Class(id)) => {
                let class = self.classes.get_mut(&id).expect("OWN-5: a request's class is defined");
                let asked = class.requests.remove(&request).expect("OWN-5: a request is its class's");
                match refusal {
                    Refusal::Infeasible(infeasible) => drop(class.barred.insert(asked.node, infeasible)),
                    Refusal::OwnerDead(_) => self.fail_queued(id, &Failure::OwnerFenced),
                    Refusal::QueueFull | Refusal::BundleGone(_) | Refusal::Stale => self.pause_class(now, id, out),
                }
                self.todo.dirty.insert(id);
            }
        }
    }

    fn pause_class(&mut self, now: Time, id: ClassId, out: &mut Out<Action>) {
        let class = self.classes.get_mut(&id).expect("it was refused");
        if class.asking != Asking::Free {
            return;
        }
        class.refusals += 1;
        let wait = self.limits.request_backoff.wait(class.refusals, u64::from(id.0));
        let token = self.set_timer(now + wait, Wake::Class(id), out);
        self.classes.get_mut(&id).expect("it was refused").asking = Asking::Paused { token };
    }

    pub(super) fn resume_class(&mut self, id: ClassId) {
        self.classes.get_mut(&id).expect("OWN-6: a timer's class is defined").asking = Asking::Free;
        self.todo.dirty.insert(id);
    }

    pub(super) fn lease_reclaim(&mut self, request: RequestId, lease: LeaseId, out: &mut Out<Action>) {
        if let Some(held) = self.leases.get_mut(&lease) {
            held.stay = Stay::GiveBack;
        } else if self.is_executors(lease) {
            self.close_executor(lease, out);
        } else {
            self.give_up_request(request, lease, out);
        }
    }

    /// A lease is asked back before it came. Its request is cancelled, which gives it back, and made again.
    fn give_up_request(&mut self, request: RequestId, lease: LeaseId, out: &mut Out<Action>) {
        match self.requests.remove(&request) {
            None => {
                self.counters.stale += 1;
                return;
            }
            Some(Purpose::Executor(node)) => self.forget_executor(node, request),
            Some(Purpose::Class(id)) => {
                self.classes.get_mut(&id).expect("OWN-5: a request's class is defined").requests.remove(&request);
                self.todo.dirty.insert(id);
            }
        }
        out.push(Action::CancelRequest { node: lease.node, request });
        self.balance_executors(lease.node, out);
    }

    /// A class's bundle is on another node now, or on none: requests made elsewhere are taken back.
    pub(super) fn move_class(&mut self, id: ClassId, to: Option<NodeId>, out: &mut Out<Action>) {
        let class = self.classes.get_mut(&id).expect("it is being moved");
        class.barred.clear();
        class.requests.retain(|request, asked| {
            let keep = to == Some(asked.node);
            if !keep {
                self.requests.remove(request);
                out.push(Action::CancelRequest { node: asked.node, request: *request });
            }
            keep
        });
        self.todo.dirty.insert(id);
    }

    /// The leases of a dead node are gone; what ran on them runs again.
    pub(super) fn drop_leases_on(&mut self, now: Time, node: NodeId, out: &mut Out<Action>) {
        let first = LeaseId { node, seq: 0 };
        let last = LeaseId { node, seq: u64::MAX };
        let dead: Vec<LeaseId> = self.leases.range(first..=last).map(|(id, _)| *id).collect();
        for id in dead {
            let lease = self.leases.remove(&id).expect("it was just there");
            self.classes.get_mut(&lease.class).expect("OWN-5: a lease's class is defined").leases.remove(&id);
            if self.tasks.get(&lease.task).is_some_and(|task| task.runs(lease.attempt, id)) {
                self.retry_or_fail(now, lease.task, (node, FailureKind::System), out);
            }
        }
    }

    /// What was asked of a dead node will not be answered.
    pub(super) fn drop_requests_to(&mut self, node: NodeId) {
        for class in self.classes.values_mut() {
            class.barred.remove(&node);
            class.requests.retain(|request, asked| {
                let keep = asked.node != node;
                if !keep {
                    self.requests.remove(request);
                }
                keep
            });
        }
    }
}

impl Class {
    /// Whether its tasks may run on more than one node.
    fn may_move(&self) -> bool {
        matches!(self.affinity, Affinity::Any | Affinity::Spread | Affinity::Prefer(_))
    }

    fn is_idle(&self) -> bool {
        let is_unused = self.records.is_empty() && self.leases.is_empty() && self.requests.is_empty();
        is_unused && self.asking == Asking::Free && self.patience == Patience::Calm
    }

    /// The bundle that its tasks run in.
    pub(super) fn bundle(&self) -> Option<BundleId> {
        match self.affinity {
            Affinity::Bundle(bundle) => Some(bundle),
            _ => None,
        }
    }
}
