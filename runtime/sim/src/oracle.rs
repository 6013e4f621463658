//! What must hold across machines, as far as no machine alone can see it.

use std::collections::{BTreeMap, BTreeSet};

use rayline_core::Time;
use rayline_core::controller::ActorState;
use rayline_core::ids::*;
use rayline_core::members::Peer;
use rayline_core::owner;

use crate::world::World;

/// The observer's memory.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    grants: BTreeMap<(NodeId, RequestId), LeaseId>,
    began: BTreeMap<TaskId, Attempt>,
    over: BTreeSet<ActorId>,
    alive: BTreeMap<ActorId, Incarnation>,
    /// Lives that something was done to that may make them silent, with until when it may show.
    harmed: BTreeMap<Peer, Time>,
    /// Actors that outlive their owner.
    pub(crate) detached: Vec<ActorId>,
}

impl Oracle {
    pub(crate) fn granted(&mut self, request: RequestId, lease: LeaseId) {
        let known = *self.grants.entry((lease.node, request)).or_insert(lease);
        assert_eq!(known, lease, "R2: {request} was granted twice");
    }

    pub(crate) fn has_granted(&self, node: NodeId, request: RequestId) -> bool {
        self.grants.contains_key(&(node, request))
    }

    pub(crate) fn began(&mut self, task: TaskId, attempt: Attempt) {
        let last = self.began.insert(task, attempt);
        assert!(last.is_none_or(|last| last < attempt), "T1: {task} begins {attempt} after {last:?}");
    }

    pub(crate) fn actor_over(&mut self, actor: ActorId) {
        self.over.insert(actor);
    }

    pub(crate) fn actor_alive(&mut self, actor: ActorId, incarnation: Incarnation) {
        assert!(!self.over.contains(&actor), "A2: {actor} is dead and alive");
        let last = self.alive.insert(actor, incarnation);
        assert!(last.is_none_or(|last| last < incarnation), "A1: {actor} lives {incarnation} after {last:?}");
    }

    pub(crate) fn harm(&mut self, peer: Peer, until: Time) {
        let end = self.harmed.entry(peer).or_insert(until);
        *end = (*end).max(until);
    }

    pub(crate) fn was_harmed(&self, peer: Peer, now: Time) -> bool {
        self.harmed.get(&peer).is_some_and(|until| *until >= now)
    }
}

impl World {
    /// Why the cluster has not settled yet, if it hasn't.
    pub(crate) fn unsettled(&mut self) -> Option<String> {
        self.hosts_unsettled()
            .or_else(|| self.owners_unsettled())
            .or_else(|| self.actors_unsettled())
            .or_else(|| self.groups_unsettled())
    }

    fn hosts_unsettled(&self) -> Option<String> {
        let is_member = |at: usize| self.hosts[at].node().is_some_and(|node| self.members.is_member(node.id()));
        let down = (0..self.hosts.len()).find(|at| !is_member(*at))?;
        Some(format!("L1: machine {down} is no member"))
    }

    /// Every task is over, and every reference has a value or an error. Whoever gets a value that is not where it should
    /// be says so.
    fn owners_unsettled(&mut self) -> Option<String> {
        for id in self.owners.keys().copied().collect::<Vec<_>>() {
            let life = &self.owners[&id];
            if !life.program.has_begun() {
                return Some(format!("L1: {id} never begins"));
            }
            if life.machine.live_tasks() > 0 {
                return Some(format!(
                    "L1: {id} has {} tasks that never end: {}",
                    life.machine.live_tasks(),
                    life.program.unfinished()
                ));
            }
            if let Some(object) = life.program.untold() {
                return Some(format!("L2: nothing was said of {object}"));
            }
            if let Some(object) = life.program.unanswered() {
                return Some(format!("L2: {id} waits for {object}, which it has borrowed"));
            }
            let copies = life.program.held.keys().flat_map(|object| {
                life.machine.copies(*object).iter().map(|node| (*object, *node)).collect::<Vec<_>>()
            });
            let gone = copies.into_iter().find(|(object, node)| !self.has_copy(*object, *node));
            if let Some((object, node)) = gone {
                let attempt = life.machine.made_by(object);
                self.tell_owner(id, owner::Event::ObjectLost { object, node, attempt });
                return Some(format!("O1: {object} of {id} is not on {node}"));
            }
        }
        None
    }

    fn has_copy(&self, object: ObjectId, node: NodeId) -> bool {
        let Some(peer) = self.places.get(&node) else { return false };
        let host = &self.hosts[usize::try_from(peer.machine).expect("a host's index")];
        host.life.as_ref().is_some_and(|life| life.peer == *peer && life.store.contains_key(&object))
    }

