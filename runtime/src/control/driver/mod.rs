//! The driver loop: commands in, events to the machines, actions out.
//!
//! ```text
//!  commands.rs: a command ---> events      this file: mail, clock      owner.rs, node.rs, controller.rs:
//!                                          and the machines' states    actions ---> events, threads, hosts, errors
//! ```

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
use crate::runtime::{NODE, OWNER};
use rayline_core::controller::{Action as ControllerAction, Controller, Event as ControllerEvent};
use rayline_core::ids::{ActorId, BundleId, ClassId, GroupId, NodeId, RequestId, TaskId, TimerToken};
use rayline_core::node::{Action as NodeAction, Event as NodeEvent, Node};
use rayline_core::owner::{Action as OwnerAction, Event as OwnerEvent, Owner};
use rayline_core::resources::{Capacity, Demand};
use rayline_core::{Limits, Out, Time};
use rayline_exec::Pool;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// The three machines, and what they don't know: payloads, threads, clocks.
pub(super) struct Driver {
    begin: Instant,
    owner: Owner,
    node: Node,
    controller: Controller,
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
    closed: bool,
    commands: u32,
    outs: Outs,
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
}

#[derive(Default)]
struct Outs {
    owner: Out<OwnerAction>,
    node: Out<NodeAction>,
    controller: Out<ControllerAction>,
}

impl Driver {
    pub(super) fn new(pool: Pool, capacity: Capacity) -> Self {
        let limits = Limits::default();
        let mut driver = Self {
            begin: Instant::now(),
            owner: Owner::new(OWNER, NODE, limits.clone()),
            node: Node::new(NODE, capacity.clone(), limits.clone()),
            controller: Controller::new(limits),
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
            closed: false,
            commands: 0,
            outs: Outs::default(),
        };
        driver.tell(Mail::Controller(ControllerEvent::NodeUp { node: NODE, capacity }));
        driver
    }

    /// Leases the fast path's threads, before the driver has a thread of its own.
    pub(super) fn begin(&mut self, executors: u32) {
        self.tell(Mail::Owner(OwnerEvent::SetExecutors { node: NODE, count: executors }));
        self.settle();
    }

    /// The body of the control thread.
    pub(super) fn run(mut self, queue: Receiver<Command>) {
        loop {
            match self.next_command(&queue) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
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
        debug_assert_eq!(node, NODE, "there is one node");
        self.tell(Mail::Node(event));
    }

    fn tell_controller(&mut self, event: ControllerEvent) {
        self.tell(Mail::Controller(event));
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
                None => {}
            }
        }
    }

    /// Delivers mail until there is none.
    fn settle(&mut self) {
        while let Some(mail) = self.mail.pop_front() {
            let now = self.now();
            let mut outs = std::mem::take(&mut self.outs);
            match mail {
                Mail::Owner(event) => self.owner.handle(now, event, &mut outs.owner),
                Mail::Node(event) => self.node.handle(now, event, &mut outs.node),
                Mail::Controller(event) => self.controller.handle(now, event, &mut outs.controller),
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
            self.node.check();
            self.controller.check();
        }
    }
}
