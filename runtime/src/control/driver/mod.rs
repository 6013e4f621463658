//! The driver loop: commands in, events to the machines, actions out.
//!
//! ```text
//!  commands.rs: a command ---> events      this file: mail, clock      owner.rs, node.rs, controller.rs:
//!                                          and the machines' states    actions ---> events, threads, hosts, errors
//! ```

mod cluster;
mod commands;
mod controller;
mod node;
mod owner;

use super::command::{Command, Found};
use super::leased::{Leased, Run};
use super::mail::Mail;
use super::threads::Threads;
use crate::actor::Host;
use crate::group::{BundleRef, Progress};
use crate::runtime;
use crate::session::Staff;
use rayline_core::controller::{Action as ControllerAction, Controller, Event as ControllerEvent};
use rayline_core::ids::{ActorId, BundleId, ClassId, GroupId, NodeId, OwnerId, RequestId, TaskId, TimerToken};
use rayline_core::node::{Action as NodeAction, Event as NodeEvent, Node};
use rayline_core::owner::{Action as OwnerAction, Event as OwnerEvent, Owner};
use rayline_core::resources::{Capacity, Demand};
use rayline_core::{Limits, Out, Time};
use rayline_exec::Pool;
use rayline_transport::PeerId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// The three machines, and what they don't know: payloads, threads, clocks.
pub(super) struct Driver {
    begin: Instant,
    owner: Owner,
    others: Others,
    mail: VecDeque<Mail>,
    timers: BinaryHeap<Reverse<(Time, Timer)>>,
    threads: Threads,
    tasks: HashMap<TaskId, Submitted>,
    /// Tasks that rest on their leases, also those that the owner has given up.
    resting: HashMap<TaskId, (Arc<dyn Leased>, Run)>,
    classes: HashMap<Class, ClassId>,
    next_class: u32,
    actors: HashMap<ActorId, Arc<dyn Host>>,
    /// What keeps the group of an actor.
    placed: HashMap<ActorId, BundleRef>,
    groups: HashMap<GroupId, Arc<Progress>>,
    /// Who waits to hear whether the actor was created or found.
    asking: HashMap<ActorId, Found>,
    lookups: HashMap<RequestId, SyncSender<Option<Arc<dyn Host>>>>,
    /// Which life of the head it is that knows this driver.
    head_life: u64,
    /// How often in a row the head could not be reached.
    head_missed: u32,
    closed: bool,
    commands: u32,
    outs: Outs,
}

/// Where the node and the controller are.
enum Others {
    /// In this process.
    Here(Box<Node>, Box<Controller>),
    /// In a cluster.
    Cluster(Box<Staff>),
}

type Class = (Demand, Option<BundleId>);

struct Submitted {
    task: Arc<dyn Leased>,
    is_running: bool,
    _bundle: Option<BundleRef>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Owner(TimerToken),
    Controller(TimerToken),
    /// A node is to have a worker again.
    Hire(NodeId),
    /// The head is to be called again.
    Enlist,
    /// A peer is to be called for which letters are left.
    Call(PeerId),
}

#[derive(Default)]
struct Outs {
    owner: Out<OwnerAction>,
    node: Out<NodeAction>,
    controller: Out<ControllerAction>,
}

impl Driver {
    /// The driver of all three machines.
    pub(super) fn embedded(pool: Pool, capacity: Capacity) -> Self {
        let (limits, node) = (Limits::default(), runtime::node());
        let machine = Box::new(Node::new(node, capacity.clone(), limits.clone()));
        let others = Others::Here(machine, Box::new(Controller::new(limits)));
        let mut driver = Self::new(pool, (runtime::owner(), node), others);
        driver.tell(Mail::Controller(ControllerEvent::NodeUp { node, capacity }));
        driver
    }

    /// The driver of an owner in a cluster.
    pub(super) fn of_cluster(pool: Pool, staff: Staff, names: (OwnerId, NodeId), head_life: u64) -> Self {
        Self { head_life, ..Self::new(pool, names, Others::Cluster(Box::new(staff))) }
    }

