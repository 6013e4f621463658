//! The three machines together: one owner, some nodes, a controller, and messages that take their time, come twice, and
//! overtake each other; nodes die, workers fail, actors crash. When it is quiet every task, actor and group must have
//! come to its end, and when all is given back nothing may be left.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Rng, capacity, demand, for_seeds, trace};
use rayline_core::controller::{self, ActorEnd, ActorSpec, ActorState, Controller, Strategy};
use rayline_core::ids::*;
use rayline_core::node::{self, Node};
use rayline_core::owner::{self, Affinity, FailureKind, Owner};
use rayline_core::resources::Capacity;
use rayline_core::{Limits, Out, Time};

const OWNER: OwnerId = OwnerId(1);
const TASKS: u64 = 60;

/// What is on its way.
#[derive(Clone, Debug)]
enum Message {
    Owner(owner::Event),
    Node(NodeId, node::Event),
    Controller(controller::Event),
    /// To a worker: run this.
    Run {
        task: TaskId,
        attempt: Attempt,
        lease: LeaseId,
    },
    /// To an actor's worker.
    StartActor {
        node: NodeId,
        actor: ActorId,
        incarnation: Incarnation,
        lease: LeaseId,
    },
    StopActor {
        node: NodeId,
        actor: ActorId,
        incarnation: Incarnation,
    },
    /// A node is gone; the others hear of it later.
    Die(NodeId),
}