    fn actors_unsettled(&self) -> Option<String> {
        let created = self.owners.values().flat_map(|life| &life.program.actors);
        for actor in created.copied() {
            let lives: Vec<_> = self.actor_lives(actor);
            match self.controller.actor(actor) {
                None | Some(ActorState::Dead { .. }) if !self.oracle.over.contains(&actor) => {
                    return Some(format!("L1: {actor} was never created"));
                }
                None | Some(ActorState::Dead { .. }) if lives.is_empty() => {}
                Some(ActorState::Alive { node, incarnation }) if lives == [(node, incarnation)] => {}
                state => return Some(format!("L1: {actor} is {state:?}, and lives {lives:?}")),
            }
        }
        None
    }

    fn actor_lives(&self, actor: ActorId) -> Vec<(NodeId, Incarnation)> {
        let lives = self.hosts.iter().filter_map(|host| host.life.as_ref());
        lives.filter_map(|life| Some((life.member.node()?, *life.actors.get(&actor)?))).collect()
    }

    /// Every group is reserved on live nodes that have all its bundles, or gone.
    fn groups_unsettled(&self) -> Option<String> {
        for (id, life) in &self.owners {
            for group in &life.program.groups {
                let Some(nodes) = self.controller.group(*group) else {
                    return Some(format!("L1: {group} of {id} is never ready"));
                };
                for (index, node) in nodes.iter().enumerate() {
                    let bundle = group.bundle(u32::try_from(index).expect("few bundles"));
                    let host = self.hosts.iter().filter_map(|host| host.node()).find(|other| other.id() == *node);
                    if !host.is_some_and(|node| node.committed().any(|known| known == bundle)) {
                        return Some(format!("G1: {bundle} is not committed on {node}"));
                    }
                }
            }
        }
        None
    }

    /// What is left though all was given back.
    pub(crate) fn leftovers(&self) -> Option<String> {
        for (id, life) in &self.owners {
            let left = (life.machine.records(), life.machine.leases());
            if left != (0, 0) {
                return Some(format!("O4: {id} keeps (records, leases) {left:?}"));
            }
        }
        for host in &self.hosts {
            let Some(life) = &host.life else { return Some("L1: a machine is down".to_owned()) };
            let Some(node) = &life.node else { return Some("L1: a machine is no member".to_owned()) };
            let id = node.id();
            if !node.ledger().is_unused() || node.leases() > 0 || node.waiting() > 0 {
                return Some(format!("Z1: {id} keeps something: {:?}", node.ledger()));
            }
            if let Some(object) = life.store.keys().next() {
                return Some(format!("O4: {id} keeps {object}"));
            }
            if let Some((task, _)) = life.runs.keys().next() {
                return Some(format!("Z1: {id} still runs {task}"));
            }
            if let Some(actor) = life.actors.keys().next() {
                return Some(format!("Z1: {actor} lives on on {id}"));
            }
        }
        let taken = self.controller.nodes().find(|(_, ledger)| !ledger.is_unused());
        taken.map(|(id, _)| format!("Z1: the controller keeps something of {id}"))
    }

    /// What the cluster takes for dead does nothing more.
    pub(crate) fn assert_not_dead(&self, peer: Peer) {
        let host = &self.hosts[usize::try_from(peer.machine).expect("a host's index")];
        if let Some(node) = host.node() {
            let id = node.id();
            assert!(self.members.is_welcomed(id), "F2: {id} acts after it was declared dead");
        }
    }

    /// A lease is given back by its holder when nothing runs on it.
    pub(crate) fn assert_idle(&self, peer: Peer, lease: LeaseId) {
        let host = &self.hosts[usize::try_from(peer.machine).expect("a host's index")];
        let mut runs = host.life.iter().flat_map(|life| life.runs.values());
        let run = runs.find(|running| running.run.lease == lease).map(|running| running.run.task);
        assert_eq!(run, None, "T1: {lease} is given back while a task runs on it");
    }

    /// A value goes only when its owner needs it no more.
    pub(crate) fn assert_unneeded(&self, object: ObjectId, node: NodeId, made: Attempt) {
        let Some(life) = self.owners.get(&object.task.owner) else { return };
        let is_needed = life.machine.copies(object).contains(&node) && life.machine.made_by(object) == made;
        assert!(!is_needed, "O4: {object} goes from {node} while it is needed");
    }

    pub(crate) fn check_all(&self) {
        self.members.check();
        self.controller.check();
        self.owners.values().for_each(|life| life.machine.check());
        self.hosts.iter().filter_map(|host| host.node()).for_each(|node| node.check());
    }
}
