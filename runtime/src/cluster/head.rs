//! The head: who is a member, and what the controller wants of whom.

mod rows;

use super::binary::BinaryId;
use super::desk::{Desk, Timer};
use super::home::Control;
use super::ledger::{Done, Record};
use super::letter::{Address, Letter, Place, Report};
use super::owners::Owners;
use super::status::Resources;
use rayline_core::controller::{self, ActorEnd, Controller};
use rayline_core::ids::{NodeId, OwnerId, TimerToken};
use rayline_core::members::{self, MemberEvent, Members, Peer};
use rayline_core::resources::Capacity;
use rayline_core::{Limits, Out, node, owner};
use rayline_transport::PeerId;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tracing::{debug, info, warn};

/// Dead nodes that `rayline status` still shows, the oldest forgotten first.
const GONE_MAX: usize = 64;

/// How long a driver whose connection has ended may take to come again.
const DRIVER_GRACE: Duration = Duration::from_millis(400);

/// The driver of members and controller.
pub(super) struct Head {
    members: Members,
    controller: Controller,
    /// Who has asked to join, and where it is; by the name of its life until it is welcomed.
    joining: BTreeMap<Peer, Seen>,
    /// Welcomed nodes.
    nodes: BTreeMap<NodeId, Seen>,
    owners: Owners,
    gone: VecDeque<(NodeId, Seen, NodeState)>,
    record: Record,
    /// What each node that joins is told.
    control: Control,
    members_out: Out<members::Action>,
    controller_out: Out<controller::Action>,
}

/// Whether a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeState {
    /// It was welcomed, and has not said yet that it knows.
    Joining,
    Alive,
    /// It was silent for too long, its process has ended, or its machine has begun another life.
    Dead,
    /// It was stopped.
    Left,
}

/// What the head knows of a node besides its membership.
#[derive(Clone)]
struct Seen {
    /// The peer that joined as this node; nobody else speaks for it.
    by: PeerId,
    place: Place,
    total: Resources,
    report: Option<Report>,
}

impl Head {
    /// A head that goes on after the earlier ones of the same record, which ended with these lives of machines.
    pub(super) fn new(limits: &Limits, record: Record, lives: Vec<Peer>, control: Control) -> Head {
        Head {
            members: Members::after(limits.clone(), record.next_node(), lives),
            controller: Controller::new(limits.clone()),
            joining: BTreeMap::new(),
            nodes: BTreeMap::new(),
            owners: Owners::new(record.next_owner()),
            gone: VecDeque::new(),
            record,
            control,
            members_out: Out::new(),
            controller_out: Out::new(),
        }
    }

    /// A letter for the head from a peer.
    pub(super) fn handle(&mut self, desk: &mut Desk, from: PeerId, letter: Letter) {
        match letter {
            Letter::Join { peer, capacity, place } => {
                desk.post.note(Address::Life(peer), from);
                let total = Resources::of(&capacity);
                self.joining.insert(peer, Seen { by: from, place, total, report: None });
                self.tell_members(desk, members::Event::Join { peer, capacity });
                self.joining.remove(&peer);
            }
            Letter::Members(event) => self.members_event(desk, from, event),
            Letter::Controller(event) => self.tell_controller(desk, event),
            Letter::Report { node, report } => {
                if let Some(seen) = self.nodes.get_mut(&node).filter(|seen| seen.by == from) {
                    seen.report = Some(report);
                }
            }
            Letter::Enlist { place, known, binary } => self.enlist(desk, from, (&place, known), binary),
            other => warn!(%from, ?other, "a letter that is not for a head"),
        }
    }

    /// A peer's own side has ended its connection.
    pub(super) fn closed(&mut self, desk: &mut Desk, by: PeerId) {
        let nodes: Vec<NodeId> = self.nodes.iter().filter(|(_, seen)| seen.by == by).map(|(node, _)| *node).collect();
        for node in nodes {
            info!(%node, "a node's connection has ended");
            self.tell_members(desk, members::Event::Closed { node });
        }
        for owner in self.owners.miss(by, desk.now()) {
            info!(%owner, "a driver's connection has ended");
            desk.set_timer(desk.now() + DRIVER_GRACE, Timer::Driver(owner));
        }
    }

    /// There is a connection with a peer again.
    pub(super) fn connected(&mut self, by: PeerId) {
        self.owners.find(by);
    }

    /// A driver that has not come again is dead.
    pub(super) fn driver_timer(&mut self, desk: &mut Desk, owner: OwnerId) {
        // Its connection may have ended again meanwhile; that has a timer of its own.
        if self.owners.missing_since(owner).is_some_and(|since| desk.now().since(since) >= DRIVER_GRACE) {
            self.tell_members(desk, members::Event::OwnerClosed { owner });
        }
    }

