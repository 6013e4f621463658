//! How many threads of the pool may run: one for each executor lease and leased task, and what actors hold of CPUs.

use crate::runtime;
use rayline_core::ids::LeaseId;
use rayline_core::resources::{Amount, Grant};
use rayline_exec::Pool;
use std::collections::HashMap;

/// The pool, and why it has so many threads.
pub(super) struct Threads {
    pool: Pool,
    /// Leases of fast-path threads.
    open: Vec<LeaseId>,
    /// Leases to be given back once the pool has come down.
    closing: Vec<LeaseId>,
    tasks: usize,
    actors: HashMap<LeaseId, Amount>,
    applied: usize,
    /// How many threads the crew was told that plain tasks may have.
    told: usize,
}

impl Threads {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, open: Vec::new(), closing: Vec::new(), tasks: 0, actors: HashMap::new(), applied: 0, told: 0 }
    }

    pub(super) fn pool(&self) -> Pool {
        self.pool
    }

    pub(super) fn open(&mut self, lease: LeaseId) {
        self.open.push(lease);
    }

    pub(super) fn close(&mut self, lease: LeaseId) {
        self.open.retain(|open| *open != lease);
        self.closing.push(lease);
    }

    /// The leases whose threads have stopped.
    pub(super) fn take_closed(&mut self) -> Vec<LeaseId> {
        std::mem::take(&mut self.closing)
    }

    pub(super) fn task_started(&mut self) {
        self.tasks += 1;
        // At once, not at the end of the round: the task is queued right after this.
        self.apply();
    }

    pub(super) fn task_ended(&mut self) {
        self.tasks -= 1;
    }

    pub(super) fn actor_started(&mut self, lease: LeaseId, grant: &Grant) {
        if !grant.cpu().is_zero() {
            self.actors.insert(lease, grant.cpu());
        }
    }

    pub(super) fn actor_ended(&mut self, lease: LeaseId) {
        self.actors.remove(&lease);
    }

    /// Tells the pool how many threads may run now.
    pub(super) fn apply(&mut self) {
        let held = self.actors.values().fold(Amount::ZERO, |sum, cpu| sum + *cpu);
        let for_actors = held.whole_units() as usize + usize::from(!held.is_whole());
        // One at the least: tasks that hold GPUs only, and actors' methods, need a thread, too.
        let wanted = (self.open.len() + self.tasks + for_actors).max(1);
        if wanted != self.applied || !self.closing.is_empty() {
            self.applied = wanted;
            self.pool.set_workers(wanted);
        }
        if self.open.len() != self.told {
            self.told = self.open.len();
            runtime::tell_crew(self.told as u32);
        }
    }
}
