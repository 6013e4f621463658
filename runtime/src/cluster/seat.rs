//! A node's seat in the cluster: one life after another, each with its membership and its leases.

use super::desk::{Desk, Timer};
use super::home::Home;
use super::letter::{Address, Letter, Place, Report};
use super::post::HEAD;
use super::workers::{Fate, Workers};
use rayline_core::controller;
use rayline_core::ids::{NodeId, OwnerId, TimerToken};
use rayline_core::members::{self, JoinRefusal, Member, MemberAction, MemberEvent, Peer};
use rayline_core::node::{self, Node};
use rayline_core::owner;
use rayline_core::resources::Capacity;
use rayline_core::{Limits, Out};
use rayline_transport::PeerId;
use std::time::Duration;
use tracing::{error, info, warn};

/// How long a machine waits between two lives.
const REST: Duration = Duration::from_millis(500);

/// The driver of a node.
pub(super) struct Seat {
    home: Home,
    workers: Workers,
    limits: Limits,
    capacity: Capacity,
    place: Place,
    peer: Peer,
    member: Member,
    /// While it is a member.
    node: Option<Node>,
    /// What the head was told last.
    reported: Option<Report>,
    refused: Option<JoinRefusal>,
    member_out: Out<MemberAction>,
    node_out: Out<node::Action>,
}

impl Seat {
    pub(super) fn new(
        (home, workers): (Home, Workers),
        peer: Peer,
        capacity: Capacity,
        place: Place,
        limits: Limits,
    ) -> Seat {
        Seat {
            member: Member::new(peer, capacity.clone(), limits.clone()),
            home,
            workers,
            limits,
            capacity,
            place,
            peer,
            node: None,
            reported: None,
            refused: None,
            member_out: Out::new(),
            node_out: Out::new(),
        }
    }

    pub(super) fn start(&mut self, desk: &mut Desk) {
        desk.post.note(Address::Life(self.peer), desk.me());
        self.tell_member(desk, MemberEvent::Start);
    }