struct World {
    rng: Rng,
    now: Time,
    seq: u64,
    on_the_way: BTreeMap<(Time, u64), Message>,
    owner: Owner,
    controller: Controller,
    nodes: BTreeMap<NodeId, Node>,
    owner_out: Out<owner::Action>,
    node_out: Out<node::Action>,
    controller_out: Out<controller::Action>,
    /// Runs that a worker has begun (a second word of one begins nothing).
    begun: BTreeSet<(TaskId, Attempt)>,
    /// Which attempts are running, so that no two of a task do on live nodes.
    actors: BTreeMap<ActorId, (Incarnation, NodeId)>,
    ended: BTreeSet<(ActorId, Incarnation)>,
    ready: BTreeSet<ObjectId>,
    failed: BTreeSet<ObjectId>,
    groups: BTreeSet<GroupId>,
    failures_percent: u64,
    twice_percent: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng(seed);
        let limits = Limits {
            overtakes_max: 1 + rng.below(8) as u32,
            class_requests_max: 1 + rng.below(8) as usize,
            lease_slice: Duration::from_millis(rng.below(60)),
            node_waiting_max: 4 + rng.below(40) as usize,
            prepare_timeout: Duration::from_millis(30 + rng.below(200)),
            ..Limits::default()
        };
        let mut world = World {
            now: Time::ZERO,
            seq: 0,
            on_the_way: BTreeMap::new(),
            owner: Owner::new(OWNER, NodeId(1), limits.clone()),
            controller: Controller::new(limits.clone()),
            nodes: BTreeMap::new(),
            owner_out: Out::new(),
            node_out: Out::new(),
            controller_out: Out::new(),
            begun: BTreeSet::new(),
            actors: BTreeMap::new(),
            ended: BTreeSet::new(),
            ready: BTreeSet::new(),
            failed: BTreeSet::new(),
            groups: BTreeSet::new(),
            failures_percent: rng.below(20),
            twice_percent: rng.below(20),
            rng,
        };
        let sizes: [Capacity; 3] = ["{cpu: 2}", "{cpu: 3, gpu: 1}", "{cpu: 4, gpu: 2}"].map(capacity);
        for (index, capacity) in sizes.into_iter().enumerate() {
            let id = NodeId(index as u32 + 1);
            world.nodes.insert(id, Node::new(id, capacity.clone(), limits.clone()));
            world.send(Message::Owner(owner::Event::NodeUp { node: id }));
            world.controller(controller::Event::NodeUp { node: id, capacity });
        }
        world
    }

    fn send(&mut self, message: Message) {
        let delay = Duration::from_micros(10 + self.rng.below(3_000));
        self.send_in(delay, message);
    }

    fn send_in(&mut self, delay: Duration, message: Message) {
        self.seq += 1;
        self.on_the_way.insert((self.now + delay, self.seq), message);
    }

    /// Sends a message between machines: perhaps twice.
    fn send_over(&mut self, message: Message) {
        if self.rng.chance(self.twice_percent) {
            self.send(message.clone());
        }
        self.send(message);
    }

    fn run(&mut self) {
        for _ in 0..200_000 {
            let Some(((at, _), message)) = self.on_the_way.pop_first() else { return };
            self.now = at;
            trace(&(at, &message));
            self.deliver(message);
        }
        panic!("it never becomes quiet");
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Owner(event) => self.owner(event),
            Message::Controller(event) => self.controller(event),
            Message::Node(id, event) => self.node(id, event),
            Message::Run { task, attempt, lease } => self.run_task(task, attempt, lease),
            Message::StartActor { node, actor, incarnation, lease } => {
                self.start_actor(node, (actor, incarnation), lease)
            }
            Message::StopActor { node, actor, incarnation } => self.stop_actor(node, (actor, incarnation)),
            Message::Die(node) => self.die(node),
        }
    }

    fn owner(&mut self, event: owner::Event) {
        self.owner.handle(self.now, event, &mut self.owner_out);
        self.owner.check();
        for action in self.owner_out.drain().collect::<Vec<_>>() {
            trace(&action);
            self.owner_wants(action);
        }
    }

    fn owner_wants(&mut self, action: owner::Action) {
        use node::Event;
        use owner::Action;
        match action {
            Action::RequestLease { node, request, demand, bundle, revocable } => {
                self.send_over(Message::Node(node, Event::RequestLease { request, demand, bundle, revocable }));
            }
            Action::CancelRequest { node, request } => {
                self.send_over(Message::Node(node, Event::CancelRequest { request }));
            }
            Action::ReturnLease { lease } => {
                self.send_over(Message::Node(lease.node, Event::ReturnLease { lease }));
            }
            Action::Start { task, attempt, lease, .. } => self.send_over(Message::Run { task, attempt, lease }),
            Action::ObjectReady { object, .. } => drop(self.ready.insert(object)),
            Action::ObjectFailed { object, .. } => drop(self.failed.insert(object)),
            Action::CloseExecutor { lease } => {
                self.send(Message::Owner(owner::Event::ExecutorClosed { lease }));
            }
            Action::SetTimer { at, token } => {
                self.send_in(at.since(self.now), Message::Owner(owner::Event::Timer { token }));
            }
            Action::CancelRunning { .. }
            | Action::TaskFailed { .. }
            | Action::Release { .. }
            | Action::Forget { .. }
            | Action::OpenExecutor { .. } => {}
        }
    }

    fn node(&mut self, id: NodeId, event: node::Event) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.handle(self.now, event, &mut self.node_out);
        node.check();
        for action in self.node_out.drain().collect::<Vec<_>>() {
            trace(&(id, &action));
            let message = Self::from_node(id, action);
            self.send_over(message);
        }
    }

    /// What a node says goes to the owner or to the controller, as its request does.
    fn from_node(id: NodeId, action: node::Action) -> Message {
        use node::Action;
        let is_ours = |request: RequestId| request.owner == OWNER;
        match action {
            Action::Granted { request, lease, grant } if is_ours(request) => {
                Message::Owner(owner::Event::LeaseGranted { request, lease, grant })
            }
            Action::Granted { request, lease, grant } => {
                Message::Controller(controller::Event::LeaseGranted { request, lease, grant })
            }
            Action::Refused { request, refusal } if is_ours(request) => {
                Message::Owner(owner::Event::LeaseRefused { request, refusal })
            }
            Action::Refused { request, refusal } => {
                Message::Controller(controller::Event::LeaseRefused { request, refusal })
            }
            Action::Reclaim { request, lease } if is_ours(request) => {
                Message::Owner(owner::Event::LeaseReclaim { request, lease })
            }
            // The controller ends what lives in a bundle before it ends the bundle: a word for it to ignore.
            Action::Reclaim { .. } => Message::Controller(controller::Event::Timer { token: TimerToken(0) }),
            Action::CpusBack { .. } => unreachable!("nobody lends CPUs here"),
            Action::Prepared { bundle, attempt } => {
                Message::Controller(controller::Event::Prepared { bundle, attempt })
            }
            Action::PrepareRefused { bundle, attempt, refusal } => {
                Message::Controller(controller::Event::PrepareRefused { bundle, attempt, refusal })
            }
            Action::Committed { bundle, attempt } => {
                Message::Controller(controller::Event::Committed { bundle, attempt })
            }
            Action::BundleReturned { bundle, attempt } => {
                Message::Controller(controller::Event::BundleReturned { node: id, bundle, attempt })
            }
        }
    }

    fn controller(&mut self, event: controller::Event) {
        self.controller.handle(self.now, event, &mut self.controller_out);
        self.controller.check();
        for action in self.controller_out.drain().collect::<Vec<_>>() {
            trace(&action);
            self.controller_wants(action);
        }
    }

    fn controller_wants(&mut self, action: controller::Action) {
        use controller::Action;
        use node::Event;
        match action {
            Action::RequestLease { node, request, demand, bundle } => {
                self.send_over(Message::Node(node, Event::RequestLease { request, demand, bundle, revocable: false }));
            }
            Action::CancelRequest { node, request } => {
                self.send_over(Message::Node(node, Event::CancelRequest { request }));
            }
            Action::ReturnLease { lease } => {
                self.send_over(Message::Node(lease.node, Event::ReturnLease { lease }));
            }
            Action::StartActor { node, actor, incarnation, lease, .. } => {
                self.send_over(Message::StartActor { node, actor, incarnation, lease });
            }
            Action::StopActor { node, actor, incarnation } => {
                self.send_over(Message::StopActor { node, actor, incarnation });
            }
            Action::PrepareBundle { node, bundle, attempt, demand } => {
                self.send_over(Message::Node(node, Event::PrepareBundle { bundle, attempt, demand }));
            }
            Action::CommitBundle { node, bundle, attempt } => {
                self.send_over(Message::Node(node, Event::CommitBundle { bundle, attempt }));
            }
            Action::ReturnBundle { node, bundle, attempt } => {
                self.send_over(Message::Node(node, Event::ReturnBundle { bundle, attempt }));
            }
            // To the owner in order and once, as between two processes on one connection.
            Action::GroupReady { group, nodes } => self.owner(owner::Event::GroupReady { group, nodes }),
            Action::GroupBroken { group } => self.owner(owner::Event::GroupBroken { group }),
            Action::GroupRefused { group, .. } | Action::GroupRemoved { group } => {
                self.groups.remove(&group);
                self.owner(owner::Event::GroupGone { group });
            }
            Action::SetTimer { at, token } => {
                self.send_in(at.since(self.now), Message::Controller(controller::Event::Timer { token }));
            }
            Action::ActorCreated { .. }
            | Action::ActorExists { .. }
            | Action::ActorRefused { .. }
            | Action::ActorFound { .. }
            | Action::ActorAlive { .. }
            | Action::ActorRestarting { .. }
            | Action::ActorDead { .. } => {}
        }
    }

    fn run_task(&mut self, task: TaskId, attempt: Attempt, lease: LeaseId) {
        if !self.nodes.contains_key(&lease.node) || !self.begun.insert((task, attempt)) {
            return;
        }
        let grant = self.nodes[&lease.node].grant(lease);
        assert!(grant.is_some(), "F1: {task} runs on {lease}, which is not granted");
        let took = Duration::from_millis(self.rng.below(20));
        let event = if self.rng.chance(self.failures_percent) {
            let kinds = [FailureKind::System, FailureKind::Application { retryable: true }];
            owner::Event::TaskFailed { task, attempt, lease, kind: kinds[self.rng.below(2) as usize] }
        } else {
            owner::Event::TaskDone { task, attempt, lease }
        };
        if self.rng.chance(self.twice_percent) {
            self.send_in(took + Duration::from_millis(1), Message::Owner(event.clone()));
        }
        self.send_in(took, Message::Owner(event));
    }

    fn start_actor(&mut self, node: NodeId, (actor, incarnation): (ActorId, Incarnation), lease: LeaseId) {
        let Some(machine) = self.nodes.get(&node) else { return };
        if self.ended.contains(&(actor, incarnation)) || self.actors.get(&actor) == Some(&(incarnation, node)) {
            return;
        }
        assert!(machine.grant(lease).is_some(), "F1: {actor} starts on {lease}, which is not granted");
        let other = self.actors.insert(actor, (incarnation, node));
        assert_eq!(other, None, "A1: {actor} lives twice");
        self.send_over(Message::Controller(controller::Event::ActorStarted { actor, incarnation }));
        if self.rng.chance(self.failures_percent) {
            let took = Duration::from_millis(self.rng.below(40));
            self.send_in(took, Message::StopActor { node, actor, incarnation });
        }
    }

    /// A stop, or a crash. It may overtake the start.
    fn stop_actor(&mut self, node: NodeId, (actor, incarnation): (ActorId, Incarnation)) {
        if !self.nodes.contains_key(&node) || !self.ended.insert((actor, incarnation)) {
            return;
        }
        if self.actors.get(&actor) == Some(&(incarnation, node)) {
            self.actors.remove(&actor);
        }
        let event = controller::Event::ActorEnded { actor, incarnation, end: ActorEnd::Crashed };
        self.send_over(Message::Controller(event));
    }

    fn die(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.actors.retain(|_, (_, on)| *on != node);
        self.send(Message::Owner(owner::Event::NodeDied { node }));
        self.send(Message::Controller(controller::Event::NodeDied { node }));
    }

    fn submit_all(&mut self) {
        let bundle = |seq| Affinity::Bundle(GroupId { owner: OWNER, seq }.bundle(0));
        let classes = [
            ("{cpu: 1}", Affinity::Any),
            ("{cpu: 1}", Affinity::Spread),
            ("{cpu: 0.5, gpu: 0.5}", Affinity::Any),
            ("{cpu: 1}", Affinity::Prefer(NodeId(3))),
            ("{cpu: 0.25}", bundle(1)),
            ("{gpu: 9}", Affinity::Any),
        ];
        for (class, (text, affinity)) in classes.into_iter().enumerate() {
            self.owner(owner::Event::DefineClass { class: ClassId(class as u32), demand: demand(text), affinity });
        }
        self.owner(owner::Event::SetExecutors { node: NodeId(1), count: 2 });
        // What is permanent (groups and actors) leaves room for a CPU on each but one of the nodes that stay.
        for seq in 1..=TASKS {
            let task = TaskId { owner: OWNER, seq };
            let args = (0..self.rng.below(3)).map(|_| 1 + self.rng.below(seq)).filter(|arg| *arg < seq);
            let args = args.map(|seq| TaskId { owner: OWNER, seq }.object(0)).collect();
            let class = if self.rng.chance(3) { ClassId(5) } else { ClassId(self.rng.below(5) as u32) };
            let event = owner::Event::Submit { task, class, args, returns: 1, retries: 6 };
            let delay = Duration::from_millis(seq / 4);
            self.send_in(delay, Message::Owner(event));
        }
        for (seq, strategy) in [(1, Strategy::Pack), (2, Strategy::StrictSpread), (3, Strategy::Spread)] {
            let group = GroupId { owner: OWNER, seq };
            self.groups.insert(group);
            let bundles = vec![demand("{cpu: 0.25}"); 2];
            self.send(Message::Controller(controller::Event::ReserveGroup { group, bundles, strategy }));
        }
        for seq in 1..=4 {
            let bundle = (seq == 4).then_some(GroupId { owner: OWNER, seq: 1 }.bundle(1));
            let spec = ActorSpec { demand: demand("{cpu: 0.1}"), bundle, restarts: 3, ..ActorSpec::default() };
            let event = controller::Event::CreateActor { actor: ActorId { owner: OWNER, seq }, spec };
            self.send_in(Duration::from_millis(5 * seq), Message::Controller(event));
        }
    }

    /// Nothing is on its way any more: everything must have come to an end.
    fn assert_quiet(&self) {
        assert_eq!(self.owner.live_tasks(), 0, "L1: tasks that never end");
        for seq in 1..=TASKS {
            let object = TaskId { owner: OWNER, seq }.object(0);
            let is_told = self.ready.contains(&object) || self.failed.contains(&object);
            assert!(is_told, "L2: nothing was said of {object}");
        }
        for seq in 1..=4 {
            let actor = ActorId { owner: OWNER, seq };
            match self.controller.actor(actor) {
                None | Some(ActorState::Dead { .. }) => {
                    assert!(!self.actors.contains_key(&actor), "Z1: {actor} lives on")
                }
                Some(ActorState::Alive { node, incarnation }) => {
                    assert_eq!(self.actors.get(&actor), Some(&(incarnation, node)), "L1: {actor} is not there");
                }
                Some(state) => panic!("L1: {actor} is {state:?} for ever"),
            }
        }
        for group in &self.groups {
            assert!(self.controller.group(*group).is_some(), "L1: {group} is never ready");
        }
    }

    fn give_all_back(&mut self) {
        self.owner(owner::Event::SetExecutors { node: NodeId(1), count: 0 });
        for seq in 1..=TASKS {
            self.owner(owner::Event::DropRef { object: TaskId { owner: OWNER, seq }.object(0) });
        }
        for group in self.groups.clone() {
            self.controller(controller::Event::RemoveGroup { group });
        }
        for seq in 1..=4 {
            let actor = ActorId { owner: OWNER, seq };
            self.controller(controller::Event::KillActor { actor, restart: false });
        }
        self.run();
        assert_eq!((self.owner.records(), self.owner.leases()), (0, 0), "O4: the owner keeps something");
        for (id, node) in &self.nodes {
            let is_free = node.ledger().is_unused() && node.leases() == 0 && node.waiting() == 0;
            assert!(is_free, "Z1: {id} keeps something: {:?}", node.ledger());
        }
        for (id, ledger) in self.controller.nodes() {
            assert!(ledger.is_unused(), "Z1: the controller keeps something of {id}");
        }
    }
}

#[test]
fn owner_nodes_and_controller_come_to_rest() {
    for_seeds(150, |seed| {
        let mut world = World::new(seed);
        world.submit_all();
        if world.rng.chance(40) {
            let node = NodeId(2 + world.rng.below(2) as u32);
            let at = Duration::from_millis(world.rng.below(100));
            world.send_in(at, Message::Die(node));
        }
        world.run();
        world.assert_quiet();
        world.give_all_back();
    });
}
