//! What owners do: tasks with arguments, puts, cancellations, actors, groups, references lent to others.

use std::collections::{BTreeMap, BTreeSet};

use rayline_core::controller::{self, ActorSpec, Strategy};
use rayline_core::ids::*;
use rayline_core::owner::{self, Affinity};
use rayline_core::resources::{Amount, Demand};

use crate::message::{Addr, Message};
use crate::world::{Local, World};

/// What a task needs to run again: what the driver keeps under its name.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    pub(crate) args: Vec<ObjectId>,
    pub(crate) returns: u32,
    pub(crate) retries: u32,
}

/// One owner's program, and what it knows.
pub(crate) struct Program {
    local: NodeId,
    actions_left: u64,
    has_begun: bool,
    next: u64,
    classes: Vec<ClassId>,
    /// Objects of its own that it refers to, once each.
    pub(crate) held: BTreeMap<ObjectId, ()>,
    recent: Vec<ObjectId>,
    /// Objects of which a value or an error was said.
    told: BTreeSet<ObjectId>,
    pub(crate) lineage: BTreeMap<TaskId, Payload>,
    pub(crate) started: BTreeMap<TaskId, (Attempt, LeaseId)>,
    pub(crate) actors: Vec<ActorId>,
    pub(crate) groups: Vec<GroupId>,
    /// References of others, with whether they were answered.
    borrowed: BTreeMap<ObjectId, bool>,
    /// Who waits for an answer.
    asked: BTreeMap<ObjectId, BTreeSet<OwnerId>>,
    dead_owners: BTreeSet<OwnerId>,
    /// Whether it has given all back: what comes later goes back at once.
    has_given_back: bool,
}

