//! The invariants of an owner.

use alloc::collections::BTreeMap;

use super::class::{Asking, Class, Lease, Patience};
use super::object::{Object, Origin, Refs, State as ObjectState};
use super::task::{State, Task};
use super::{Owner, Purpose, Wake};
use crate::ids::{ClassId, LeaseId, ObjectId, TaskId};

impl Owner {
    /// Asserts the invariants that [`Owner`] lists. Linear in the owner's state, but for a logarithm.
    ///
    /// # Panics
    /// Where one doesn't hold, with its id.
    pub fn check(&self) {
        let todo = &self.todo;
        let is_settled = todo.failing.is_empty() && todo.rebuilding.is_empty() && todo.loose.is_empty();
        assert!(is_settled && todo.dirty.is_empty(), "OWN-7: something was left undone");
        self.check_objects();
        self.tasks.iter().for_each(|(id, task)| self.check_task(*id, task));
        self.classes.iter().for_each(|(id, class)| self.check_class(*id, class));
        self.leases.iter().for_each(|(id, lease)| self.check_lease(*id, lease));
        self.check_requests();
        self.check_timers();
        self.check_bounds();
    }

    fn check_objects(&self) {
        let mut named: BTreeMap<ObjectId, Refs> = BTreeMap::new();
        for task in self.tasks.values() {
            for arg in &task.args {
                let refs = named.entry(*arg).or_default();
                refs.lineage += 1;
                refs.in_flight += u32::from(task.is_live());
            }
        }
        let none = Refs::default();
        for (id, object) in &self.objects {
            let refs = named.get(id).unwrap_or(&none);
            assert_eq!(object.refs.in_flight, refs.in_flight, "OWN-2: object {id} in flight");
            assert_eq!(object.refs.lineage, refs.lineage, "OWN-2: object {id} in lineage");
            assert!(object.refs.borrowers.values().all(|count| *count > 0), "OWN-2: object {id} is borrowed by nobody");
            let dead = object.refs.borrowers.keys().find(|borrower| self.dead_owners.contains(borrower));
            assert_eq!(dead, None, "OWN-2: object {id} is borrowed by the dead");
            self.check_object(*id, object);
        }
        let unknown = named.keys().find(|id| !self.objects.contains_key(id));
        assert_eq!(unknown, None, "OWN-2: an argument is not kept");
    }