    /// A driver wants to be an owner. It belongs to the node of its machine, or else to that of the head.
    fn enlist(&mut self, desk: &mut Desk, from: PeerId, (place, known): (&Place, Option<OwnerId>), binary: BinaryId) {
        let is_here = |seen: &Seen| seen.place.host == place.host;
        let up = || self.nodes.iter().filter(|(node, _)| self.members.is_member(**node));
        let home = up().find(|(_, seen)| is_here(seen)).or_else(|| up().next()).map(|(node, _)| *node);
        let Some(node) = home else {
            let why = "the cluster has no node yet".to_owned();
            return desk.send_by(from, Address::Head, Letter::OwnerRefused { why });
        };
        let owner = self.owners.enlist(from, known);
        desk.post.note(Address::Owner(owner), from);
        self.record.job_begins(owner, Some(binary.to_string()));
        self.tell_members(desk, members::Event::OwnerJoin { owner, node });
    }

    pub(super) fn members_timer(&mut self, desk: &mut Desk, token: TimerToken) {
        self.tell_members(desk, members::Event::Timer { token });
        // Of those who never were up nobody says that they are dead.
        self.nodes.retain(|node, _| self.members.is_welcomed(*node));
    }

    pub(super) fn controller_timer(&mut self, desk: &mut Desk, token: TimerToken) {
        self.tell_controller(desk, controller::Event::Timer { token });
    }

    /// Takes from a job all that it holds, as if its driver were gone; whether it runs. If so, `done` hears when that is
    /// noted.
    pub(super) fn stop_job(&mut self, desk: &mut Desk, number: u64, done: Done) -> bool {
        let Some(owner) = self.record.job_stops(number, done) else { return false };
        info!(number, %owner, "a job is stopped");
        self.tell_members(desk, members::Event::OwnerClosed { owner });
        true
    }

    /// What a peer says of membership. A node that this head has not welcomed, or as whom another has joined, speaks for a
    /// life of an earlier head: it is over.
    fn members_event(&mut self, desk: &mut Desk, from: PeerId, event: members::Event) {
        let speaker = match &event {
            members::Event::Heartbeat { node, .. } | members::Event::Leave { node } => Some(*node),
            _ => None,
        };
        if let Some(node) = speaker
            && self.nodes.get(&node).is_none_or(|seen| seen.by != from)
        {
            return desk.send_by(from, Address::Node(node), Letter::Member(MemberEvent::Fenced));
        }
        match event {
            members::Event::Heartbeat { .. } => self.tell_members(desk, event),
            members::Event::OwnerClosed { owner } if self.owners.of(from).contains(&owner) => {
                self.tell_members(desk, event);
            }
            members::Event::Leave { node } => {
                info!(%node, "a node leaves");
                self.bury(node, NodeState::Left);
                self.tell_members(desk, event);
                desk.send_by(from, Address::Node(node), Letter::Farewell);
            }
            other => warn!(%from, ?other, "an event that no node may tell"),
        }
    }

    fn tell_members(&mut self, desk: &mut Desk, event: members::Event) {
        let mut out = std::mem::take(&mut self.members_out);
        self.members.handle(desk.now(), event, &mut out);
        for action in out.drain() {
            self.members_want(desk, action);
        }
        self.members_out = out;
        if cfg!(debug_assertions) {
            self.members.check();
        }
    }

    fn members_want(&mut self, desk: &mut Desk, action: members::Action) {
        use members::Action;
        match action {
            Action::Welcome { peer, node } => {
                let seen = self.joining.get(&peer).expect("it has just asked").clone();
                // It asks again, and is welcomed when that can be written down.
                if !self.record.welcome(peer, node) {
                    return;
                }
                desk.post.note(Address::Node(node), seen.by);
                self.nodes.insert(node, seen);
                desk.send(Address::Life(peer), Letter::Control(self.control));
                desk.send(Address::Life(peer), Letter::Member(MemberEvent::Welcome { node }));
            }
            Action::Refuse { peer, why } => {
                desk.send(Address::Life(peer), Letter::Member(MemberEvent::Refused { why }));
            }
            Action::Ack { node, beat } => desk.send(Address::Node(node), Letter::Member(MemberEvent::Ack { beat })),
            Action::Fence { node } => desk.send(Address::Node(node), Letter::Member(MemberEvent::Fenced)),
            Action::OwnerWelcome { owner } => {
                let place = |node| Some((node, self.nodes.get(&node)?.place.clone()));
                let nodes = self.members.nodes().filter_map(|(node, _)| place(node)).collect();
                let dead = self.members.dead_owners().collect();
                let Some(home) = self.members.home(owner) else { return };
                desk.send(Address::Owner(owner), Letter::OwnerWelcome { owner, home, nodes, dead });
            }
            Action::NodeUp { node, capacity } => self.node_up(desk, node, capacity),
            Action::NodeDied { node } => self.node_died(desk, node),
            Action::OwnerDied { owner } => {
                self.owners.remove(owner);
                self.record.job_ends(owner);
                self.tell_controller(desk, controller::Event::OwnerDied { owner });
                self.tell_owners(desk, &Letter::Owner(owner::Event::OwnerDied { owner }));
                self.tell_nodes(desk, &Letter::Node(node::Event::OwnerDied { owner }));
            }
            Action::SetTimer { at, token } => desk.set_timer(at, Timer::Members(token)),
        }
    }

