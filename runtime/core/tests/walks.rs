//! Random walks: thousands of events, sensible, stale, duplicate and senseless ones, with every invariant checked after
//! each, and beside the machine a plain count of what it has said. Then all is given back, and nothing may be left.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Rng, capacity, demand, for_seeds, trace};
use rayline_core::ids::*;
use rayline_core::resources::{Amount, Capacity, Demand, Grant};
use rayline_core::{Limits, Out, Time, controller, node, owner};

const EVENTS: usize = 600;

/// Limits small enough to be reached.
fn limits(rng: &mut Rng) -> Limits {
    Limits {
        node_waiting_max: 3 + rng.below(20) as usize,
        overtakes_max: rng.below(6) as u32,
        node_tombstones_max: 8 + rng.below(200) as usize,
        dead_owners_max: 4,
        tasks_max: 10 + rng.below(60) as usize,
        lineage_max: 3 + rng.below(40) as usize,
        rebuild_depth_max: 1 + rng.below(8) as u32,
        class_requests_max: 1 + rng.below(6) as usize,
        lease_slice: Duration::from_millis(rng.below(20)),
        actors_max: 10,
        dead_actors_max: 5,
        groups_max: 6,
        bundles_max: 4,
        ..Limits::default()
    }
}

mod node_walk {
    use super::*;
    use node::{Action, Event, Node};

    pub struct Walk {
        pub rng: Rng,
        node: Node,
        capacity: Capacity,
        out: Out<Action>,
        /// What the node has said and not been told otherwise: leases with what they hold, without what they lent.
        live: BTreeMap<LeaseId, (RequestId, Grant, bool)>,
        lent: BTreeSet<LeaseId>,
        last_lease: u64,
        bundles: BTreeMap<BundleId, Attempt>,
        next_seq: u64,
    }

    impl Walk {
        pub fn new(seed: u64) -> Walk {
            let mut rng = Rng(seed);
            let capacity = capacity(["{cpu: 2, gpu: 2, x: 1}", "{cpu: 4.5, memory: 1000}"][rng.below(2) as usize]);
            let node = Node::new(NodeId(1), capacity.clone(), limits(&mut rng));
            Walk {
                rng,
                node,
                capacity,
                out: Out::new(),
                live: BTreeMap::new(),
                lent: BTreeSet::new(),
                last_lease: 0,
                bundles: BTreeMap::new(),
                next_seq: 1,
            }
        }

        pub fn step(&mut self) {
            let event = self.event();
            self.tell(event);
        }

        fn tell(&mut self, event: Event) {
            match &event {
                Event::ReturnLease { lease } => drop(self.live.remove(lease)),
                Event::CancelRequest { request } => self.live.retain(|_, (of, ..)| of != request),
                Event::OwnerDied { owner } => self.live.retain(|_, (of, ..)| of.owner != *owner),
                Event::LendCpus { lease } => drop(self.lent.insert(*lease)),
                _ => {}
            }
            trace(&event);
            self.node.handle(Time::ZERO, event, &mut self.out);
            self.node.check();
            for action in self.out.drain().collect::<Vec<_>>() {
                trace(&action);
                self.note(action);
            }
            self.count();
        }

        fn note(&mut self, action: Action) {
            match action {
                Action::Granted { request, lease, grant } => {
                    if let Some((of, held, _)) = self.live.get(&lease) {
                        assert_eq!(*of, request, "lease {lease} was given twice");
                        assert!(self.lent.contains(&lease) || *held == grant);
                    } else {
                        assert!(lease.seq > self.last_lease, "lease id {lease} is not new");
                        assert!(self.live.values().all(|(of, ..)| *of != request), "{request} has two leases");
                        self.last_lease = lease.seq;
                        self.live.insert(lease, (request, grant, false));
                    }
                }
                Action::CpusBack { lease, grant, .. } => {
                    self.lent.remove(&lease);
                    self.live.get_mut(&lease).expect("only live leases get CPUs").1 = grant;
                }
                Action::Reclaim { request, lease } => {
                    let (of, _, asked) = self.live.get_mut(&lease).expect("only live leases are asked back");
                    assert_eq!(*of, request);
                    assert!(!std::mem::replace(asked, true), "{lease} is asked back twice");
                }
                Action::Prepared { bundle, attempt } => drop(self.bundles.insert(bundle, attempt)),
                Action::BundleReturned { bundle, .. } => drop(self.bundles.remove(&bundle)),
                _ => {}
            }
        }