    fn check_object(&self, id: ObjectId, object: &Object) {
        let task = self.tasks.get(&id.task);
        assert_eq!(task.is_some(), object.origin == Origin::Task, "OWN-7: object {id} and its task");
        match &object.state {
            ObjectState::Pending { .. } => {
                assert!(task.is_none_or(Task::is_live), "OWN-1: object {id} is pending, and nobody makes it");
            }
            ObjectState::Ready { copies } => {
                assert!(object.is_needed(), "OWN-2: object {id} has copies that nobody needs");
                assert!(!copies.is_empty(), "OWN-1: object {id} is ready nowhere");
                let dead = copies.iter().find(|node| !self.nodes.contains(node));
                assert_eq!(dead, None, "OWN-1: object {id} has a copy on a dead node");
                let mut sorted = copies.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), copies.len(), "OWN-1: object {id} is twice on a node");
            }
            ObjectState::Failed { .. } => {}
            ObjectState::Gone => assert!(!object.is_needed(), "OWN-1: object {id} is needed and gone"),
        }
        let is_coming = matches!(object.state, ObjectState::Pending { .. });
        let is_kept = task.is_some() || !object.refs.is_empty() || is_coming;
        assert!(is_kept, "OWN-7: object {id} is kept for nobody");
    }

    fn check_task(&self, id: TaskId, task: &Task) {
        for index in 0..task.returns {
            assert!(self.objects.contains_key(&id.object(index)), "OWN-7: task {id} without its objects");
        }
        let class = self.classes.get(&task.class);
        let is_known = class.is_none_or(|class| class.records.contains(&id)) || task.state == State::Failed;
        assert!(is_known, "OWN-5: class {} doesn't know of task {id}", task.class);
        let is_queued = class.is_some_and(|class| class.queue.contains(&id));
        assert_eq!(is_queued, task.state == State::Queued, "OWN-5: task {id} in its queue");
        assert_eq!(self.lineage.contains(&id), task.state == State::Done, "OWN-7: task {id} in lineage");
        match &task.state {
            State::Waiting { missing } => {
                assert!(*missing > 0, "OWN-4: task {id} waits for nothing");
                let mut args = task.args.clone();
                args.sort_unstable();
                args.dedup();
                let waits: usize = args.iter().map(|arg| self.objects[arg].waits(id)).sum();
                assert_eq!(*missing, waits, "OWN-4: task {id} waits for what isn't coming");
            }
            State::Resting { token } => {
                assert_eq!(self.timers.get(token), Some(&Wake::Task(id)), "OWN-6: task {id} sleeps for ever");
            }
            State::Running { lease } => {
                let run = self.leases.get(lease).map(|lease| (lease.task, lease.attempt));
                assert_eq!(run, Some((id, task.attempt)), "OWN-3: task {id} runs on {lease}");
            }
            State::Queued => {}
            State::Done | State::Failed | State::Forgotten => {
                let used = (0..task.returns).any(|index| !self.objects[&id.object(index)].refs.is_empty());
                assert!(used, "OWN-7: task {id} is kept for nobody");
                let keeps_args = task.state == State::Done || task.args.is_empty();
                assert!(keeps_args, "OWN-7: task {id} can't run again and keeps its arguments");
            }
        }
    }

    fn check_class(&self, id: ClassId, class: &Class) {
        assert!(!self.is_over(class), "OWN-7: class {id} of a gone group, and nothing needs it");
        for task in &class.records {
            assert!(
                self.tasks.get(task).is_some_and(|task| task.class == id),
                "OWN-5: task {task} has a record in {id}"
            );
        }
        let queued = class.queue.len();
        assert!(
            class.requests.len() <= queued.min(self.limits.class_requests_max),
            "OWN-5: class {id} asks for too much"
        );
        for task in &class.queue {
            let is_queued = self.tasks.get(task).is_some_and(|task| task.state == State::Queued && task.class == id);
            assert!(is_queued, "OWN-5: {task} is not queued in {id}");
        }
        for (request, asked) in &class.requests {
            assert_eq!(self.requests.get(request), Some(&Purpose::Class(id)), "OWN-5: request {request}");
            assert!(self.nodes.contains(&asked.node), "OWN-5: request {request} to a dead node");
        }
        for lease in &class.leases {
            assert!(self.leases.get(lease).is_some_and(|lease| lease.class == id), "OWN-5: lease {lease} of {id}");
        }
        if let Patience::Watching { token } = class.patience {
            assert_eq!(self.timers.get(&token), Some(&Wake::Impatient(id)), "OWN-6: class {id} watches for ever");
        }
        if let Asking::Paused { token } = class.asking {
            assert_eq!(self.timers.get(&token), Some(&Wake::Class(id)), "OWN-6: class {id} sleeps for ever");
        }
    }

    fn check_lease(&self, id: LeaseId, lease: &Lease) {
        assert!(self.nodes.contains(&id.node), "OWN-3: lease {id} on a dead node");
        assert!(self.classes[&lease.class].leases.contains(&id), "OWN-5: lease {id} is not its class's");
        assert!(!self.is_executors(id), "OWN-5: lease {id} is a task's and an executor's");
        // Its task may have been cancelled, and even be gone; but no other attempt of it may run here.
        if let Some(State::Running { lease: on }) = self.tasks.get(&lease.task).map(|task| &task.state)
            && *on == id
        {
            assert_eq!(self.tasks[&lease.task].attempt, lease.attempt, "OWN-3: lease {id}");
        }
    }

    fn check_requests(&self) {
        for (request, purpose) in &self.requests {
            let is_known = match purpose {
                Purpose::Class(class) => self.classes[class].requests.contains_key(request),
                Purpose::Executor(node) => self.executors[node].requests.contains(request),
            };
            assert!(is_known, "OWN-5: nobody waits for request {request}");
        }
        for (node, team) in &self.executors {
            assert!(!self.dead_nodes.contains(node), "OWN-5: executors on dead {node}");
            assert!(team.requests.iter().all(|request| self.requests.contains_key(request)), "OWN-5: executors");
            let running = team.seats.values().filter(|seat| **seat == super::executors::Seat::Open).count();
            assert!(team.requests.len() + running <= team.wanted, "OWN-5: too many executors on {node}");
        }
    }

    fn check_timers(&self) {
        for (token, wake) in &self.timers {
            let is_awaited = match wake {
                Wake::Task(task) => self.tasks[task].state == State::Resting { token: *token },
                Wake::Class(class) => self.classes[class].asking == Asking::Paused { token: *token },
                Wake::Impatient(class) => self.classes[class].patience == Patience::Watching { token: *token },
                Wake::Executors(_) => true,
            };
            assert!(is_awaited, "OWN-6: nobody waits for {token}");
        }
    }

    fn check_bounds(&self) {
        let live = self.tasks.values().filter(|task| task.is_live()).count();
        assert_eq!(live, self.live, "OWN-8: live tasks");
        let limits = &self.limits;
        assert!(self.lineage.len() <= limits.lineage_max, "OWN-8: too much lineage");
        assert!(self.classes.len() <= limits.classes_max, "OWN-8: too many classes");
        assert!(self.dead_nodes.len() <= limits.nodes_max, "OWN-8: too many dead nodes remembered");
        assert!(self.nodes.is_disjoint(&self.dead_nodes), "OWN-3: a dead node is up");
        assert!(self.dead_owners.len() <= limits.dead_owners_max, "OWN-8: too many dead owners remembered");
    }
}
