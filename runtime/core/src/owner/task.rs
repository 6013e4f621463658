//! A task's way from its submission to its end.

use alloc::vec::Vec;

use super::class::Lease;
use super::object::State as ObjectState;
use super::{Action, Failure, FailureKind, Owner, Wake};
use crate::ids::{Attempt, ClassId, LeaseId, NodeId, ObjectId, TaskId, TimerToken};
use crate::out::Out;
use crate::time::Time;

/// What a submission says about its task.
pub(super) struct Submission {
    pub(super) class: ClassId,
    pub(super) args: Vec<ObjectId>,
    pub(super) returns: u32,
    pub(super) retries: u32,
}

/// The record of a task. It is its lineage, too: all that is needed to run it again, but for the payload, which the driver
/// keeps under the task's name.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) class: ClassId,
    /// What it needs, as often as it names it. Each counts as lineage, and as in flight while the task is live.
    pub(super) args: Vec<ObjectId>,
    pub(super) returns: u32,
    pub(super) retries_left: u32,
    /// The attempt that runs, or that will run next.
    pub(super) attempt: Attempt,
    /// Failures so far, for the backoff.
    pub(super) failures: u32,
    pub(super) state: State,
}

/// Where a task is.
///
/// ```text
///   Submit --> Waiting --> Queued --> Running --> Done --> Forgotten     (lineage dropped)
///                 ^           |          |          |
///                 |           | argument | failure  | value lost
///                 |           v lost     v          |
///                 |<------ Waiting    Resting       |                   any but Done and Forgotten --> Failed
///                 |<-------------------- ' timer    |
///                 '<--------------------------------'
/// ```
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// For so many arguments.
    Waiting {
        missing: usize,
    },
    Queued,
    /// Between two attempts.
    Resting {
        token: TimerToken,
    },
    Running {
        lease: LeaseId,
    },
    Done,
    Failed,
    /// Done, and can't run again: its arguments are no longer kept.
    Forgotten,
}

impl Task {
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.state, State::Done | State::Failed | State::Forgotten)
    }

    /// Whether it runs on this lease, whose run is `attempt`.
    pub(super) fn runs(&self, attempt: Attempt, lease: LeaseId) -> bool {
        let runs = self.state == State::Running { lease };
        assert!(
            !runs || self.attempt == attempt,
            "OWN-3: {lease} runs {attempt} of a task that is at {}",
            self.attempt
        );
        runs
    }
}

impl Owner {
    pub(super) fn submit(&mut self, id: TaskId, submission: Submission) {
        if self.is_taken(id) {
            return;
        }
        let refusal = self.refusal(&submission);
        let args = if refusal.is_some() { Vec::new() } else { submission.args.clone() };
        self.enlist(id, Submission { args, ..submission });
        match refusal {
            Some(failure) => self.todo.failing.push_back((id, failure)),
            None => self.await_args(id, 0),
        }
    }

    /// A task that has run: it is as one that was submitted and is done now, or that has lost its values at once.
    pub(super) fn adopt(&mut self, id: TaskId, submission: Submission, node: NodeId, out: &mut Out<Action>) {
        if self.is_taken(id) {
            return;
        }
        if self.refusal(&submission).is_some() {
            return (0..submission.returns).for_each(|index| self.put(id.object(index), node, out));
        }
        self.enlist(id, submission);
        if self.nodes.contains(&node) {
            self.finish(id, node, out);
        } else {
            self.await_args(id, 0);
        }
    }

    fn is_taken(&mut self, id: TaskId) -> bool {
        let is_taken = id.owner != self.id || self.tasks.contains_key(&id) || self.objects.contains_key(&id.object(0));
        self.counters.taken_names += u64::from(is_taken);
        is_taken
    }