        /// R1, counted from outside: no slot and no part of a device is with two leases.
        fn count(&self) {
            let mut slots = BTreeSet::new();
            let mut devices: BTreeMap<u32, Amount> = BTreeMap::new();
            for (lease, (_, grant, _)) in &self.live {
                for held in grant.devices() {
                    let sum = devices.entry(held.index).or_default();
                    *sum = *sum + held.share;
                    assert!(*sum <= Amount::ONE, "gpu {} is with too many", held.index);
                }
                if !self.lent.contains(lease) {
                    assert!(grant.slots().iter().all(|slot| slots.insert(*slot)), "a slot is with two leases");
                }
            }
            assert!(slots.len() as u64 <= self.capacity.cpu().whole_units());
        }

        fn event(&mut self) -> Event {
            let leases: Vec<LeaseId> = self.live.keys().copied().collect();
            let lease = match self.rng.pick(&leases) {
                Some(lease) if !self.rng.0.is_multiple_of(8) => *lease,
                _ => LeaseId { node: NodeId(1), seq: self.rng.below(40) },
            };
            let attempt = Attempt(1 + self.rng.below(5) as u32);
            let bundle = GroupId { owner: OwnerId(1), seq: self.rng.below(2) }.bundle(self.rng.below(2) as u32);
            let known = self.bundles.get(&bundle).copied().unwrap_or(attempt);
            match self.rng.below(100) {
                0..40 => self.request(bundle),
                40..48 => Event::CancelRequest { request: self.old_request() },
                48..70 => Event::ReturnLease { lease },
                70..76 if self.live.contains_key(&lease) && !self.lent.contains(&lease) => Event::LendCpus { lease },
                70..82 => Event::RetakeCpus { lease },
                82..83 => Event::OwnerDied { owner: OwnerId(3 + self.rng.below(3) as u32) },
                83..90 => Event::PrepareBundle { bundle, attempt, demand: self.demand() },
                90..96 => Event::CommitBundle { bundle, attempt: known },
                _ => Event::ReturnBundle { bundle, attempt: known },
            }
        }

        fn request(&mut self, bundle: BundleId) -> Event {
            let request = if self.rng.chance(15) { self.old_request() } else { self.new_request() };
            let bundle = self.rng.chance(25).then_some(bundle);
            Event::RequestLease { request, demand: self.demand(), bundle, revocable: self.rng.chance(30) }
        }

        fn new_request(&mut self) -> RequestId {
            self.next_seq += 1 + self.rng.below(2);
            RequestId { owner: OwnerId(self.rng.below(6) as u32), seq: self.next_seq }
        }

        fn old_request(&mut self) -> RequestId {
            let seq = self.next_seq.saturating_sub(self.rng.below(20));
            RequestId { owner: OwnerId(self.rng.below(6) as u32), seq }
        }

        fn demand(&mut self) -> Demand {
            let demands = [
                "{cpu: 1}",
                "{cpu: 1}",
                "{cpu: 0.5}",
                "{cpu: 2}",
                "{gpu: 0.4}",
                "{cpu: 1, gpu: 1}",
                "{gpu: 2}",
                "{x: 0.5}",
            ];
            demand(demands[self.rng.below(8) as usize])
        }

        pub fn finish(&mut self) {
            for owner in 0..6 {
                self.tell(Event::OwnerDied { owner: OwnerId(owner) });
            }
            for seq in 0..2 {
                for index in 0..2 {
                    let bundle = GroupId { owner: OwnerId(1), seq }.bundle(index);
                    self.tell(Event::ReturnBundle { bundle, attempt: Attempt(9) });
                }
            }
            assert_eq!((self.node.waiting(), self.node.leases(), self.live.len()), (0, 0, 0));
            assert!(self.node.ledger().is_unused(), "something is still held: {:?}", self.node.ledger());
        }
    }
}

#[test]
fn node() {
    for_seeds(150, |seed| {
        let mut walk = node_walk::Walk::new(seed);
        (0..EVENTS).for_each(|_| walk.step());
        walk.finish();
    });
}

mod owner_walk {
    use super::*;
    use owner::{Action, Affinity, Event, FailureKind, Owner};

    pub struct Walk {
        rng: Rng,
        owner: Owner,
        now: Time,
        out: Out<Action>,
        next_task: u64,
        next_lease: u64,
        /// Requests that a node could answer.
        asked: Vec<(RequestId, NodeId)>,
        /// What runs on which lease, as the workers see it.
        running: BTreeMap<LeaseId, (TaskId, Attempt)>,
        held: BTreeSet<LeaseId>,
        executors: BTreeSet<LeaseId>,
        /// The last attempt that was started, and whether the task is over.
        started: BTreeMap<TaskId, Attempt>,
        over: BTreeSet<TaskId>,
        /// Local references and borrows that we hold.
        refs: Vec<ObjectId>,
        borrows: Vec<(ObjectId, OwnerId)>,
        timers: Vec<TimerToken>,
        dead: BTreeSet<NodeId>,
        past: Vec<Event>,
    }