    /// Its name, while it is a member.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.member.node()
    }

    /// Why the head doesn't want this life.
    pub(super) fn refused(&self) -> Option<JoinRefusal> {
        self.refused
    }

    /// Whether an address is that of this life.
    pub(super) fn is_at(&self, address: Address) -> bool {
        match address {
            Address::Life(peer) => peer == self.peer,
            Address::Node(node) => self.member.node() == Some(node),
            Address::Head | Address::Owner(_) => false,
        }
    }

    /// A letter for this life.
    pub(super) fn handle(&mut self, desk: &mut Desk, from: PeerId, letter: Letter) {
        if let Letter::Member(event) = letter {
            return self.tell_member(desk, event);
        }
        if let (HEAD, Letter::Control(control)) = (from, &letter) {
            return self.home.note_control(*control);
        }
        // A process that was stopped wakes in the middle of whatever it did.
        if !self.member.may_act(desk.now()) {
            return self.end(desk);
        }
        match letter {
            Letter::Node(event) => self.node_event(desk, from, event),
            Letter::Hire(job) => {
                desk.post.note(Address::Owner(job.owner), from);
                if let Some(node) = self.node() {
                    self.workers.hire(node, job);
                }
            }
            // It holds no copies of objects, which is what is to be looked for elsewhere.
            Letter::NodeDied(_) => {}
            other => warn!(%from, ?other, "a letter that is not for a node"),
        }
    }

    /// What has become of a worker.
    pub(super) fn hear(&mut self, desk: &mut Desk, fate: Fate) {
        let node = self.node();
        self.workers.hear(desk, node, fate);
    }

    /// The connection with the head has ended.
    pub(super) fn disconnected(&mut self, desk: &mut Desk) {
        self.tell_member(desk, MemberEvent::Disconnected);
    }

    pub(super) fn timer(&mut self, desk: &mut Desk, boot: u64, token: TimerToken) {
        if boot == self.peer.boot {
            self.tell_member(desk, MemberEvent::Timer { token });
            self.report(desk);
        }
    }

    /// Begins another life, since the last is over.
    pub(super) fn next_life(&mut self, desk: &mut Desk) {
        match self.home.next_life() {
            Ok(peer) => {
                self.peer = peer;
                self.member = Member::new(peer, self.capacity.clone(), self.limits.clone());
                self.refused = None;
                self.start(desk);
            }
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, "the next life can't be written down; trying again");
                desk.set_timer(desk.now() + REST * 10, Timer::NextLife);
            }
        }
    }

    /// Says that it leaves; `false` where it is no member anyway.
    pub(super) fn leave(&mut self, desk: &mut Desk) -> bool {
        let Some(node) = self.member.node() else { return false };
        self.node = None;
        self.workers.dismiss_all();
        desk.send(Address::Head, Letter::Members(members::Event::Leave { node }));
        true
    }

    fn tell_member(&mut self, desk: &mut Desk, event: MemberEvent) {
        if let MemberEvent::Refused { why } = event {
            self.refused = Some(why);
        }
        let mut out = std::mem::take(&mut self.member_out);
        self.member.handle(desk.now(), event, &mut out);
        for action in out.drain() {
            self.member_wants(desk, action);
        }
        self.member_out = out;
    }

    fn member_wants(&mut self, desk: &mut Desk, action: MemberAction) {
        match action {
            MemberAction::Join { peer, capacity } => {
                desk.send(Address::Head, Letter::Join { peer, capacity, place: self.place.clone() });
            }
            MemberAction::Heartbeat { node, beat } => {
                desk.send(Address::Head, Letter::Members(members::Event::Heartbeat { node, beat }));
            }
            MemberAction::Begin { node } => {
                info!(%node, "this node is a member");
                self.node = Some(Node::new(node, self.capacity.clone(), self.limits.clone()));
                self.reported = None;
            }
            MemberAction::End => self.end(desk),
            MemberAction::SetTimer { at, token } => desk.set_timer(at, Timer::Member(self.peer.boot, token)),
        }
    }

    /// This life is over: what it leased is void, and another begins soon.
    fn end(&mut self, desk: &mut Desk) {
        if self.node.take().is_some() {
            warn!(life = %self.peer, "this life of the node is over: the cluster may take it for dead; it joins anew");
        }
        self.reported = None;
        self.workers.dismiss_all();
        desk.set_timer(desk.now() + REST, Timer::NextLife);
    }

    fn node_event(&mut self, desk: &mut Desk, from: PeerId, event: node::Event) {
        if let node::Event::RequestLease { request, .. } = &event
            && request.owner != OwnerId::CONTROLLER
        {
            desk.post.note(Address::Owner(request.owner), from);
        }
        if let node::Event::OwnerDied { owner } = &event {
            self.workers.dismiss(*owner);
        }
        let Some(machine) = &mut self.node else { return };
        let mut out = std::mem::take(&mut self.node_out);
        machine.handle(desk.now(), event, &mut out);
        if cfg!(debug_assertions) {
            machine.check();
        }
        let id = machine.id();
        for action in out.drain() {
            let (to, letter) = addressed(id, action);
            desk.send(to, letter);
        }
        self.node_out = out;
    }

    /// Says how much is used, where that has changed.
    fn report(&mut self, desk: &mut Desk) {
        let Some(node) = &self.node else { return };
        let report = Report::of(node);
        if self.reported.as_ref() != Some(&report) {
            desk.send(Address::Head, Letter::Report { node: node.id(), report: report.clone() });
            self.reported = Some(report);
        }
    }
}

/// Who must hear what a node wants: the owner or the controller, as in the simulator.
fn addressed(id: NodeId, action: node::Action) -> (Address, Letter) {
    use node::Action;
    let control = |event| (Address::Head, Letter::Controller(event));
    let of_owner = |owner, event| (Address::Owner(owner), Letter::Owner(event));
    match action {
        Action::Granted { request, lease, grant } if request.owner == OwnerId::CONTROLLER => {
            control(controller::Event::LeaseGranted { request, lease, grant })
        }
        Action::Granted { request, lease, grant } => {
            of_owner(request.owner, owner::Event::LeaseGranted { request, lease, grant })
        }
        Action::Refused { request, refusal } if request.owner == OwnerId::CONTROLLER => {
            control(controller::Event::LeaseRefused { request, refusal })
        }
        Action::Refused { request, refusal } => {
            of_owner(request.owner, owner::Event::LeaseRefused { request, refusal })
        }
        Action::Reclaim { request, lease } => of_owner(request.owner, owner::Event::LeaseReclaim { request, lease }),
        Action::CpusBack { owner, lease, grant } => (Address::Owner(owner), Letter::CpusBack { lease, grant }),
        Action::Prepared { bundle, attempt } => control(controller::Event::Prepared { bundle, attempt }),
        Action::PrepareRefused { bundle, attempt, refusal } => {
            control(controller::Event::PrepareRefused { bundle, attempt, refusal })
        }
        Action::Committed { bundle, attempt } => control(controller::Event::Committed { bundle, attempt }),
        Action::BundleReturned { bundle, attempt } => {
            control(controller::Event::BundleReturned { node: id, bundle, attempt })
        }
    }
}