    fn new(pool: Pool, (owner, home): (OwnerId, NodeId), others: Others) -> Self {
        Self {
            begin: Instant::now(),
            owner: Owner::new(owner, home, Limits::default()),
            others,
            mail: VecDeque::new(),
            timers: BinaryHeap::new(),
            threads: Threads::new(pool),
            tasks: HashMap::new(),
            resting: HashMap::new(),
            classes: HashMap::new(),
            next_class: 0,
            actors: HashMap::new(),
            placed: HashMap::new(),
            groups: HashMap::new(),
            asking: HashMap::new(),
            lookups: HashMap::new(),
            head_life: 0,
            head_missed: 0,
            closed: false,
            commands: 0,
            outs: Outs::default(),
        }
    }

    /// Leases the fast path's threads, before the driver has a thread of its own.
    pub(super) fn begin(&mut self, executors: u32) {
        self.tell(Mail::Owner(OwnerEvent::SetExecutors { node: runtime::node(), count: executors }));
        self.settle();
    }

    /// The body of the control thread.
    pub(super) fn run(mut self, queue: Receiver<Command>) {
        loop {
            match self.next_command(&queue) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return self.leave(),
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.ring();
            self.settle();
        }
    }

    fn next_command(&self, queue: &Receiver<Command>) -> Result<Command, RecvTimeoutError> {
        match self.timers.peek() {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(Reverse((at, _))) => queue.recv_timeout(at.since(self.now()).max(Duration::from_micros(1))),
        }
    }

    fn now(&self) -> Time {
        Time::from_nanos(self.begin.elapsed().as_nanos() as u64)
    }

    fn tell(&mut self, mail: Mail) {
        self.mail.push_back(mail);
    }

    fn tell_owner(&mut self, event: OwnerEvent) {
        self.tell(Mail::Owner(event));
    }

    fn tell_node(&mut self, node: NodeId, event: NodeEvent) {
        match &mut self.others {
            Others::Here(..) => self.tell(Mail::Node(event)),
            Others::Cluster(staff) => staff.tell_node(node, event),
        }
    }

    fn tell_controller(&mut self, event: ControllerEvent) {
        match &mut self.others {
            Others::Here(..) => self.tell(Mail::Controller(event)),
            Others::Cluster(staff) => staff.tell_controller(event),
        }
    }

    /// Timers that are due.
    fn ring(&mut self) {
        let now = self.now();
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            match self.timers.pop() {
                Some(Reverse((_, Timer::Owner(token)))) => self.tell_owner(OwnerEvent::Timer { token }),
                Some(Reverse((_, Timer::Controller(token)))) => {
                    self.tell_controller(ControllerEvent::Timer { token });
                }
                Some(Reverse((_, Timer::Hire(node)))) => self.hire(node),
                Some(Reverse((_, Timer::Enlist))) => self.call_head(),
                Some(Reverse((_, Timer::Call(peer)))) => self.call(peer),
                None => {}
            }
        }
    }

    /// Delivers mail until there is none.
    fn settle(&mut self) {
        while let Some(mail) = self.mail.pop_front() {
            let now = self.now();
            let mut outs = std::mem::take(&mut self.outs);
            match (mail, &mut self.others) {
                (Mail::Owner(event), _) => self.owner.handle(now, event, &mut outs.owner),
                (Mail::Node(event), Others::Here(node, _)) => node.handle(now, event, &mut outs.node),
                (Mail::Controller(event), Others::Here(_, controller)) => {
                    controller.handle(now, event, &mut outs.controller);
                }
                (Mail::Node(_) | Mail::Controller(_), Others::Cluster(_)) => {
                    unreachable!("the machines of a cluster get letters")
                }
            }
            outs.owner.drain().for_each(|action| self.act_for_owner(action));
            outs.node.drain().for_each(|action| self.act_for_node(action));
            outs.controller.drain().for_each(|action| self.act_for_controller(action));
            self.outs = outs;
        }
        self.threads.apply();
        self.check();
    }

    /// In debug builds, holds the machines to their invariants after one command in 64: that is linear in their state.
    fn check(&mut self) {
        self.commands = self.commands.wrapping_add(1);
        if cfg!(debug_assertions) && self.commands.is_multiple_of(64) {
            self.owner.check();
            if let Others::Here(node, controller) = &self.others {
                node.check();
                controller.check();
            }
        }
    }
}