    impl Walk {
        pub fn new(seed: u64) -> Walk {
            let mut rng = Rng(seed);
            let limits = limits(&mut rng);
            let mut walk = Walk {
                owner: Owner::new(OwnerId(1), NodeId(1), limits),
                rng,
                now: Time::ZERO,
                out: Out::new(),
                next_task: 1,
                next_lease: 1,
                asked: Vec::new(),
                running: BTreeMap::new(),
                held: BTreeSet::new(),
                executors: BTreeSet::new(),
                started: BTreeMap::new(),
                over: BTreeSet::new(),
                refs: Vec::new(),
                borrows: Vec::new(),
                timers: Vec::new(),
                dead: BTreeSet::new(),
                past: Vec::new(),
            };
            let bundle = GroupId { owner: OwnerId(1), seq: 1 }.bundle(0);
            let affinities = [Affinity::Any, Affinity::Spread, Affinity::Prefer(NodeId(2)), Affinity::Bundle(bundle)];
            for (class, affinity) in affinities.into_iter().enumerate() {
                walk.tell(Event::DefineClass { class: ClassId(class as u32), demand: demand("{cpu: 1}"), affinity });
            }
            walk.tell(Event::NodeUp { node: NodeId(2) });
            walk
        }

        pub fn step(&mut self) {
            self.now = self.now + Duration::from_millis(self.rng.below(4));
            let event = self.event();
            if self.rng.chance(30) {
                self.past.push(event.clone());
            }
            self.tell(event);
            // Some words come twice, or late.
            if self.rng.chance(10)
                && let Some(event) = self.rng.pick(&self.past).cloned()
                && !matches!(event, Event::Submit { .. } | Event::Expect { .. } | Event::Put { .. })
            {
                self.tell_late(event);
            }
        }

        /// Late words may not be those that stand for something that we hold.
        fn tell_late(&mut self, event: Event) {
            match event {
                Event::AddRef { .. } | Event::DropRef { .. } | Event::Borrow { .. } | Event::Unborrow { .. } => {}
                Event::ExecutorClosed { .. } => {}
                Event::NodeDied { node } if !self.dead.contains(&node) => {}
                Event::LeaseGranted { request, lease, .. } if self.asked.iter().any(|(r, _)| *r == request) => {
                    assert!(!self.held.contains(&lease));
                }
                event => self.tell(event),
            }
        }

        fn tell(&mut self, event: Event) {
            trace(&event);
            self.owner.handle(self.now, event, &mut self.out);
            self.owner.check();
            for action in self.out.drain().collect::<Vec<_>>() {
                trace(&action);
                self.note(action);
            }
        }

        fn note(&mut self, action: Action) {
            match action {
                Action::RequestLease { node, request, .. } => {
                    assert!(!self.dead.contains(&node), "{request} to the dead");
                    self.asked.push((request, node));
                }
                Action::CancelRequest { request, .. } => self.asked.retain(|(asked, _)| *asked != request),
                Action::Start { task, attempt, lease, node } => {
                    assert!(self.held.contains(&lease), "{task} starts on {lease}, which is not held");
                    assert!(!self.over.contains(&task), "{task} starts after its end");
                    assert_eq!(lease.node, node);
                    let last = self.started.insert(task, attempt);
                    assert!(last < Some(attempt), "{task} starts {attempt} after {last:?}");
                    let other = self.running.insert(lease, (task, attempt));
                    assert_eq!(other, None, "{lease} runs two");
                }
                Action::ReturnLease { lease } => {
                    assert_eq!(self.running.get(&lease), None, "{lease} is returned while it runs");
                    self.held.remove(&lease);
                    self.executors.remove(&lease);
                }
                Action::TaskFailed { task, .. } => assert!(self.over.insert(task), "{task} fails twice"),
                Action::Forget { task } => drop(self.over.insert(task)),
                Action::OpenExecutor { lease, .. } => assert!(self.executors.insert(lease)),
                Action::SetTimer { token, .. } => self.timers.push(token),
                Action::Release { node, .. } => assert!(!self.dead.contains(&node), "a release to the dead"),
                _ => {}
            }
        }

        fn node(&mut self) -> NodeId {
            NodeId(1 + self.rng.below(9) as u32)
        }

        fn object(&mut self) -> ObjectId {
            match self.rng.pick(&self.refs) {
                Some(object) => *object,
                None => TaskId { owner: OwnerId(1), seq: self.rng.below(self.next_task + 1) }.object(0),
            }
        }

