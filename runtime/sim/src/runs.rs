//! What a node's driver does with runs and values.

use std::collections::{BTreeMap, BTreeSet};

use rayline_core::ids::*;
use rayline_core::members::Peer;
use rayline_core::node;
use rayline_core::owner::{self, FailureKind};

use crate::host::Running;
use crate::message::{Addr, Message, Run};
use crate::mutation::Mutation;
use crate::world::{Local, World};

impl World {
    pub(crate) fn begin_run(&mut self, peer: Peer, run: Run) {
        let key = (run.task, run.attempt);
        let life = self.life(peer).expect("it acts");
        if life.dead_owners.contains(&run.task.owner) || !life.begun.insert(key) {
            return;
        }
        let node = life.node.as_ref().expect("it is a member");
        let holder = node.holder(run.lease);
        assert_eq!(holder, Some(run.task.owner), "F1: {} runs on {}, which is not granted", run.task, run.lease);
        let other = life.runs.values().find(|other| other.run.lease == run.lease);
        assert!(other.is_none(), "T1: {} runs two tasks", run.lease);
        self.assert_runs_nowhere(run.task);
        self.oracle.began(run.task, run.attempt);
        let life = self.life(peer).expect("it acts");
        let here = life.member.node().expect("it is a member");
        let is_here = |object: &ObjectId| life.store.contains_key(object);
        let missing: Vec<_> = run.args.iter().filter(|(object, ..)| !is_here(object)).cloned().collect();
        let should_be_here = missing.iter().filter(|(_, _, sources)| sources.contains(&here));
        let lost_here: Vec<_> = should_be_here.map(|(object, attempt, _)| (*object, *attempt)).collect();
        let sources = missing
            .into_iter()
            .map(|(object, _, sources)| (object, sources.into_iter().filter(|node| *node != here).collect::<Vec<_>>()));
        let missing: BTreeMap<_, _> = sources.collect();
        life.runs.insert(key, Running { run, missing: missing.clone() });
        lost_here.into_iter().for_each(|(object, attempt)| self.copy_lost(peer, object, here, attempt));
        if missing.is_empty() {
            return self.execute(peer, key);
        }
        for object in missing.keys() {
            self.fetch(peer, key, *object);
        }
    }

    /// At most one attempt of a task runs at a time.
    fn assert_runs_nowhere(&self, task: TaskId) {
        for host in &self.hosts {
            let Some(life) = &host.life else { continue };
            let runs = life.runs.range((task, Attempt(0))..=(task, Attempt(u32::MAX))).next().is_some();
            let is_acting = host.stalled_until <= self.now && self.may_act(life.peer);
            assert!(!(runs && is_acting), "T1: two attempts of {task} run");
        }
    }

    /// Asks the next source for an argument; without one the run fails.
    fn fetch(&mut self, peer: Peer, key: (TaskId, Attempt), object: ObjectId) {
        let Some(life) = self.life(peer) else { return };
        let here = life.member.node().expect("it is a member");
        let Some(running) = life.runs.get(&key) else { return };
        let Some(sources) = running.missing.get(&object) else { return };
        match sources.last().copied() {
            Some(from) => {
                self.send(Addr::Node(here), Addr::Node(from), Message::Fetch { object, to: here });
                let patience = self.plan.limits.dead_after / 2;
                self.later(patience, Local::FetchLate { peer, object, from });
            }
            None => self.end_run(peer, key.0, key.1, Some(FailureKind::System)),
        }
    }

    pub(crate) fn fetched(&mut self, peer: Peer, object: ObjectId, from: NodeId, attempt: Option<Attempt>) {
        let Some(attempt) = attempt else {
            let runs = &self.life(peer).expect("it acts").runs;
            let mut args = runs.values().flat_map(|running| &running.run.args);
            if let Some(attempt) = args.find(|arg| arg.0 == object).map(|arg| arg.1) {
                self.copy_lost(peer, object, from, attempt);
            }
            return self.next_source(peer, object, from);
        };
        if !self.seal(peer, object, attempt) {
            return self.fail_runs_that_miss(peer, object);
        }
        let life = self.life(peer).expect("it acts");
        let here = life.member.node().expect("it is a member");
        let mut ready = Vec::new();
        for (key, running) in &mut life.runs {
            if running.missing.remove(&object).is_some() && running.missing.is_empty() {
                ready.push(*key);
            }
        }
        let copied = owner::Event::Copied { object, node: here };
        self.send(Addr::Node(here), Addr::Owner(object.task.owner), Message::Owner(copied));
        ready.into_iter().for_each(|key| self.execute(peer, key));
    }

