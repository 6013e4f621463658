//! What comes from a cluster becomes events.

use super::{Driver, Others, Timer};
use crate::actor::Host;
use crate::cluster::{HEAD, Letter, Place};
use crate::control::command::Arrival;
use crate::process::{Ended, Joined, Lane, say};
use crate::session::Vacancy;
use rayline_core::controller;
use rayline_core::ids::{Incarnation, LeaseId, NodeId, OwnerId};
use rayline_core::owner;
use rayline_core::resources::Grant;
use rayline_transport::{PeerId, TransportError};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info, warn};

/// How soon a head is called again whose connection has ended: before it counts this driver as dead.
const CALL_SOON: Duration = Duration::from_millis(20);
/// How often one is called that can't be reached.
const CALL_AGAIN: Duration = Duration::from_millis(500);

impl Driver {
    /// The nodes that are there when it joins.
    pub(in crate::control) fn begin_in_cluster(&mut self, nodes: Vec<(NodeId, Place)>, dead_owners: Vec<OwnerId>) {
        for owner in dead_owners {
            self.tell_owner(owner::Event::OwnerDied { owner });
        }
        for (node, place) in nodes {
            self.node_up(node, &place);
        }
        self.settle();
    }

    pub(super) fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Frame(peer, bytes) => {
                if let Some(letter) = self.staff().and_then(|staff| staff.open(peer, &bytes)) {
                    self.open_letter(letter);
                }
            }
            Arrival::Up(peer, life) => self.connected(peer, life),
            Arrival::Down(peer, error) => self.disconnected(peer, &error),
            Arrival::Worker(joined, lane) => self.worker_came(joined, &lane),
            Arrival::WorkerGone(joined, lane) => {
                let vacancy = self.staff().and_then(|staff| staff.worker_gone(joined.node, &lane));
                self.values_lost_on(joined.node);
                self.fill(joined.node, vacancy);
            }
            Arrival::LifeEnded(Ended { life, end, error }) => {
                if let Some(proxy) = self.actors.get(&life.actor).and_then(|host| host.clone().apart()) {
                    proxy.life_ended(life.incarnation, end, error);
                }
            }
        }
    }

    /// Begins a life where its lease is.
    pub(super) fn start_actor(&mut self, host: Arc<dyn Host>, incarnation: Incarnation, lease: LeaseId, grant: Grant) {
        match (&mut self.others, host.clone().apart()) {
            (Others::Cluster(staff), Some(proxy)) => staff.start_actor(proxy, incarnation, lease, grant),
            _ => {
                self.threads.actor_started(lease, &grant);
                host.start(incarnation, lease, grant);
            }
        }
    }

    fn open_letter(&mut self, letter: Letter) {
        use controller::Action;
        match letter {
            Letter::Owner(owner::Event::GroupReady { group, nodes }) => {
                self.act_on_actors_and_groups(Action::GroupReady { group, nodes });
            }
            Letter::Owner(owner::Event::GroupBroken { group }) => {
                self.act_on_actors_and_groups(Action::GroupBroken { group });
            }
            Letter::Owner(owner::Event::GroupGone { group }) => {
                self.act_on_actors_and_groups(Action::GroupRemoved { group });
            }
            Letter::Owner(owner::Event::NodeDied { node }) => {
                warn!(%node, "a node is dead");
                if let Some(staff) = self.staff() {
                    staff.node_died(node);
                }
                self.tell_owner(owner::Event::NodeDied { node });
            }
            Letter::Owner(event) => self.tell_owner(event),
            Letter::Wanted(action) => self.act_on_actors_and_groups(action),
            Letter::Found { node, place } => self.node_up(node, &place),
            Letter::OwnerWelcome { nodes, .. } => nodes.iter().for_each(|(node, place)| self.node_up(*node, place)),
            Letter::WorkerEnded { node, worker, how } => {
                let vacancy = self.staff().and_then(|staff| staff.worker_ended(node, worker, how));
                self.fill(node, vacancy);
            }
            Letter::Wrote { node, pid, line } => say(format_args!("pid {pid} on {node}"), &line),
            // The holder went on meanwhile, as in a process of its own.
            Letter::CpusBack { .. } => {}
            other => debug!(?other, "a letter that is not for a driver"),
        }
    }

    fn staff(&mut self) -> Option<&mut crate::session::Staff> {
        match &mut self.others {
            Others::Here(..) => None,
            Others::Cluster(staff) => Some(staff),
        }
    }

    fn node_up(&mut self, node: NodeId, place: &Place) {
        if let Some(staff) = self.staff() {
            staff.node_up(node, place);
        }
        self.tell_owner(owner::Event::NodeUp { node });
    }

    fn worker_came(&mut self, joined: Joined, lane: &Arc<Lane>) {
        let node = joined.node;
        if let Some(count) = self.staff().and_then(|staff| staff.worker_came(joined, lane)) {
            self.tell_owner(owner::Event::SetExecutors { node, count });
        }
    }

    /// Sees to it that a node has a worker again, or that nothing is asked of it.
    fn fill(&mut self, node: NodeId, vacancy: Option<Vacancy>) {
        match vacancy {
            None => {}
            Some(Vacancy::Again(wait)) => self.timers.push(Reverse((self.now() + wait, Timer::Hire(node)))),
            Some(Vacancy::Unfit) => self.tell_owner(owner::Event::SetExecutors { node, count: 0 }),
        }
    }

    pub(super) fn hire(&mut self, node: NodeId) {
        if let Some(staff) = self.staff() {
            staff.hire(node);
        }
    }

    /// Another life of the head knows nothing of this driver, nor of its groups and actors.
    fn connected(&mut self, peer: PeerId, life: u64) {
        if let Some(staff) = self.staff() {
            staff.post().connected(peer, life);
            staff.heard(peer, false);
        }
        if peer != HEAD {
            return;
        }
        self.head_missed = 0;
        if std::mem::replace(&mut self.head_life, life) == life {
            return;
        }
        warn!("the head was started anew: actors and groups are lost, tasks go on");
        let Others::Cluster(staff) = &mut self.others else { return };
        let lost = staff.nodes();
        lost.iter().for_each(|node| staff.node_died(*node));
        staff.enlist_again();
        info!(nodes = lost.len(), "the nodes' lives have ended with the head");
        lost.into_iter().for_each(|node| self.tell_owner(owner::Event::NodeDied { node }));
        for actor in self.actors.keys().copied().collect::<Vec<_>>() {
            self.bury(actor, "the cluster's head was started anew".into(), false);
        }
        for group in self.groups.keys().copied().collect::<Vec<_>>() {
            self.end_group(group, "the cluster's head was started anew".into());
        }
    }

    fn disconnected(&mut self, peer: PeerId, error: &TransportError) {
        if let Some(staff) = self.staff() {
            staff.heard(peer, true);
        }
        if let Some(wait) = self.staff().and_then(|staff| staff.post().disconnected(peer)) {
            self.timers.push(Reverse((self.now() + wait, Timer::Call(peer))));
        }
        if peer != HEAD {
            return info!(%peer, %error, "a connection has ended");
        }
        if self.head_missed == 0 {
            warn!(%error, "the head is gone; it is called again until it is back");
        }
        let wait = if self.head_missed == 0 { CALL_SOON } else { CALL_AGAIN };
        self.head_missed = self.head_missed.saturating_add(1);
        self.timers.push(Reverse((self.now() + wait, Timer::Enlist)));
    }

    /// Calls a peer for which letters are left.
    pub(super) fn call(&mut self, peer: PeerId) {
        if let Some(staff) = self.staff() {
            staff.post().call(peer);
        }
    }

    /// Calls the head, which may be back.
    pub(super) fn call_head(&mut self) {
        if let Some(staff) = self.staff().filter(|staff| !staff.is_closed()) {
            staff.enlist_again();
        }
    }

    pub(super) fn close_staff(&mut self) {
        if let Some(staff) = self.staff() {
            staff.close();
        }
    }

    pub(super) fn leave(&mut self) {
        if let Some(staff) = self.staff() {
            staff.leave();
        }
    }
}