        fn event(&mut self) -> Event {
            match self.rng.below(100) {
                0..22 => self.submit(),
                22..42 => self.answer_request(),
                42..64 => self.end_run(),
                64..72 => self.drop_ref(),
                72..80 => self.fire(),
                80..84 => Event::ObjectLost { object: self.object(), node: self.node(), attempt: Attempt(u32::MAX) },
                84..86 => self.copied(),
                86..88 => self.borrow(),
                88..90 => self.outside(),
                90..92 => Event::Cancel { task: TaskId { owner: OwnerId(1), seq: self.rng.below(self.next_task + 1) } },
                92..94 => self.reclaim(),
                94..96 => self.executors(),
                96..97 => self.nodes(),
                97..98 => self.group(),
                98..99 => self.owner_died(),
                _ => self.nonsense(),
            }
        }

        fn submit(&mut self) -> Event {
            let task = TaskId { owner: OwnerId(1), seq: self.next_task };
            self.next_task += 1;
            let args = (0..self.rng.below(4)).map(|_| self.object()).collect();
            let returns = self.rng.below(3) as u32;
            self.refs.extend((0..returns).map(|index| task.object(index)));
            let class = ClassId(self.rng.below(4) as u32);
            Event::Submit { task, class, args, returns, retries: self.rng.below(4) as u32 }
        }

        fn answer_request(&mut self) -> Event {
            if self.asked.is_empty() {
                return self.nonsense();
            }
            let at = self.rng.below(self.asked.len() as u64) as usize;
            let (request, node) = self.asked.swap_remove(at);
            if self.rng.chance(6) {
                return Event::LeaseRefused { request, refusal: node::Refusal::QueueFull };
            }
            if self.rng.chance(1) {
                let infeasible = Capacity::default().feasible_ever(&demand("{cpu: 1}")).unwrap_err();
                return Event::LeaseRefused { request, refusal: node::Refusal::Infeasible(infeasible) };
            }
            self.grant(request, node)
        }

        fn grant(&mut self, request: RequestId, node: NodeId) -> Event {
            let lease = LeaseId { node, seq: self.next_lease };
            self.next_lease += 1;
            self.held.insert(lease);
            Event::LeaseGranted { request, lease, grant: Grant::default() }
        }

        fn end_run(&mut self) -> Event {
            let running: Vec<LeaseId> = self.running.keys().copied().collect();
            let Some(lease) = self.rng.pick(&running).copied() else { return self.nonsense() };
            let (task, attempt) = self.running.remove(&lease).unwrap();
            match self.rng.below(10) {
                0 => Event::TaskFailed { task, attempt, lease, kind: FailureKind::System },
                1 => Event::TaskFailed { task, attempt, lease, kind: FailureKind::Application { retryable: true } },
                2 => Event::TaskFailed { task, attempt, lease, kind: FailureKind::Application { retryable: false } },
                _ => Event::TaskDone { task, attempt, lease },
            }
        }

        fn drop_ref(&mut self) -> Event {
            if self.refs.is_empty() {
                return self.nonsense();
            }
            let at = self.rng.below(self.refs.len() as u64) as usize;
            if self.rng.chance(15) {
                self.refs.push(self.refs[at]);
                return Event::AddRef { object: self.refs[at] };
            }
            Event::DropRef { object: self.refs.swap_remove(at) }
        }

        fn fire(&mut self) -> Event {
            match self.timers.pop() {
                Some(token) => Event::Timer { token },
                None => Event::Timer { token: TimerToken(self.rng.below(50)) },
            }
        }

        fn copied(&mut self) -> Event {
            // Only what is ready somewhere can be copied.
            let object = self.object();
            match self.owner.copies(object) {
                [] => self.nonsense(),
                _ => Event::Copied { object, node: self.node() },
            }
        }

        fn borrow(&mut self) -> Event {
            if self.rng.chance(60) {
                let (object, borrower) = (self.object(), OwnerId(2 + self.rng.below(3) as u32));
                self.borrows.push((object, borrower));
                return Event::Borrow { object, borrower };
            }
            match self.borrows.pop() {
                Some((object, borrower)) => Event::Unborrow { object, borrower },
                None => self.nonsense(),
            }
        }

        fn outside(&mut self) -> Event {
            let expected = self.refs.iter().find(|object| object.index == 9).copied();
            match expected {
                Some(object) if self.rng.chance(60) => Event::Put { object, node: self.node() },
                Some(object) if self.rng.chance(30) => Event::PutFailed { object },
                _ => {
                    let object = TaskId { owner: OwnerId(1), seq: self.next_task }.object(9);
                    self.next_task += 1;
                    self.refs.push(object);
                    Event::Expect { object }
                }
            }
        }

        fn reclaim(&mut self) -> Event {
            let held: Vec<LeaseId> = self.held.iter().copied().collect();
            if self.rng.chance(30)
                && let Some((request, node)) = self.asked.pop()
            {
                // It overtakes its grant, which is given back when it comes.
                let lease = LeaseId { node, seq: self.next_lease };
                self.next_lease += 1;
                return Event::LeaseReclaim { request, lease };
            }
            match self.rng.pick(&held) {
                Some(lease) => Event::LeaseReclaim { request: RequestId { owner: OwnerId(1), seq: 0 }, lease: *lease },
                None => self.nonsense(),
            }
        }