    /// Takes a task up, whose arguments are known.
    fn enlist(&mut self, id: TaskId, Submission { class, args, returns, retries }: Submission) {
        for arg in &args {
            let refs = &mut self.objects.get_mut(arg).expect("its arguments are known").refs;
            refs.in_flight += 1;
            refs.lineage += 1;
        }
        self.expect_returns(id, returns);
        let state = State::Waiting { missing: 0 };
        let attempt = Attempt::FIRST;
        self.tasks.insert(id, Task { class, args, returns, retries_left: retries, attempt, failures: 0, state });
        if let Some(class) = self.classes.get_mut(&class) {
            class.records.insert(id);
        }
        self.live += 1;
    }

    /// Why a submission can't be taken.
    fn refusal(&self, submission: &Submission) -> Option<Failure> {
        if !self.classes.contains_key(&submission.class) {
            return Some(Failure::UnknownClass { class: submission.class });
        }
        if self.live >= self.limits.tasks_max {
            return Some(Failure::Overloaded { tasks_max: self.limits.tasks_max });
        }
        let unknown = submission.args.iter().find(|arg| !self.objects.contains_key(arg));
        unknown.map(|object| Failure::UnknownArgument { object: *object })
    }

    /// Lets a live task wait for the arguments that aren't there, or queues it. Lost arguments are made again, as
    /// `depth` deep in a rebuild.
    pub(super) fn await_args(&mut self, id: TaskId, depth: u32) {
        let args = core::mem::take(&mut self.tasks.get_mut(&id).expect("a live task has a record").args);
        let mut missing = 0;
        let mut failure = None;
        for arg in &args {
            let object = self.objects.get_mut(arg).expect("OWN-2: an argument is kept");
            match &mut object.state {
                ObjectState::Ready { .. } => {}
                ObjectState::Pending { waiters } => {
                    waiters.push(id);
                    missing += 1;
                }
                ObjectState::Failed { failure: why } => failure = Some(why.passed_on(*arg)),
                ObjectState::Gone => {
                    object.state = ObjectState::Pending { waiters: Vec::from([id]) };
                    self.todo.rebuilding.push_back((*arg, depth + 1));
                    missing += 1;
                }
            }
        }
        let task = self.tasks.get_mut(&id).expect("a live task has a record");
        task.args = args;
        task.state = State::Waiting { missing };
        match failure {
            Some(failure) => self.todo.failing.push_back((id, failure)),
            None if missing == 0 => self.enqueue(id),
            None => {}
        }
    }

    /// One of a task's arguments is there.
    pub(super) fn argument_ready(&mut self, id: TaskId) {
        // A waiter that failed meanwhile stays in the lists of its other arguments, and may be gone altogether.
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let State::Waiting { missing } = &mut task.state else { return };
        *missing -= 1;
        if *missing == 0 {
            self.enqueue(id);
        }
    }

    fn enqueue(&mut self, id: TaskId) {
        let task = self.tasks.get_mut(&id).expect("a live task has a record");
        task.state = State::Queued;
        self.classes.get_mut(&task.class).expect("its class is defined").queue.insert(id);
        self.todo.dirty.insert(task.class);
    }

    pub(super) fn cancel(&mut self, id: TaskId, out: &mut Out<Action>) {
        let Some(task) = self.tasks.get(&id).filter(|task| task.is_live()) else {
            self.counters.stale += 1;
            return;
        };
        if let State::Running { lease } = task.state {
            out.push(Action::CancelRunning { task: id, attempt: task.attempt, lease });
        }
        self.todo.failing.push_back((id, Failure::Cancelled { task: id }));
    }

    pub(super) fn task_done(&mut self, now: Time, run: (TaskId, Attempt, LeaseId), out: &mut Out<Action>) {
        let (id, attempt, lease) = run;
        let Some(node) = self.run_ended(run) else { return };
        match self.tasks.get(&id) {
            Some(task) if task.runs(attempt, lease) => self.finish(id, node, out),
            _ => self.discard_returns(id, lease, out),
        }
        self.reuse_lease(now, lease, out);
    }

    pub(super) fn task_failed(
        &mut self,
        now: Time,
        run: (TaskId, Attempt, LeaseId),
        kind: FailureKind,
        out: &mut Out<Action>,
    ) {
        let (id, attempt, lease) = run;
        let Some(node) = self.run_ended(run) else { return };
        if self.tasks.get(&id).is_some_and(|task| task.runs(attempt, lease)) {
            self.retry_or_fail(now, id, (node, kind), out);
        }
        self.reuse_lease(now, lease, out);
    }

