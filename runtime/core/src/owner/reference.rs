//! References: local ones, and those of other owners.

use alloc::vec::Vec;

use super::object::State;
use super::{Action, Failure, LossCause, Owner};
use crate::ids::{ObjectId, OwnerId};
use crate::out::Out;

impl Owner {
    pub(super) fn add_ref(&mut self, id: ObjectId, out: &mut Out<Action>) {
        match self.objects.get_mut(&id) {
            Some(object) => {
                object.refs.local += 1;
                self.revive(id);
            }
            None => self.say_released(id, out),
        }
    }

    pub(super) fn drop_ref(&mut self, id: ObjectId) {
        match self.objects.get_mut(&id) {
            Some(object) if object.refs.local > 0 => {
                object.refs.local -= 1;
                self.todo.loose.push_back(id);
            }
            _ => self.counters.unknown_objects += 1,
        }
    }

    pub(super) fn borrow(&mut self, id: ObjectId, borrower: OwnerId, out: &mut Out<Action>) {
        if self.dead_owners.contains(&borrower) {
            self.counters.stale += 1;
            return;
        }
        match self.objects.get_mut(&id) {
            Some(object) => {
                *object.refs.borrowers.entry(borrower).or_insert(0) += 1;
                self.revive(id);
            }
            None => self.say_released(id, out),
        }
    }

    pub(super) fn unborrow(&mut self, id: ObjectId, borrower: OwnerId) {
        let held = self.objects.get_mut(&id).and_then(|object| object.refs.borrowers.get_mut(&borrower));
        match held {
            Some(1) => self.end_borrow(id, borrower),
            Some(count) => *count -= 1,
            None => self.counters.unknown_objects += 1,
        }
    }

    pub(super) fn owner_died(&mut self, owner: OwnerId) {
        self.dead_owners.insert(owner);
        while self.dead_owners.len() > self.limits.dead_owners_max {
            self.dead_owners.pop_first();
        }
        let borrowed = self.objects.iter().filter(|(_, object)| object.refs.borrowers.contains_key(&owner));
        let borrowed: Vec<ObjectId> = borrowed.map(|(id, _)| *id).collect();
        borrowed.into_iter().for_each(|id| self.end_borrow(id, owner));
    }

    fn end_borrow(&mut self, id: ObjectId, borrower: OwnerId) {
        self.objects.get_mut(&id).expect("it is borrowed").refs.borrowers.remove(&borrower);
        self.todo.loose.push_back(id);
    }

    /// An object is needed again; if its value was released it is made again.
    fn revive(&mut self, id: ObjectId) {
        let object = self.objects.get_mut(&id).expect("it was just referred to");
        if matches!(object.state, State::Gone) {
            object.state = State::Pending { waiters: Vec::new() };
            self.todo.rebuilding.push_back((id, 0));
        }
    }

    fn say_released(&mut self, object: ObjectId, out: &mut Out<Action>) {
        self.counters.unknown_objects += 1;
        let failure = Failure::Lost { object, cause: LossCause::Released };
        out.push(Action::ObjectFailed { object, failure });
    }
}