        fn executors(&mut self) -> Event {
            match self.executors.first() {
                Some(lease) if self.rng.chance(50) => Event::ExecutorClosed { lease: *lease },
                _ => {
                    let (node, count) = (self.node(), self.rng.below(4) as u32);
                    Event::SetExecutors { node, count }
                }
            }
        }

        fn nodes(&mut self) -> Event {
            // Also a late word of a node that is dead.
            let node = NodeId(2 + self.rng.below(8) as u32);
            if self.rng.chance(70) { Event::NodeUp { node } } else { self.kill(node) }
        }

        fn kill(&mut self, node: NodeId) -> Event {
            self.dead.insert(node);
            self.asked.retain(|(_, asked)| *asked != node);
            self.held.retain(|lease| lease.node != node);
            self.running.retain(|lease, _| lease.node != node);
            self.executors.retain(|lease| lease.node != node);
            Event::NodeDied { node }
        }

        fn group(&mut self) -> Event {
            let group = GroupId { owner: OwnerId(1), seq: 1 };
            match self.rng.below(8) {
                0 => Event::GroupBroken { group },
                1 => Event::GroupGone { group },
                _ => Event::GroupReady { group, nodes: vec![self.node()] },
            }
        }

        fn owner_died(&mut self) -> Event {
            let owner = OwnerId(4 + self.rng.below(2) as u32);
            self.borrows.retain(|(_, borrower)| *borrower != owner);
            Event::OwnerDied { owner }
        }

        /// Words about things that aren't, weren't, or are over.
        fn nonsense(&mut self) -> Event {
            let task = TaskId { owner: OwnerId(1), seq: self.rng.below(self.next_task + 9) };
            let lease = LeaseId { node: self.node(), seq: 1_000_000 };
            let attempt = Attempt(self.rng.below(5) as u32);
            match self.rng.below(6) {
                0 => Event::TaskDone { task, attempt, lease },
                1 => Event::TaskFailed { task, attempt, lease, kind: FailureKind::System },
                2 => Event::Timer { token: TimerToken(1_000_000) },
                3 => Event::DropRef { object: task.object(7) },
                4 => Event::LeaseReclaim { request: RequestId { owner: OwnerId(1), seq: 1_000_000 }, lease },
                _ => Event::ObjectLost { object: task.object(8), node: self.node(), attempt: Attempt(u32::MAX) },
            }
        }

        /// No more faults: everything must end, and nothing may be left.
        pub fn finish(&mut self) {
            for node in (1..=9).map(NodeId) {
                self.tell(Event::SetExecutors { node, count: 0 });
            }
            self.tell(Event::NodeUp { node: NodeId(20) });
            let group = GroupId { owner: OwnerId(1), seq: 1 };
            self.tell(Event::GroupReady { group, nodes: vec![NodeId(1)] });
            (1..self.next_task).for_each(|seq| {
                self.tell(Event::PutFailed { object: TaskId { owner: OwnerId(1), seq }.object(9) });
            });
            for _ in 0..10_000 {
                if let Some(lease) = self.executors.first().copied() {
                    self.tell(Event::ExecutorClosed { lease });
                } else if let Some((request, node)) = self.asked.pop() {
                    let event = self.grant(request, node);
                    self.tell(event);
                } else if let Some((lease, (task, attempt))) = self.running.pop_first() {
                    self.tell(Event::TaskDone { task, attempt, lease });
                } else if let Some(token) = self.timers.pop() {
                    self.now = self.now + Duration::from_secs(20);
                    self.tell(Event::Timer { token });
                } else {
                    break;
                }
            }
            assert_eq!(self.owner.live_tasks(), 0, "tasks that never end");
            for object in std::mem::take(&mut self.refs) {
                self.tell(Event::DropRef { object });
            }
            for owner in 2..5 {
                self.tell(Event::OwnerDied { owner: OwnerId(owner) });
            }
            let left = (self.owner.records(), self.owner.leases(), self.held.len());
            trace(&self.held);
            assert_eq!(left, (0, 0, 0), "something is left");
        }
    }
}

#[test]
fn owner() {
    for_seeds(150, |seed| {
        let mut walk = owner_walk::Walk::new(seed);
        (0..EVENTS).for_each(|_| walk.step());
        walk.finish();
    });
}

mod controller_walk {
    use super::*;
    use controller::{Action, ActorEnd, ActorSpec, Controller, Event, Strategy};

