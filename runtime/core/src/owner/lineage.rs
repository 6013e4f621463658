//! Lineage: making lost values again, and forgetting what nobody needs.

use super::object::{Origin, State as ObjectState};
use super::task::State;
use super::{Action, Failure, LossCause, Owner};
use crate::ids::{ObjectId, TaskId};
use crate::out::Out;

/// What it takes to make a lost value again.
enum Remedy {
    /// Its task is at it.
    Wait,
    /// Its task must run again.
    Run,
}

impl Owner {
    /// Makes the value of an object that is pending again, its task's lost arguments first.
    pub(super) fn rebuild(&mut self, id: ObjectId, depth: u32, out: &mut Out<Action>) {
        match self.remedy(id, depth) {
            Ok(Remedy::Wait) => {}
            Ok(Remedy::Run) => self.run_again(id.task, depth),
            Err(cause) => {
                self.object_failed(id, &Failure::Lost { object: id, cause }, out);
                self.todo.loose.push_back(id);
            }
        }
    }

    fn remedy(&self, id: ObjectId, depth: u32) -> Result<Remedy, LossCause> {
        if self.objects.get(&id).is_none_or(|object| object.origin == Origin::Outside) {
            return Err(LossCause::NoProducer);
        }
        let task = self.tasks.get(&id.task).expect("OWN-7: an object's task has a record");
        match task.state {
            State::Failed => Err(LossCause::ProducerFailed),
            State::Forgotten => Err(LossCause::LineageDropped),
            State::Done if task.retries_left == 0 => Err(LossCause::RetriesUsed),
            State::Done if depth > self.limits.rebuild_depth_max => Err(LossCause::TooDeep),
            State::Done => Ok(Remedy::Run),
            _ => Ok(Remedy::Wait),
        }
    }

    /// Starts a new attempt of a finished task.
    fn run_again(&mut self, id: TaskId, depth: u32) {
        let task = self.tasks.get_mut(&id).expect("it can run again");
        task.retries_left -= 1;
        task.attempt = task.attempt.next();
        for arg in &task.args {
            self.objects.get_mut(arg).expect("OWN-2: an argument is kept").refs.in_flight += 1;
        }
        self.lineage.remove(&id);
        self.live += 1;
        self.counters.rebuilt += 1;
        self.await_args(id, depth);
    }

    /// Drops the lineage of the oldest finished tasks beyond the bound.
    pub(super) fn bound_lineage(&mut self, out: &mut Out<Action>) {
        while self.lineage.len() > self.limits.lineage_max {
            let oldest = self.lineage.pop_first().expect("it is not empty");
            self.tasks.get_mut(&oldest).expect("lineage has records").state = State::Forgotten;
            self.drop_args(oldest, out);
        }
    }

    /// Drops the record of a task that has ended and of whose objects none is needed, not even to make others again.
    pub(super) fn retire(&mut self, id: TaskId, out: &mut Out<Action>) {
        let Some(task) = self.tasks.get(&id).filter(|task| !task.is_live()) else { return };
        let returns = task.returns;
        let is_unused = |index| self.objects.get(&id.object(index)).is_none_or(|object| object.refs.is_empty());
        if !(0..returns).all(is_unused) {
            return;
        }
        for index in 0..returns {
            self.release_value(id.object(index), out);
            self.objects.remove(&id.object(index));
        }
        if self.lineage.remove(&id) {
            self.drop_args(id, out);
        }
        if let Some(task) = self.tasks.remove(&id)
            && let Some(class) = self.classes.get_mut(&task.class)
        {
            class.records.remove(&id);
            self.todo.dirty.insert(task.class);
        }
    }

    /// A finished task will not run again: its arguments need not be kept for it.
    fn drop_args(&mut self, id: TaskId, out: &mut Out<Action>) {
        let task = self.tasks.get_mut(&id).expect("it has a record");
        for arg in core::mem::take(&mut task.args) {
            self.objects.get_mut(&arg).expect("OWN-2: an argument is kept").refs.lineage -= 1;
            self.todo.loose.push_back(arg);
        }
        out.push(Action::Forget { task: id });
    }

    /// Whether all arguments of a task are there.
    pub(super) fn has_args(&self, id: TaskId) -> bool {
        let is_ready = |arg| matches!(self.objects[arg].state, ObjectState::Ready { .. });
        self.tasks[&id].args.iter().all(is_ready)
    }
}
