//! An object: who needs it, and where its value is.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Action, Failure, LossCause, Owner};
use crate::ids::{Attempt, NodeId, ObjectId, OwnerId, TaskId};
use crate::out::Out;

/// An object that somebody refers to, or may have to be made again.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) refs: Refs,
    pub(super) origin: Origin,
    pub(super) state: State,
}

/// Who needs an object.
#[derive(Debug, Default)]
pub(super) struct Refs {
    /// References in this process.
    pub(super) local: u32,
    /// Live tasks that name it as an argument, as often as they do.
    pub(super) in_flight: u32,
    /// Records that name it as an argument, as often as they do.
    pub(super) lineage: u32,
    /// Other owners, with how many references they hold.
    pub(super) borrowers: BTreeMap<OwnerId, u32>,
}

impl Refs {
    /// Whether somebody needs the value itself, not only the way to make it.
    fn need_value(&self) -> bool {
        self.local > 0 || self.in_flight > 0 || !self.borrowers.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.need_value() && self.lineage == 0
    }
}

/// Who makes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The task in its name.
    Task,
    /// Something that is no business of this machine.
    Outside,
}

/// Where an object's value is.
///
/// ```text
///   Submit, Expect --> Pending -- TaskDone, Put --> Ready -- nobody needs it --> Gone
///                       |   ^                         |                           |
///              failure  |   '---- the last copy lost -'                           |
///                       v   '---------------------------- somebody needs it again-'
///                     Failed
/// ```
#[derive(Debug)]
pub(super) enum State {
    /// It will be made; these tasks wait for it, as often as they name it.
    Pending { waiters: Vec<TaskId> },
    /// On these live nodes, at least one.
    Ready { copies: Vec<NodeId> },
    /// It will never be there.
    Failed { failure: Failure },
    /// Nobody needs the value; it can be made again.
    Gone,
}

impl Object {
    fn new(origin: Origin) -> Object {
        let refs = Refs { local: 1, ..Refs::default() };
        Object { refs, origin, state: State::Pending { waiters: Vec::new() } }
    }

    /// Whether the value must be kept or made. One that can't be made again is kept for lineage's sake, too.
    pub(super) fn is_needed(&self) -> bool {
        self.refs.need_value() || (self.origin == Origin::Outside && self.refs.lineage > 0)
    }

    /// How often a task waits for it.
    pub(super) fn waits(&self, task: TaskId) -> usize {
        match &self.state {
            State::Pending { waiters } => waiters.iter().filter(|waiter| **waiter == task).count(),
            _ => 0,
        }
    }

    pub(super) fn copies(&self) -> &[NodeId] {
        match &self.state {
            State::Ready { copies } => copies,
            _ => &[],
        }
    }
}

impl Failure {
    /// The failure of a task that needs `object`, which failed with this one: it names the first object that failed.
    pub(super) fn passed_on(&self, object: ObjectId) -> Failure {
        match self {
            Failure::Argument { object: first } => Failure::Argument { object: *first },
            _ => Failure::Argument { object },
        }
    }
}

impl Owner {
    /// Registers what a task will make, each with one local reference.
    pub(super) fn expect_returns(&mut self, task: TaskId, returns: u32) {
        for index in 0..returns {
            self.objects.insert(task.object(index), Object::new(Origin::Task));
        }
    }

    pub(super) fn expect(&mut self, id: ObjectId) {
        if id.task.owner != self.id || self.objects.contains_key(&id) || self.tasks.contains_key(&id.task) {
            self.counters.taken_names += 1;
            return;
        }
        self.objects.insert(id, Object::new(Origin::Outside));
    }

    pub(super) fn put(&mut self, id: ObjectId, node: NodeId, out: &mut Out<Action>) {
        if !self.objects.contains_key(&id) {
            self.expect(id);
        }
        match self.objects.get(&id) {
            Some(object) if object.origin == Origin::Outside => {}
            _ => {
                self.counters.taken_names += 1;
                return;
            }
        }
        if self.nodes.contains(&node) {
            self.object_ready(id, node, out);
        } else {
            self.counters.stale += 1;
            self.object_failed(id, &Failure::Lost { object: id, cause: LossCause::NoProducer }, out);
        }
        self.todo.loose.push_back(id);
    }

    pub(super) fn put_failed(&mut self, id: ObjectId, out: &mut Out<Action>) {
        match self.objects.get(&id) {
            Some(object) if object.origin == Origin::Outside => {
                self.object_failed(id, &Failure::Outside { object: id }, out);
                self.todo.loose.push_back(id);
            }
            _ => self.counters.unknown_objects += 1,
        }
    }