    pub struct Walk {
        rng: Rng,
        controller: Controller,
        now: Time,
        out: Out<Action>,
        next_id: u64,
        next_lease: u64,
        next_node: u32,
        nodes: BTreeSet<NodeId>,
        asked: Vec<(RequestId, NodeId)>,
        /// What runs where, as the nodes see it.
        running: BTreeMap<ActorId, (Incarnation, NodeId, LeaseId)>,
        last: BTreeMap<ActorId, Incarnation>,
        dead: BTreeSet<ActorId>,
        held: BTreeSet<LeaseId>,
        /// What the controller waits for: prepares and commits not answered.
        preparing: Vec<(NodeId, BundleId, Attempt)>,
        committing: Vec<(NodeId, BundleId, Attempt)>,
        returning: Vec<(NodeId, BundleId, Attempt)>,
        groups: Vec<GroupId>,
        timers: Vec<TimerToken>,
        past: Vec<Event>,
    }

    impl Walk {
        pub fn new(seed: u64) -> Walk {
            let mut rng = Rng(seed);
            let limits = limits(&mut rng);
            let mut walk = Walk {
                controller: Controller::new(limits),
                rng,
                now: Time::ZERO,
                out: Out::new(),
                next_id: 1,
                next_lease: 1,
                next_node: 1,
                nodes: BTreeSet::new(),
                asked: Vec::new(),
                running: BTreeMap::new(),
                last: BTreeMap::new(),
                dead: BTreeSet::new(),
                held: BTreeSet::new(),
                preparing: Vec::new(),
                committing: Vec::new(),
                returning: Vec::new(),
                groups: Vec::new(),
                timers: Vec::new(),
                past: Vec::new(),
            };
            (0..2).for_each(|_| {
                let event = walk.node_up();
                walk.tell(event);
            });
            walk
        }

        pub fn step(&mut self) {
            self.now = self.now + Duration::from_millis(self.rng.below(50));
            let event = self.event();
            self.past.push(event.clone());
            self.tell(event);
            if self.rng.chance(15)
                && let Some(event) = self.rng.pick(&self.past).cloned()
                && !matches!(event, Event::NodeUp { .. } | Event::CreateActor { .. } | Event::ReserveGroup { .. })
            {
                self.tell_late(event);
            }
        }

        /// Late words that no node would say are not said.
        fn tell_late(&mut self, event: Event) {
            match &event {
                Event::Prepared { bundle, attempt } | Event::PrepareRefused { bundle, attempt, .. }
                    if self.preparing.iter().any(|(_, b, a)| (b, a) == (bundle, attempt)) => {}
                Event::Committed { bundle, attempt }
                    if self.committing.iter().any(|(_, b, a)| (b, a) == (bundle, attempt)) => {}
                Event::BundleReturned { bundle, .. } if self.returning.iter().any(|(_, b, _)| b == bundle) => {}
                Event::NodeDied { node } if self.nodes.contains(node) => {}
                _ => self.tell(event),
            }
        }

        fn tell(&mut self, event: Event) {
            trace(&event);
            self.controller.handle(self.now, event, &mut self.out);
            self.controller.check();
            for action in self.out.drain().collect::<Vec<_>>() {
                trace(&action);
                self.note(action);
            }
        }

        fn note(&mut self, action: Action) {
            match action {
                Action::RequestLease { node, request, .. } => {
                    assert!(self.nodes.contains(&node), "{request} to the dead");
                    self.asked.push((request, node));
                }
                Action::CancelRequest { request, .. } => self.asked.retain(|(asked, _)| *asked != request),
                Action::ReturnLease { lease } => {
                    assert!(self.running.values().all(|(_, _, of)| *of != lease), "{lease} is returned and used");
                    self.held.remove(&lease);
                }
                Action::StartActor { node, actor, incarnation, lease, .. } => {
                    assert!(!self.dead.contains(&actor), "A2: {actor} starts after its death");
                    assert!(self.held.contains(&lease));
                    let last = self.last.insert(actor, incarnation);
                    assert!(last < Some(incarnation), "A1: {actor} starts {incarnation} after {last:?}");
                    let other = self.running.insert(actor, (incarnation, node, lease));
                    assert_eq!(other, None, "A1: {actor} lives twice");
                }
                Action::ActorDead { actor, .. } => assert!(self.dead.insert(actor), "A2: {actor} dies twice"),
                Action::PrepareBundle { node, bundle, attempt, .. } => self.preparing.push((node, bundle, attempt)),
                Action::CommitBundle { node, bundle, attempt } => self.committing.push((node, bundle, attempt)),
                Action::ReturnBundle { node, bundle, attempt } => {
                    self.preparing.retain(|known| *known != (node, bundle, attempt));
                    self.committing.retain(|known| *known != (node, bundle, attempt));
                    self.returning.push((node, bundle, attempt));
                }
                Action::GroupRefused { group, .. } | Action::GroupRemoved { group } => {
                    self.groups.retain(|known| *known != group);
                }
                Action::SetTimer { token, .. } => self.timers.push(token),
                _ => {}
            }
        }