    fn node_up(&mut self, desk: &mut Desk, node: NodeId, capacity: Capacity) {
        info!(%node, %capacity, "node is up");
        self.tell_controller(desk, controller::Event::NodeUp { node, capacity });
        if let Some(seen) = self.nodes.get(&node) {
            self.tell_owners(desk, &Letter::Found { node, place: seen.place.clone() });
        }
        self.tell_owners(desk, &Letter::Owner(owner::Event::NodeUp { node }));
    }

    fn node_died(&mut self, desk: &mut Desk, node: NodeId) {
        if self.bury(node, NodeState::Dead) {
            warn!(%node, "node is dead");
        }
        self.tell_controller(desk, controller::Event::NodeDied { node });
        self.tell_owners(desk, &Letter::Owner(owner::Event::NodeDied { node }));
        self.tell_nodes(desk, &Letter::NodeDied(node));
    }

    /// Remembers for a while that a node was here; `false` where that is done already.
    fn bury(&mut self, node: NodeId, state: NodeState) -> bool {
        let Some(seen) = self.nodes.remove(&node) else { return false };
        self.gone.push_back((node, seen, state));
        if self.gone.len() > GONE_MAX {
            self.gone.pop_front();
        }
        true
    }

    fn tell_owners(&self, desk: &mut Desk, letter: &Letter) {
        self.members.owners().for_each(|owner| desk.send(Address::Owner(owner), letter.clone()));
    }

    fn tell_nodes(&self, desk: &mut Desk, letter: &Letter) {
        self.members.welcomed().for_each(|node| desk.send(Address::Node(node), letter.clone()));
    }

    fn tell_controller(&mut self, desk: &mut Desk, event: controller::Event) {
        let mut out = std::mem::take(&mut self.controller_out);
        self.controller.handle(desk.now(), event, &mut out);
        for action in out.drain() {
            self.controller_wants(desk, action);
        }
        self.controller_out = out;
    }

    /// Actors begin and end where their owner has its worker, so that it sees to that.
    fn controller_wants(&mut self, desk: &mut Desk, action: controller::Action) {
        use controller::Action;
        let (actor, incarnation, end) = match &action {
            Action::StartActor { actor, incarnation, .. } => (*actor, *incarnation, ActorEnd::Crashed),
            Action::StopActor { actor, incarnation, .. } => (*actor, *incarnation, ActorEnd::Stopped),
            _ => return tell_node(desk, action),
        };
        if self.owners.is_live(actor.owner) {
            return desk.send(Address::Owner(actor.owner), Letter::Wanted(action));
        }
        // With its owner its process has gone.
        let ended = controller::Event::ActorEnded { actor, incarnation, end };
        desk.send(Address::Head, Letter::Controller(ended));
    }
}

/// Who must hear what the controller wants of a node: as in the simulator.
fn tell_node(desk: &mut Desk, action: controller::Action) {
    use controller::Action;
    let (node, event) = match action {
        Action::RequestLease { node, request, demand, bundle } => {
            (node, node::Event::RequestLease { request, demand, bundle, revocable: false })
        }
        Action::CancelRequest { node, request } => (node, node::Event::CancelRequest { request }),
        Action::ReturnLease { lease } => (lease.node, node::Event::ReturnLease { lease }),
        Action::PrepareBundle { node, bundle, attempt, demand } => {
            (node, node::Event::PrepareBundle { bundle, attempt, demand })
        }
        Action::CommitBundle { node, bundle, attempt } => (node, node::Event::CommitBundle { bundle, attempt }),
        Action::ReturnBundle { node, bundle, attempt } => (node, node::Event::ReturnBundle { bundle, attempt }),
        Action::SetTimer { at, token } => return desk.set_timer(at, Timer::Controller(token)),
        other => return tell_owner(desk, other),
    };
    desk.send(Address::Node(node), Letter::Node(event));
}

fn tell_owner(desk: &mut Desk, action: controller::Action) {
    use controller::Action;
    let (owner, letter) = match action {
        Action::GroupReady { group, nodes } => (group.owner, Letter::Owner(owner::Event::GroupReady { group, nodes })),
        Action::GroupBroken { group } => (group.owner, Letter::Owner(owner::Event::GroupBroken { group })),
        // With what was refused goes why.
        Action::GroupRefused { group, .. } => (group.owner, Letter::Wanted(action)),
        Action::GroupRemoved { group } => (group.owner, Letter::Owner(owner::Event::GroupGone { group })),
        Action::ActorFound { request, .. } => (request.owner, Letter::Wanted(action)),
        Action::ActorExists { asked, .. } => (asked.owner, Letter::Wanted(action)),
        Action::ActorCreated { actor }
        | Action::ActorRefused { actor, .. }
        | Action::ActorAlive { actor, .. }
        | Action::ActorRestarting { actor, .. }
        | Action::ActorDead { actor, .. } => (actor.owner, Letter::Wanted(action)),
        other => return debug!(?other, "an action for nobody"),
    };
    desk.send(Address::Owner(owner), letter);
}