    pub(super) fn copied(&mut self, id: ObjectId, node: NodeId, out: &mut Out<Action>) {
        if !self.nodes.contains(&node) {
            self.counters.stale += 1;
            return;
        }
        match self.objects.get(&id) {
            Some(_) => {
                self.object_ready(id, node, out);
                self.todo.loose.push_back(id);
            }
            None => {
                self.counters.unknown_objects += 1;
                self.release(id, node, out);
            }
        }
    }

    pub(super) fn object_lost(&mut self, id: ObjectId, node: NodeId, attempt: Attempt, out: &mut Out<Action>) {
        if self.copies(id).contains(&node) && attempt >= self.made_by(id) {
            // Whoever said so may have looked before the copy came: it would lie there for ever.
            self.release(id, node, out);
            self.copy_lost(id, node);
        } else {
            self.counters.stale += 1;
        }
    }

    /// One copy less; with the last one the value must be made again, since values are kept only while they are needed.
    pub(super) fn copy_lost(&mut self, id: ObjectId, node: NodeId) {
        let object = self.objects.get_mut(&id).expect("it has a copy");
        let State::Ready { copies } = &mut object.state else { unreachable!("it has a copy") };
        copies.retain(|copy| *copy != node);
        if copies.is_empty() {
            object.state = State::Pending { waiters: Vec::new() };
            self.todo.rebuilding.push_back((id, 0));
        }
    }

    /// A copy of the value is on a node.
    pub(super) fn object_ready(&mut self, id: ObjectId, node: NodeId, out: &mut Out<Action>) {
        let Some(object) = self.objects.get_mut(&id) else {
            return self.release(id, node, out);
        };
        match &mut object.state {
            State::Ready { copies } if copies.contains(&node) => {}
            State::Ready { copies } => copies.push(node),
            State::Failed { .. } => out.push(Action::Release { object: id, node, attempt: Attempt(u32::MAX) }),
            State::Gone => object.state = State::Ready { copies: Vec::from([node]) },
            State::Pending { waiters } => {
                let waiters = core::mem::take(waiters);
                object.state = State::Ready { copies: Vec::from([node]) };
                if object.is_needed() {
                    out.push(Action::ObjectReady { object: id, node });
                }
                waiters.into_iter().for_each(|waiter| self.argument_ready(waiter));
            }
        }
    }

    /// A pending value will never be there: says so to those who need it, and fails the tasks that wait for it.
    pub(super) fn object_failed(&mut self, id: ObjectId, failure: &Failure, out: &mut Out<Action>) {
        let Some(object) = self.objects.get_mut(&id) else { return };
        let State::Pending { waiters } = &mut object.state else { return };
        let waiters = core::mem::take(waiters);
        object.state = State::Failed { failure: failure.clone() };
        if object.is_needed() {
            out.push(Action::ObjectFailed { object: id, failure: failure.clone() });
        }
        let passed_on = failure.passed_on(id);
        self.todo.failing.extend(waiters.into_iter().map(|waiter| (waiter, passed_on.clone())));
    }

    /// Releases a value that nobody needs, and its record with the last that may need it again.
    pub(super) fn collect(&mut self, id: ObjectId, out: &mut Out<Action>) {
        let Some(object) = self.objects.get(&id) else { return };
        match object.origin {
            Origin::Task => {
                self.release_value(id, out);
                self.retire(id.task, out);
            }
            // One that is still to come stays, so that it is known when it does.
            Origin::Outside if object.refs.is_empty() && !matches!(object.state, State::Pending { .. }) => {
                self.release_value(id, out);
                self.objects.remove(&id);
            }
            Origin::Outside => {}
        }
    }

    /// Drops a copy. It was made by the last attempt of its task, or will never be made again.
    fn release(&self, object: ObjectId, node: NodeId, out: &mut Out<Action>) {
        let attempt = self.tasks.get(&object.task).map_or(Attempt(u32::MAX), |task| task.attempt);
        out.push(Action::Release { object, node, attempt });
    }

    /// Drops all copies of a value that nobody needs.
    pub(super) fn release_value(&mut self, id: ObjectId, out: &mut Out<Action>) {
        let object = self.objects.get_mut(&id).expect("it is being released");
        if object.is_needed() {
            return;
        }
        if let State::Ready { copies } = &mut object.state {
            let copies = core::mem::take(copies);
            object.state = State::Gone;
            copies.into_iter().for_each(|node| self.release(id, node, out));
        }
    }
}