        fn event(&mut self) -> Event {
            match self.rng.below(100) {
                0..15 => self.create(),
                15..30 => self.answer(),
                30..42 => self.actor_word(),
                42..48 => Event::KillActor { actor: self.actor(), restart: self.rng.chance(50) },
                48..56 => self.reserve(),
                56..76 => self.bundle_word(),
                76..80 => self.remove(),
                80..90 => self.fire(),
                90..93 => self.node_up(),
                93..95 => self.node_died(),
                95..96 => Event::OwnerDied { owner: OwnerId(3 + self.rng.below(2) as u32) },
                96..98 => Event::LookupActor { request: RequestId { owner: OwnerId(1), seq: 1 }, name: "a".into() },
                _ => self.nonsense(),
            }
        }

        fn actor(&mut self) -> ActorId {
            ActorId { owner: OwnerId(1 + self.rng.below(4) as u32), seq: self.rng.below(self.next_id + 1) }
        }

        fn demand(&mut self) -> Demand {
            demand(["{cpu: 1}", "{cpu: 2}", "{cpu: 0.5, gpu: 0.5}", "{gpu: 1}", "{}"][self.rng.below(5) as usize])
        }

        fn create(&mut self) -> Event {
            let actor = ActorId { owner: OwnerId(1 + self.rng.below(4) as u32), seq: self.next_id };
            self.next_id += 1;
            let group = self.rng.pick(&self.groups).copied();
            let spec = ActorSpec {
                demand: self.demand(),
                bundle: group.filter(|_| self.rng.chance(30)).map(|group| group.bundle(self.rng.below(2) as u32)),
                name: self.rng.chance(40).then(|| ["a", "b", "c"][self.rng.below(3) as usize].to_owned()),
                get_or_create: self.rng.chance(30),
                detached: self.rng.chance(20),
                restarts: self.rng.below(3) as u32,
            };
            Event::CreateActor { actor, spec }
        }

        fn answer(&mut self) -> Event {
            if self.asked.is_empty() {
                return self.nonsense();
            }
            let at = self.rng.below(self.asked.len() as u64) as usize;
            let (request, node) = self.asked.swap_remove(at);
            if self.rng.chance(10) {
                return Event::LeaseRefused { request, refusal: node::Refusal::QueueFull };
            }
            self.grant(request, node)
        }

        fn grant(&mut self, request: RequestId, node: NodeId) -> Event {
            let lease = LeaseId { node, seq: self.next_lease };
            self.next_lease += 1;
            self.held.insert(lease);
            Event::LeaseGranted { request, lease, grant: Grant::default() }
        }

        fn actor_word(&mut self) -> Event {
            let actors: Vec<ActorId> = self.running.keys().copied().collect();
            let Some(actor) = self.rng.pick(&actors).copied() else { return self.nonsense() };
            let (incarnation, ..) = self.running[&actor];
            if self.rng.chance(40) {
                return Event::ActorStarted { actor, incarnation };
            }
            self.running.remove(&actor);
            let ends = [ActorEnd::Crashed, ActorEnd::Crashed, ActorEnd::Stopped, ActorEnd::ConstructorFailed];
            Event::ActorEnded { actor, incarnation, end: ends[self.rng.below(4) as usize] }
        }

        fn reserve(&mut self) -> Event {
            let group = GroupId { owner: OwnerId(1 + self.rng.below(4) as u32), seq: self.next_id };
            self.next_id += 1;
            self.groups.push(group);
            let strategies = [Strategy::Pack, Strategy::Spread, Strategy::StrictPack, Strategy::StrictSpread];
            let strategy = strategies[self.rng.below(4) as usize];
            Event::ReserveGroup {
                group,
                bundles: (0..1 + self.rng.below(3)).map(|_| self.demand()).collect(),
                strategy,
            }
        }

        fn bundle_word(&mut self) -> Event {
            if self.rng.chance(40)
                && let Some((node, bundle, attempt)) = self.returning.pop()
            {
                return Event::BundleReturned { node, bundle, attempt };
            }
            if self.rng.chance(50)
                && let Some((_, bundle, attempt)) = self.committing.pop()
            {
                return Event::Committed { bundle, attempt };
            }
            match self.preparing.pop() {
                Some((_, bundle, attempt)) if self.rng.chance(85) => Event::Prepared { bundle, attempt },
                Some((_, bundle, attempt)) => {
                    Event::PrepareRefused { bundle, attempt, refusal: node::Refusal::QueueFull }
                }
                None => self.nonsense(),
            }
        }

