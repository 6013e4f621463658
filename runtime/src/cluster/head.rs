//! The head: who is a member, and what the controller wants of whom.

use super::desk::{Desk, Timer};
use super::letter::{Address, Letter, Place, Report};
use super::owners::Owners;
use super::post::{HEAD, PostError};
use super::status::{ActorRow, Answer, GroupRow, NodeRow, NodeState, Page, Question, Resources, WaitingRow};
use rayline_core::controller::{self, ActorEnd, ActorState, Controller, Strategy};
use rayline_core::ids::{ActorId, GroupId, NodeId, OwnerId, TimerToken};
use rayline_core::members::{self, MemberEvent, Members, Peer};
use rayline_core::resources::{Capacity, Demand};
use rayline_core::{Limits, Out, node, owner};
use rayline_transport::PeerId;
use std::collections::{BTreeMap, VecDeque};
use tracing::{debug, info, warn};

/// Dead nodes that `rayline status` still shows, the oldest forgotten first.
const GONE_MAX: usize = 64;

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
    members_out: Out<members::Action>,
    controller_out: Out<controller::Action>,
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
    /// A head whose drivers get names from `start` on.
    pub(super) fn new(limits: &Limits, start: u32) -> Head {
        Head {
            members: Members::new(limits.clone()),
            controller: Controller::new(limits.clone()),
            joining: BTreeMap::new(),
            nodes: BTreeMap::new(),
            owners: Owners::new(start),
            gone: VecDeque::new(),
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
            Letter::Enlist { place, known } => self.enlist(desk, from, place, known),
            Letter::Ask(question) => self.reply(desk, from, &question),
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
        for owner in self.owners.of(by) {
            info!(%owner, "a driver's connection has ended");
            self.tell_members(desk, members::Event::OwnerClosed { owner });
        }
    }

    /// A driver wants to be an owner. It belongs to the node of its machine, or else to that of the head.
    fn enlist(&mut self, desk: &mut Desk, from: PeerId, place: Place, known: Option<OwnerId>) {
        let is_here = |seen: &Seen| seen.place.host == place.host;
        let up = || self.nodes.iter().filter(|(node, _)| self.members.is_member(**node));
        let home = up().find(|(_, seen)| is_here(seen)).or_else(|| up().next()).map(|(node, _)| *node);
        let Some(node) = home else {
            let why = "the cluster has no node yet".to_owned();
            return desk.send_by(from, Address::Asker(from.0), Letter::OwnerRefused { why });
        };
        let owner = self.owners.enlist(from, known);
        desk.post.note(Address::Owner(owner), from);
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
            members::Event::Heartbeat { .. } | members::Event::OwnerClosed { .. } => self.tell_members(desk, event),
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
                desk.post.note(Address::Node(node), seen.by);
                self.nodes.insert(node, seen);
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

    /// Answers with as many rows as fit a frame.
    fn reply(&self, desk: &mut Desk, from: PeerId, question: &Question) {
        let to = Address::Asker(from.0);
        let mut rows_max = Page::ROWS_MAX;
        while rows_max > 0 {
            let letter = Letter::Answer(self.answer(question, rows_max));
            match desk.post.send(to, letter) {
                Err(PostError::TooLarge { .. }) => rows_max /= 2,
                Err(error) => return debug!(%from, %error, "an answer is lost"),
                Ok(()) => return,
            }
        }
        warn!(?question, "not even one row of the answer fits a frame");
    }

    fn answer(&self, question: &Question, rows_max: usize) -> Answer {
        match question {
            Question::Nodes { after } => Answer::Nodes(self.node_rows(*after, rows_max)),
            Question::Actors { after } => {
                let actors = self.controller.actors(*after);
                let rows = actors.map(|(id, spec, state)| (id, ActorRow::of(id, spec, state)));
                Answer::Actors(Page::of(rows, rows_max))
            }
            Question::Groups { after } => {
                let groups = self.controller.groups(*after);
                let rows = groups
                    .map(|(id, strategy, bundles, nodes)| (id, GroupRow::of(id, strategy, bundles, nodes.as_deref())));
                Answer::Groups(Page::of(rows, rows_max))
            }
            Question::Waiting => Answer::Waiting(self.waiting_rows(rows_max)),
        }
    }

    fn node_rows(&self, after: Option<NodeId>, rows_max: usize) -> Page<NodeRow, NodeId> {
        let alive = self.nodes.iter().map(|(node, seen)| {
            let state = if self.members.is_member(*node) { NodeState::Alive } else { NodeState::Joining };
            (*node, (seen, state))
        });
        let gone = self.gone.iter().map(|(node, seen, state)| (*node, (seen, *state)));
        let all: BTreeMap<NodeId, (&Seen, NodeState)> = alive.chain(gone).collect();
        let rows = all.into_iter().filter(|(node, _)| after.is_none_or(|after| *node > after));
        Page::of(rows.map(|(node, (seen, state))| (node, seen.row(node, state))), rows_max)
    }

    fn waiting_rows(&self, rows_max: usize) -> Vec<WaitingRow> {
        let leases = self.nodes.iter().flat_map(|(node, seen)| {
            let waiting = seen.report.iter().flat_map(|report| &report.waiting);
            waiting.map(move |(demand, count)| WaitingRow {
                who: format!("leases on {node}"),
                demand: Resources::asked(demand),
                count: *count,
                why: format!("{node} has too little free"),
            })
        });
        let actors = self.controller.actors(None).filter_map(|(id, spec, state)| {
            let is_waiting = matches!(state, ActorState::Pending | ActorState::Restarting);
            let why = match spec.bundle {
                Some(bundle) => format!("for room in bundle {bundle}"),
                None => "for a node with room, or the pause after a failure".to_owned(),
            };
            let demand = Resources::asked(&spec.demand);
            is_waiting.then(|| WaitingRow { who: format!("actor {id}"), demand, count: 1, why })
        });
        let groups = self.controller.groups(None).filter(|(.., nodes)| nodes.is_none()).map(|(id, _, bundles, _)| {
            let demand = bundles.iter().map(Resources::asked).fold(Resources::default(), |sum, one| sum.and(&one));
            let why = "for nodes that have room for all its bundles at once".to_owned();
            WaitingRow { who: format!("group {id}"), demand, count: 1, why }
        });
        leases.chain(groups).chain(actors).take(rows_max).collect()
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

impl Seen {
    fn row(&self, node: NodeId, state: NodeState) -> NodeRow {
        let used = self.report.as_ref().map(|report| self.total.without(&report.free)).unwrap_or_default();
        NodeRow {
            node: node.to_string(),
            state,
            is_head: self.by == HEAD,
            host: self.place.host.clone(),
            pid: self.place.pid,
            address: self.place.address.to_string(),
            total: self.total.clone(),
            used,
            leases: self.report.as_ref().map_or(0, |report| report.leases),
        }
    }
}

impl ActorRow {
    fn of(id: ActorId, spec: &controller::ActorSpec, state: ActorState) -> ActorRow {
        let (state, node, why) = match state {
            ActorState::Pending => ("pending", None, None),
            ActorState::Starting => ("starting", None, None),
            ActorState::Alive { node, .. } => ("alive", Some(node.to_string()), None),
            ActorState::Restarting => ("restarting", None, None),
            ActorState::Dead { cause } => ("dead", None, Some(cause.to_string())),
        };
        let demand = Resources::asked(&spec.demand);
        ActorRow { actor: id.to_string(), name: spec.name.clone(), state: state.to_owned(), node, demand, why }
    }
}

impl GroupRow {
    fn of(id: GroupId, strategy: Strategy, bundles: &[Demand], nodes: Option<&[NodeId]>) -> GroupRow {
        let strategy = match strategy {
            Strategy::Pack => "pack",
            Strategy::Spread => "spread",
            Strategy::StrictPack => "strict-pack",
            Strategy::StrictSpread => "strict-spread",
        };
        GroupRow {
            group: id.to_string(),
            strategy: strategy.to_owned(),
            is_ready: nodes.is_some(),
            bundle_count: u32::try_from(bundles.len()).unwrap_or(u32::MAX),
            bundles: bundles.iter().take(Page::ROWS_MAX).map(Resources::asked).collect(),
            nodes: nodes.unwrap_or_default().iter().take(Page::ROWS_MAX).map(NodeId::to_string).collect(),
        }
    }
}