    fn fail_runs_that_miss(&mut self, peer: Peer, object: ObjectId) {
        let life = self.life(peer).expect("it acts");
        let missing = life.runs.iter().filter(|(_, running)| running.missing.contains_key(&object));
        for (task, attempt) in missing.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.end_run(peer, task, attempt, Some(FailureKind::System));
        }
    }

    /// A source has nothing, or says nothing.
    fn next_source(&mut self, peer: Peer, object: ObjectId, from: NodeId) {
        let life = self.life(peer).expect("it acts");
        let mut again = Vec::new();
        for (key, running) in &mut life.runs {
            if let Some(sources) = running.missing.get_mut(&object)
                && sources.last() == Some(&from)
            {
                sources.pop();
                again.push(*key);
            }
        }
        again.into_iter().for_each(|key| self.fetch(peer, key, object));
    }

    pub(crate) fn fetch_late(&mut self, peer: Peer, object: ObjectId, from: NodeId) {
        if self.acting(peer).is_some() {
            self.next_source(peer, object, from);
        }
    }

    pub(crate) fn source_is_dead(&mut self, peer: Peer, node: NodeId) {
        let life = self.life(peer).expect("it acts");
        let waits = |running: &Running| {
            running.missing.iter().map(|(object, sources)| (*object, sources.last().copied())).collect::<Vec<_>>()
        };
        let objects: BTreeSet<ObjectId> = life
            .runs
            .values()
            .flat_map(waits)
            .filter(|(_, from)| *from == Some(node))
            .map(|(object, _)| object)
            .collect();
        objects.into_iter().for_each(|object| self.next_source(peer, object, node));
    }

    /// A copy that should be on a node is not there: its owner hears of it from whoever looked.
    fn copy_lost(&mut self, peer: Peer, object: ObjectId, node: NodeId, attempt: Attempt) {
        let here = self.life(peer).and_then(|life| life.member.node()).expect("it is a member");
        let lost = owner::Event::ObjectLost { object, node, attempt };
        self.send(Addr::Node(here), Addr::Owner(object.task.owner), Message::Owner(lost));
    }

    fn execute(&mut self, peer: Peer, (task, attempt): (TaskId, Attempt)) {
        let took = self.rng.wait(self.plan.load.run);
        let lease = self.life(peer).expect("it acts").runs[&(task, attempt)].run.lease;
        if self.rng.chance(self.plan.load.blocks_permille) {
            self.later(took, Local::Retake { peer, lease });
            return self.tell_node(peer, node::Event::LendCpus { lease });
        }
        self.later(took, Local::RunEnds { peer, task, attempt });
    }

    pub(crate) fn retake(&mut self, peer: Peer, lease: LeaseId) {
        if self.acting(peer).is_some() {
            self.tell_node(peer, node::Event::RetakeCpus { lease });
        }
    }

    pub(crate) fn cpus_back(&mut self, peer: Peer, lease: LeaseId) {
        let took = self.rng.wait(self.plan.load.run);
        let life = self.life(peer).expect("it acts");
        if let Some((task, attempt)) = life.runs.iter().find(|(_, r)| r.run.lease == lease).map(|(key, _)| *key) {
            self.later(took, Local::RunEnds { peer, task, attempt });
        }
    }

    pub(crate) fn run_ends(&mut self, peer: Peer, task: TaskId, attempt: Attempt) {
        if self.acting(peer).is_none() {
            return;
        }
        let kinds = [
            FailureKind::System,
            FailureKind::Application { retryable: true },
            FailureKind::Application { retryable: false },
        ];
        let failure =
            if self.rng.chance(self.plan.load.failures_permille) { self.rng.pick(&kinds).copied() } else { None };
        self.end_run(peer, task, attempt, failure);
    }

    pub(crate) fn end_run(&mut self, peer: Peer, task: TaskId, attempt: Attempt, failure: Option<FailureKind>) {
        let life = self.life(peer).expect("it acts");
        let here = life.member.node().expect("it is a member");
        let Some(running) = life.runs.remove(&(task, attempt)) else { return };
        let Run { lease, returns, .. } = running.run;
        let is_sealed = failure.is_none() && (0..returns).all(|index| self.seal(peer, task.object(index), attempt));
        let event = match failure {
            None if is_sealed => owner::Event::TaskDone { task, attempt, lease },
            kind => {
                let life = self.life(peer).expect("it acts");
                life.store.retain(|object, made| object.task != task || *made != attempt);
                let kind = kind.unwrap_or(FailureKind::System);
                owner::Event::TaskFailed { task, attempt, lease, kind }
            }
        };
        self.send(Addr::Node(here), Addr::Owner(task.owner), Message::Owner(event));
    }

    /// Keeps a value, if there is room; nothing is kept for the dead.
    pub(crate) fn seal(&mut self, peer: Peer, object: ObjectId, attempt: Attempt) -> bool {
        let host = &mut self.hosts[usize::try_from(peer.machine).expect("a host's index")];
        let life = host.life.as_mut().expect("it acts");
        let is_full = life.store.len() >= self.plan.load.store_values || host.store_full_until > self.now;
        if life.dead_owners.contains(&object.task.owner) || (is_full && !life.store.contains_key(&object)) {
            return false;
        }
        let made = life.store.entry(object).or_insert(attempt);
        *made = (*made).max(attempt);
        true
    }

    pub(crate) fn release(&mut self, peer: Peer, object: ObjectId, attempt: Attempt) {
        let is_blind = self.has(Mutation::StaleRelease);
        let Some(life) = self.life(peer) else { return };
        let node = life.member.node();
        let Some(made) = life.store.get(&object).copied().filter(|made| *made <= attempt || is_blind) else { return };
        life.store.remove(&object);
        if let Some(node) = node
            && made > attempt
        {
            self.assert_unneeded(object, node, made);
        }
    }
}