        fn remove(&mut self) -> Event {
            match self.rng.pick(&self.groups) {
                Some(group) => Event::RemoveGroup { group: *group },
                None => self.nonsense(),
            }
        }

        fn fire(&mut self) -> Event {
            match self.timers.pop() {
                Some(token) => Event::Timer { token },
                None => self.nonsense(),
            }
        }

        fn node_up(&mut self) -> Event {
            let node = NodeId(self.next_node);
            self.next_node += 1;
            self.nodes.insert(node);
            let capacity = capacity(["{cpu: 2}", "{cpu: 4, gpu: 2}"][self.rng.below(2) as usize]);
            Event::NodeUp { node, capacity }
        }

        fn node_died(&mut self) -> Event {
            let nodes: Vec<NodeId> = self.nodes.iter().copied().collect();
            let Some(node) = self.rng.pick(&nodes).copied() else { return self.nonsense() };
            self.nodes.remove(&node);
            self.asked.retain(|(_, asked)| *asked != node);
            self.running.retain(|_, (_, on, _)| *on != node);
            self.held.retain(|lease| lease.node != node);
            for list in [&mut self.preparing, &mut self.committing, &mut self.returning] {
                list.retain(|(on, ..)| *on != node);
            }
            Event::NodeDied { node }
        }

        fn nonsense(&mut self) -> Event {
            let incarnation = Incarnation(self.rng.below(9) as u32 + 100);
            let bundle = GroupId { owner: OwnerId(1), seq: self.rng.below(self.next_id + 1) }.bundle(7);
            match self.rng.below(6) {
                0 => Event::ActorStarted { actor: self.actor(), incarnation },
                1 => Event::ActorEnded { actor: self.actor(), incarnation, end: ActorEnd::Crashed },
                2 => Event::Timer { token: TimerToken(1_000_000) },
                3 => Event::Prepared { bundle, attempt: Attempt(1_000) },
                4 => Event::Committed { bundle, attempt: Attempt(1_000) },
                _ => Event::NodeDied { node: NodeId(1_000) },
            }
        }

        /// No more faults: all that was asked is answered; then all is ended, and nothing may be left.
        pub fn finish(&mut self) {
            let event = self.node_up();
            self.tell(event);
            self.settle();
            for group in std::mem::take(&mut self.groups) {
                self.tell(Event::RemoveGroup { group });
            }
            for owner in 1..5 {
                for seq in 1..self.next_id {
                    self.tell(Event::KillActor { actor: ActorId { owner: OwnerId(owner), seq }, restart: false });
                }
            }
            self.settle();
            assert_eq!((self.running.len(), self.held.len()), (0, 0), "something lives on");
            for (node, ledger) in self.controller.nodes() {
                assert!(ledger.is_unused(), "{node} is not free");
            }
        }

        fn settle(&mut self) {
            for _ in 0..5_000 {
                if let Some((node, bundle, attempt)) = self.returning.pop() {
                    self.tell(Event::BundleReturned { node, bundle, attempt });
                } else if let Some((_, bundle, attempt)) = self.committing.pop() {
                    self.tell(Event::Committed { bundle, attempt });
                } else if let Some((_, bundle, attempt)) = self.preparing.pop() {
                    self.tell(Event::Prepared { bundle, attempt });
                } else if let Some((request, node)) = self.asked.pop() {
                    let event = self.grant(request, node);
                    self.tell(event);
                } else if let Some(token) = self.timers.pop() {
                    self.tell(Event::Timer { token });
                } else if let Some((actor, (incarnation, ..))) = self.running.first_key_value().map(|(a, r)| (*a, *r))
                    && self.dead.contains(&actor)
                {
                    self.running.remove(&actor);
                    self.tell(Event::ActorEnded { actor, incarnation, end: ActorEnd::Stopped });
                } else if let Some((actor, incarnation)) = self.stopping() {
                    self.running.remove(&actor);
                    self.tell(Event::ActorEnded { actor, incarnation, end: ActorEnd::Stopped });
                } else {
                    return;
                }
            }
            panic!("it never settles");
        }

        /// An actor that was told to stop and has not said that it did.
        fn stopping(&self) -> Option<(ActorId, Incarnation)> {
            let is_over = |actor: &ActorId| {
                let state = self.controller.actor(*actor);
                matches!(state, Some(controller::ActorState::Dead { .. } | controller::ActorState::Restarting))
            };
            self.running
                .iter()
                .find(|(actor, _)| is_over(actor))
                .map(|(actor, (incarnation, ..))| (*actor, *incarnation))
        }
    }
}

#[test]
fn controller() {
    for_seeds(150, |seed| {
        let mut walk = controller_walk::Walk::new(seed);
        (0..EVENTS).for_each(|_| walk.step());
        walk.finish();
    });
}