    /// The node of a lease whose current run has ended; `None` where the message is about another run.
    fn run_ended(&mut self, (task, attempt, lease): (TaskId, Attempt, LeaseId)) -> Option<NodeId> {
        let Some(held) = self.leases.get(&lease) else {
            self.counters.unknown_leases += 1;
            return None;
        };
        if (held.task, held.attempt) != (task, attempt) {
            self.counters.stale += 1;
            return None;
        }
        Some(lease.node)
    }

    fn finish(&mut self, id: TaskId, node: NodeId, out: &mut Out<Action>) {
        let task = self.tasks.get_mut(&id).expect("it just ran");
        task.state = State::Done;
        self.live -= 1;
        for arg in &task.args {
            self.objects.get_mut(arg).expect("OWN-2: an argument is kept").refs.in_flight -= 1;
            self.todo.loose.push_back(*arg);
        }
        let returns = task.returns;
        self.lineage.insert(id);
        for index in 0..returns {
            self.object_ready(id.object(index), node, out);
            self.todo.loose.push_back(id.object(index));
        }
        self.bound_lineage(out);
        self.retire(id, out);
    }

    /// The values of a run that no longer counts are on the lease's node. They go, unless that node has them anyway.
    fn discard_returns(&mut self, id: TaskId, lease: LeaseId, out: &mut Out<Action>) {
        self.counters.stale += 1;
        let Lease { returns, attempt, .. } = self.leases[&lease];
        for index in 0..returns {
            let object = id.object(index);
            if !self.copies(object).contains(&lease.node) {
                out.push(Action::Release { object, node: lease.node, attempt });
            }
        }
    }

    /// Runs a task again after a rest, or fails it where its retries are used or its failure is its own.
    pub(super) fn retry_or_fail(
        &mut self,
        now: Time,
        id: TaskId,
        (node, kind): (NodeId, FailureKind),
        out: &mut Out<Action>,
    ) {
        let task = self.tasks.get_mut(&id).expect("it just ran");
        let attempt = task.attempt;
        let failure = match kind {
            FailureKind::System => Failure::System { task: id, attempt, node },
            FailureKind::Application { .. } => Failure::Application { task: id, attempt, node },
        };
        if task.retries_left == 0 || kind == (FailureKind::Application { retryable: false }) {
            return self.todo.failing.push_back((id, failure));
        }
        task.retries_left -= 1;
        task.failures += 1;
        task.attempt = attempt.next();
        let rest = self.limits.task_backoff.wait(task.failures, (u64::from(id.owner.0) << 32) ^ id.seq);
        let token = self.set_timer(now + rest, Wake::Task(id), out);
        self.tasks.get_mut(&id).expect("it just ran").state = State::Resting { token };
    }

    /// Fails a task for good, and all that wait for its objects.
    pub(super) fn fail(&mut self, id: TaskId, failure: Failure, out: &mut Out<Action>) {
        let Some(task) = self.tasks.get_mut(&id).filter(|task| task.is_live()) else { return };
        match core::mem::replace(&mut task.state, State::Failed) {
            State::Queued => drop(self.classes.get_mut(&task.class).expect("it is queued there").queue.remove(&id)),
            State::Resting { token } => drop(self.timers.remove(&token)),
            _ => {}
        }
        self.live -= 1;
        self.todo.dirty.insert(task.class);
        for arg in core::mem::take(&mut task.args) {
            let refs = &mut self.objects.get_mut(&arg).expect("OWN-2: an argument is kept").refs;
            refs.in_flight -= 1;
            refs.lineage -= 1;
            self.todo.loose.push_back(arg);
        }
        let returns = task.returns;
        out.push(Action::TaskFailed { task: id, failure: failure.clone() });
        for index in 0..returns {
            self.object_failed(id.object(index), &failure, out);
        }
        out.push(Action::Forget { task: id });
        self.retire(id, out);
    }
}