impl Program {
    pub(crate) fn new(local: NodeId, actions: u64) -> Program {
        Program {
            local,
            actions_left: actions,
            has_begun: false,
            next: 1,
            classes: Vec::new(),
            held: BTreeMap::new(),
            recent: Vec::new(),
            told: BTreeSet::new(),
            lineage: BTreeMap::new(),
            started: BTreeMap::new(),
            actors: Vec::new(),
            groups: Vec::new(),
            borrowed: BTreeMap::new(),
            asked: BTreeMap::new(),
            dead_owners: BTreeSet::new(),
            has_given_back: false,
        }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// A reference of which nothing was said.
    pub(crate) fn untold(&self) -> Option<ObjectId> {
        self.held.keys().find(|object| !self.told.contains(object)).copied()
    }

    /// A borrowed reference that nobody has answered for.
    pub(crate) fn unanswered(&self) -> Option<ObjectId> {
        self.borrowed.iter().find(|(_, answered)| !**answered).map(|(object, _)| *object)
    }

    /// A few tasks that have not made all their objects, for messages.
    pub(crate) fn unfinished(&self) -> String {
        let untold = |task: &&TaskId| !self.told.contains(&task.object(0));
        format!("{:?}", self.lineage.keys().filter(untold).take(5).collect::<Vec<_>>())
    }

    fn seq(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

impl World {
    pub(crate) fn begin(&mut self, id: OwnerId) {
        let cpu = |parts| Demand::cpus(Amount::from_parts(parts));
        let unit = Amount::ONE.parts() as u32;
        let life = self.owners.get_mut(&id).expect("it begins");
        life.program.has_begun = true;
        let local = life.program.local;
        let known: Vec<NodeId> = self.members.nodes().map(|(node, _)| node).collect();
        let some = self.rng.pick(&known).copied().unwrap_or(local);
        let gpu = |amount| cpu(unit / 4).with_gpu(Amount::from_parts(amount)).expect("at most one");
        let classes = [
            (cpu(unit), Affinity::Any),
            (cpu(unit / 2), Affinity::Spread),
            (cpu(unit / 4).with_memory(1 << 30), Affinity::Any),
            (gpu(unit / 2), Affinity::Any),
            (gpu(unit), Affinity::Any),
            (cpu(unit), Affinity::Prefer(some)),
            (cpu(unit / 2), Affinity::Only(some)),
            (cpu(unit * 9), Affinity::Any),
        ];
        // Each seed asks for some of them only.
        for (demand, affinity) in classes {
            if self.rng.chance(600) {
                self.define_class(id, demand, affinity);
            }
        }
        self.define_class(id, cpu(unit), Affinity::Any);
        let count = self.plan.load.executors;
        for node in [local, some] {
            self.tell_owner(id, owner::Event::SetExecutors { node, count });
        }
    }

    fn define_class(&mut self, id: OwnerId, demand: Demand, affinity: Affinity) {
        let program = &mut self.owners.get_mut(&id).expect("it acts").program;
        let class = ClassId(u32::try_from(program.classes.len()).expect("few classes"));
        program.classes.push(class);
        self.tell_owner(id, owner::Event::DefineClass { class, demand, affinity });
    }

    /// Does the next thing.
    pub(crate) fn act(&mut self, id: OwnerId) {
        let Some(life) = self.owners.get_mut(&id) else { return };
        if self.is_settling || life.program.actions_left == 0 {
            return;
        }
        life.program.actions_left -= 1;
        let load = self.plan.load.clone();
        let weights = [100, 10, load.actors, load.groups, load.cancels, load.borrows, load.drops];
        let mut draw = self.rng.below(weights.iter().sum());
        let mut which = 0;
        while draw >= weights[which] {
            draw -= weights[which];
            which += 1;
        }
        match which {
            0 => self.submit(id),
            1 => self.put(id),
            2 => self.create_or_kill_actor(id),
            3 => self.reserve_or_remove_group(id),
            4 => self.cancel(id),
            5 => self.lend(id),
            _ => self.drop_something(id),
        }
        let gap = self.rng.wait(load.gap);
        self.later(gap, Local::Act { owner: id });
    }

    fn submit(&mut self, id: OwnerId) {
        let load = &self.plan.load;
        let program = &mut self.owners.get_mut(&id).expect("it acts").program;
        let task = TaskId { owner: id, seq: program.seq() };
        let recent: Vec<ObjectId> = {
            let held = program.recent.iter().rev().filter(|object| program.held.contains_key(object));
            held.take(usize::try_from(load.recent).unwrap_or(1)).copied().collect()
        };
        let args: Vec<ObjectId> =
            (0..self.rng.below(load.args_max + 1)).filter_map(|_| self.rng.pick(&recent).copied()).collect();
        let returns = u32::try_from(self.rng.between(1, 2)).expect("small");
        let retries = u32::try_from(self.rng.below(load.retries_max + 1)).expect("small");
        let class = *self.rng.pick(&program.classes).expect("there is one");
        program.lineage.insert(task, Payload { args: args.clone(), returns, retries });
        for object in (0..returns).map(|index| task.object(index)) {
            program.held.insert(object, ());
            program.recent.push(object);
        }
        let node = self.owners[&id].program.local;
        if self.rng.chance(150) && self.has_run(id, task, returns) {
            return self.tell_owner(id, owner::Event::Adopt { task, class, args, returns, retries, node });
        }
        self.tell_owner(id, owner::Event::Submit { task, class, args, returns, retries });
    }

    /// Has a task's values be on the owner's node, as after a run on the fast path; `false` where they can't.
    fn has_run(&mut self, id: OwnerId, task: TaskId, returns: u32) -> bool {
        let peer = self.owners[&id].peer;
        if self.life(peer).is_none() {
            return false;
        }
        let sealed =
            (0..returns).take_while(|index| self.seal(peer, task.object(*index), Attempt::FIRST)).count() as u32;
        if sealed < returns {
            (0..sealed).for_each(|index| self.release(peer, task.object(index), Attempt::FIRST));
        }
        sealed == returns
    }

    /// Puts a value into the local store, or says that it can't.
    fn put(&mut self, id: OwnerId) {
        let life = self.owners.get_mut(&id).expect("it acts");
        let (peer, node) = (life.peer, life.program.local);
        let object = TaskId { owner: id, seq: life.program.seq() }.object(0);
        life.program.held.insert(object, ());
        life.program.recent.push(object);
        self.tell_owner(id, owner::Event::Expect { object });
        let event = if self.life(peer).is_some() && self.seal(peer, object, Attempt::FIRST) {
            owner::Event::Put { object, node }
        } else {
            owner::Event::PutFailed { object }
        };
        self.tell_owner(id, event);
    }

    fn create_or_kill_actor(&mut self, id: OwnerId) {
        let program = &mut self.owners.get_mut(&id).expect("it acts").program;
        let is_full = program.actors.len() + program.groups.len() >= self.plan.load.permanent_max;
        if is_full || self.rng.chance(300) {
            if let Some(actor) = self.rng.pick(&program.actors).copied() {
                let restart = self.rng.chance(500);
                self.tell_control(id, controller::Event::KillActor { actor, restart });
            }
            return;
        }
        let actor = ActorId { owner: id, seq: program.seq() };
        program.actors.push(actor);
        let group = self.rng.pick(&program.groups).copied();
        let name = if self.rng.chance(300) { Some(format!("name{}", self.rng.below(3))) } else { None };
        let is_detached = self.rng.chance(100) && self.oracle.detached.len() < 3;
        if is_detached {
            self.oracle.detached.push(actor);
        }
        let bundle = group.filter(|_| self.rng.chance(400)).map(|group| group.bundle(0));
        let spec = ActorSpec {
            demand: Demand::cpus(Amount::from_parts(Amount::ONE.parts() as u32 / 200)),
            bundle: if is_detached { None } else { bundle },
            name,
            get_or_create: self.rng.chance(500),
            detached: is_detached,
            restarts: u32::try_from(self.rng.below(6)).expect("small"),
        };
        self.tell_control(id, controller::Event::CreateActor { actor, spec });
    }

    fn reserve_or_remove_group(&mut self, id: OwnerId) {
        let program = &mut self.owners.get_mut(&id).expect("it acts").program;
        let is_full = program.actors.len() + program.groups.len() >= self.plan.load.permanent_max;
        if is_full || self.rng.chance(300) {
            if let Some(group) = self.rng.pick(&program.groups).copied() {
                program.groups.retain(|other| *other != group);
                self.tell_control(id, controller::Event::RemoveGroup { group });
            }
            return;
        }
        let group = GroupId { owner: id, seq: program.seq() };
        program.groups.push(group);
        let strategies = [Strategy::Pack, Strategy::Spread, Strategy::StrictPack, Strategy::StrictSpread];
        let strategy = *self.rng.pick(&strategies).expect("there are four");
        let share = Demand::cpus(Amount::from_parts(Amount::ONE.parts() as u32 / 33));
        let count = self.rng.between(1, 3);
        let bundles: Vec<Demand> = (0..count).map(|_| share.clone()).collect();
        self.tell_control(id, controller::Event::ReserveGroup { group, bundles, strategy });
        let index = u32::try_from(self.rng.below(count)).expect("small");
        let half = Demand::cpus(Amount::from_parts(Amount::ONE.parts() as u32 / 100));
        self.define_class(id, half, Affinity::Bundle(group.bundle(index)));
    }

    fn cancel(&mut self, id: OwnerId) {
        let program = &self.owners[&id].program;
        let tasks: Vec<TaskId> = program.lineage.keys().rev().take(20).copied().collect();
        if let Some(task) = self.rng.pick(&tasks).copied() {
            self.tell_owner(id, owner::Event::Cancel { task });
        }
    }

    fn drop_something(&mut self, id: OwnerId) {
        let program = &mut self.owners.get_mut(&id).expect("it acts").program;
        let held: Vec<ObjectId> = program.held.keys().copied().collect();
        let borrowed: Vec<ObjectId> = program.borrowed.keys().copied().collect();
        if self.rng.chance(200)
            && let Some(object) = self.rng.pick(&borrowed).copied()
        {
            self.give_back_borrowed(id, object);
        } else if let Some(object) = self.rng.pick(&held).copied() {
            program.held.remove(&object);
            self.tell_owner(id, owner::Event::DropRef { object });
        }
    }

    fn give_back_borrowed(&mut self, id: OwnerId, object: ObjectId) {
        self.owners.get_mut(&id).expect("it acts").program.borrowed.remove(&object);
        let event = owner::Event::Unborrow { object, borrower: id };
        self.send(Addr::Owner(id), Addr::Owner(object.task.owner), Message::Owner(event));
    }

    /// Counts the borrower first, then lets it know.
    fn lend(&mut self, id: OwnerId) {
        let others = self.owners.iter().filter(|(other, life)| **other != id && life.program.has_begun);
        let others: Vec<OwnerId> = others.map(|(other, _)| *other).collect();
        let program = &self.owners[&id].program;
        let held: Vec<ObjectId> = program.held.keys().copied().collect();
        let (Some(object), Some(borrower)) = (self.rng.pick(&held).copied(), self.rng.pick(&others).copied()) else {
            return;
        };
        if self.owners[&borrower].program.borrowed.contains_key(&object) || program.dead_owners.contains(&borrower) {
            return;
        }
        self.tell_owner(id, owner::Event::Borrow { object, borrower });
        self.send(Addr::Owner(id), Addr::Owner(borrower), Message::Lend { object });
    }

    pub(crate) fn borrowed(&mut self, id: OwnerId, object: ObjectId) {
        let lender = object.task.owner;
        let program = &mut self.owners.get_mut(&id).expect("it is told").program;
        if program.dead_owners.contains(&lender) {
            return;
        }
        let has_one = program.borrowed.contains_key(&object);
        if has_one || program.has_given_back {
            // A second one, and one that comes too late, are given back at once.
            program.borrowed.extend(has_one.then_some((object, true)));
            let event = owner::Event::Unborrow { object, borrower: id };
            return self.send(Addr::Owner(id), Addr::Owner(lender), Message::Owner(event));
        }
        program.borrowed.insert(object, false);
        self.send(Addr::Owner(id), Addr::Owner(lender), Message::Ask { object, borrower: id });
    }

    pub(crate) fn asked(&mut self, id: OwnerId, object: ObjectId, borrower: OwnerId) {
        let program = &mut self.owners.get_mut(&id).expect("it is told").program;
        if program.told.contains(&object) {
            return self.send(Addr::Owner(id), Addr::Owner(borrower), Message::Answer { object });
        }
        program.asked.entry(object).or_default().insert(borrower);
    }

    pub(crate) fn answered(&mut self, id: OwnerId, object: ObjectId) {
        if let Some(answered) = self.owners.get_mut(&id).and_then(|life| life.program.borrowed.get_mut(&object)) {
            *answered = true;
        }
    }

    /// What was borrowed of a dead owner is lost: whoever waits for it gets an error.
    pub(crate) fn lender_died(&mut self, id: OwnerId, lender: OwnerId) {
        let program = &mut self.owners.get_mut(&id).expect("it is told").program;
        program.dead_owners.insert(lender);
        program.borrowed.retain(|object, _| object.task.owner != lender);
    }

    pub(crate) fn object_is_told(&mut self, id: OwnerId, object: ObjectId, is_ready: bool) {
        let life = self.owners.get_mut(&id).expect("it has just acted");
        // What only a task needed may be released in the event that made it, where that task fails by another argument.
        let is_held = life.program.held.contains_key(&object);
        let is_nowhere = is_ready && is_held && life.machine.copies(object).is_empty();
        assert!(!is_nowhere, "O1: {object} is ready nowhere");
        life.program.told.insert(object);
        for borrower in life.program.asked.remove(&object).unwrap_or_default() {
            self.send(Addr::Owner(id), Addr::Owner(borrower), Message::Answer { object });
        }
    }

    fn tell_control(&mut self, id: OwnerId, event: controller::Event) {
        self.send(Addr::Owner(id), Addr::Controller, Message::Controller(event));
    }

    /// All references, groups and actors go.
    pub(crate) fn give_all_back(&mut self) {
        let nodes: Vec<NodeId> = self.members.nodes().map(|(node, _)| node).collect();
        for id in self.owners.keys().copied().collect::<Vec<_>>() {
            for node in nodes.iter().copied() {
                self.tell_owner(id, owner::Event::SetExecutors { node, count: 0 });
            }
            let program = &mut self.owners.get_mut(&id).expect("it was just there").program;
            program.has_given_back = true;
            let held = std::mem::take(&mut program.held);
            let (actors, groups) = (std::mem::take(&mut program.actors), std::mem::take(&mut program.groups));
            let borrowed: Vec<ObjectId> = program.borrowed.keys().copied().collect();
            held.into_keys().for_each(|object| self.tell_owner(id, owner::Event::DropRef { object }));
            borrowed.into_iter().for_each(|object| self.give_back_borrowed(id, object));
            groups.into_iter().for_each(|group| self.tell_control(id, controller::Event::RemoveGroup { group }));
            let kill = |actor| controller::Event::KillActor { actor, restart: false };
            actors.into_iter().for_each(|actor| self.tell_control(id, kill(actor)));
        }
        for actor in self.oracle.detached.clone() {
            self.tell_controller(controller::Event::KillActor { actor, restart: false });
        }
    }
}
