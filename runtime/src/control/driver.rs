//! The driver loop: commands in, events to the machines, actions out.

use super::command::{Command, Found};
use super::failure;
use super::leased::{self, Leased, Run};
use super::mail::Mail;
use super::threads::Threads;
use crate::actor::Host;
use crate::error::{Error, ErrorKind};
use crate::group::{BundleRef, Progress};
use crate::runtime::{NODE, OWNER};
use rayline_core::controller::{self, ActorSpec, Controller, DeathCause};
use rayline_core::ids::{ActorId, ClassId, GroupId, LeaseId, NodeId, ObjectId, OwnerId, RequestId, TaskId, TimerToken};
use rayline_core::node::{self, Node};
use rayline_core::owner::{self, Affinity, Failure, Owner};
use rayline_core::resources::{Capacity, Demand, Grant};
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

type Class = (Demand, Option<rayline_core::ids::BundleId>);

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
    owner: Out<owner::Action>,
    node: Out<node::Action>,
    controller: Out<controller::Action>,
}

impl Driver {
    pub(super) fn new(pool: Pool, capacity: Capacity) -> Self {
        // A class for each demand in each bundle: a program may make groups for as long as it runs.
        let limits = Limits { classes_max: 1 << 20, ..Limits::default() };
        let mut driver = Self {
            begin: Instant::now(),
            owner: Owner::new(OWNER, NODE, limits.clone()),
            node: Node::new(NODE, capacity.clone(), limits.clone()),
            controller: Controller::new(limits),
            mail: VecDeque::new(),
            timers: BinaryHeap::new(),
            threads: Threads::new(pool),
            tasks: HashMap::new(),
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
        driver.tell(Mail::Controller(controller::Event::NodeUp { node: NODE, capacity }));
        driver
    }

    /// Leases the fast path's threads, before the driver has a thread of its own.
    pub(super) fn begin(&mut self, executors: u32) {
        self.tell(Mail::Owner(owner::Event::SetExecutors { count: executors }));
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

    fn tell_owner(&mut self, event: owner::Event) {
        self.tell(Mail::Owner(event));
    }

    fn tell_node(&mut self, node: NodeId, event: node::Event) {
        debug_assert_eq!(node, NODE, "there is one node");
        self.tell(Mail::Node(event));
    }

    fn tell_controller(&mut self, event: controller::Event) {
        self.tell(Mail::Controller(event));
    }

    /// Turns a command into events.
    fn obey(&mut self, command: Command) {
        match command {
            Command::Submit { task, demand, bundle, retries } => self.submit(task, demand, bundle, retries),
            Command::Cancel(task) => self.tell_owner(owner::Event::Cancel { task }),
            Command::Ended { task, attempt, lease, result, here } => {
                if here {
                    self.threads.task_ended();
                }
                self.set_running(task, false);
                self.tell_owner(match result {
                    Ok(()) => owner::Event::TaskDone { task, attempt, lease },
                    Err(kind) => owner::Event::TaskFailed { task, attempt, lease, kind },
                });
            }
            Command::Shrunk => self.shrunk(),
            Command::Lend { lease, blocks: true } => self.tell_node(lease.node, node::Event::LendCpus { lease }),
            Command::Lend { lease, blocks: false } => self.tell_node(lease.node, node::Event::RetakeCpus { lease }),
            Command::CreateActor { host, spec, bundle } => self.create(host, spec, bundle),
            Command::GetOrCreate { host, spec, bundle, reply } => {
                // Closed, `create` drops it: whoever asked then knows.
                self.asking.extend((!self.closed).then(|| (host.id(), reply)));
                self.create(host, spec, bundle);
            }
            Command::KillActor { actor, restart } => {
                self.tell_controller(controller::Event::KillActor { actor, restart });
            }
            Command::ActorEvent(event) => self.tell_controller(event),
            Command::NamedActor { name, reply } => {
                let request = RequestId { owner: OWNER, seq: rayline_exec::fresh_id() };
                self.lookups.insert(request, reply);
                self.tell_controller(controller::Event::LookupActor { request, name });
            }
            Command::Reserve { progress, reply, .. } if self.closed => {
                progress.failed(SHUT_DOWN.into());
                let _ = reply.send(());
            }
            Command::Reserve { group, bundles, strategy, progress, reply } => {
                self.groups.insert(group, progress);
                self.tell_controller(controller::Event::ReserveGroup { group, bundles, strategy });
                self.settle();
                let _ = reply.send(());
            }
            Command::RemoveGroup(group) => self.tell_controller(controller::Event::RemoveGroup { group }),
            Command::Close(reply) => {
                self.close();
                let _ = reply.send(());
            }
            Command::Stop => {}
        }
    }

    fn submit(&mut self, task: Arc<dyn Leased>, demand: Demand, bundle: Option<BundleRef>, retries: u32) {
        if self.closed {
            return;
        }
        let id = TaskId { owner: OWNER, seq: rayline_exec::fresh_id() };
        let class = self.class(demand, bundle.as_ref());
        self.tasks.insert(id, Submitted { task: task.clone(), is_running: false, _bundle: bundle });
        self.tell_owner(owner::Event::Submit { task: id, class, args: Vec::new(), returns: 1, retries });
        self.settle();
        task.named(id);
    }

    /// The class of all tasks with this demand in this bundle.
    fn class(&mut self, demand: Demand, bundle: Option<&BundleRef>) -> ClassId {
        let bundle = bundle.map(|bundle| bundle.id);
        if let Some(class) = self.classes.get(&(demand.clone(), bundle)) {
            return *class;
        }
        let class = ClassId(self.next_class);
        self.next_class += 1;
        self.classes.insert((demand.clone(), bundle), class);
        let affinity = bundle.map_or(Affinity::Any, Affinity::Bundle);
        self.tell_owner(owner::Event::DefineClass { class, demand, affinity });
        class
    }

    fn create(&mut self, host: Arc<dyn Host>, spec: ActorSpec, bundle: Option<BundleRef>) {
        if self.closed {
            return host.close(SHUT_DOWN.into(), false);
        }
        let actor = host.id();
        self.actors.insert(actor, host);
        self.placed.extend(bundle.map(|bundle| (actor, bundle)));
        self.tell_controller(controller::Event::CreateActor { actor, spec });
    }

    /// The pool runs no more threads than it should: those asked to close have.
    fn shrunk(&mut self) {
        for lease in self.threads.take_closed() {
            self.tell_owner(owner::Event::ExecutorClosed { lease });
        }
    }

    fn close(&mut self) {
        self.closed = true;
        for (_, host) in self.actors.drain() {
            host.close(SHUT_DOWN.into(), false);
        }
        // What runs may end.
        for (_, submitted) in self.tasks.extract_if(|_, submitted| !submitted.is_running) {
            submitted.task.fail(Some(Error::in_task(ErrorKind::Shutdown, submitted.task.name())));
        }
        for (_, progress) in self.groups.drain() {
            progress.failed(SHUT_DOWN.into());
        }
        // Dropped, these tell who asked.
        self.asking.clear();
        self.lookups.clear();
    }

    /// Timers that are due.
    fn ring(&mut self) {
        let now = self.now();
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            match self.timers.pop() {
                Some(Reverse((_, Timer::Owner(token)))) => self.tell_owner(owner::Event::Timer { token }),
                Some(Reverse((_, Timer::Controller(token)))) => {
                    self.tell_controller(controller::Event::Timer { token });
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

    fn act_for_owner(&mut self, action: owner::Action) {
        match action {
            owner::Action::RequestLease { node, request, demand, bundle, revocable } => {
                self.tell_node(node, node::Event::RequestLease { request, demand, bundle, revocable });
            }
            owner::Action::CancelRequest { node, request } => {
                self.tell_node(node, node::Event::CancelRequest { request });
            }
            owner::Action::ReturnLease { lease } => self.tell_node(lease.node, node::Event::ReturnLease { lease }),
            owner::Action::Start { task, attempt, lease, .. } => self.start(task, attempt, lease),
            owner::Action::CancelRunning { task, .. } => {
                if let Some(submitted) = self.tasks.get(&task) {
                    submitted.task.tell_cancelled();
                }
            }
            owner::Action::ObjectReady { object, .. } => self.drop_object(object),
            owner::Action::ObjectFailed { object, failure } => {
                self.fail(object.task, failure);
                self.drop_object(object);
            }
            owner::Action::TaskFailed { task, failure } => tracing::debug!(%task, %failure, "task failed"),
            owner::Action::Release { .. } => {}
            owner::Action::Forget { task } => drop(self.tasks.remove(&task)),
            owner::Action::OpenExecutor { lease, grant: _ } => self.threads.open(lease),
            owner::Action::CloseExecutor { lease } => self.threads.close(lease),
            owner::Action::SetTimer { at, token } => self.timers.push(Reverse((at, Timer::Owner(token)))),
        }
    }

    fn start(&mut self, task: TaskId, attempt: rayline_core::ids::Attempt, lease: LeaseId) {
        self.set_running(task, true);
        let grant = self.grant(lease);
        let Some(task_of) = self.tasks.get(&task).map(|submitted| submitted.task.clone()) else { return };
        let run = Run { task, attempt, lease, grant };
        if task_of.packed().is_some() {
            return crate::runtime::control().run_apart(task_of, run);
        }
        self.threads.task_started();
        leased::start(self.threads.pool(), task_of, run);
    }

    fn set_running(&mut self, task: TaskId, is_running: bool) {
        if let Some(submitted) = self.tasks.get_mut(&task) {
            submitted.is_running = is_running;
        }
    }

    fn grant(&self, lease: LeaseId) -> Grant {
        self.node.grant(lease).cloned().unwrap_or_default()
    }

    /// The value is in the task's cell, and lives as long as its references: the owner need not keep the object.
    fn drop_object(&mut self, object: ObjectId) {
        self.tell_owner(owner::Event::DropRef { object });
    }

    fn fail(&mut self, task: TaskId, failure: Failure) {
        if let Some(submitted) = self.tasks.get(&task) {
            submitted.task.fail(failure::of_task(failure, submitted.task.name()));
        }
    }

    fn act_for_node(&mut self, action: node::Action) {
        match action {
            node::Action::Granted { request, lease, grant } => {
                if request.owner == OwnerId::CONTROLLER {
                    self.tell_controller(controller::Event::LeaseGranted { request, lease, grant });
                } else {
                    self.tell_owner(owner::Event::LeaseGranted { request, lease, grant });
                }
            }
            node::Action::Refused { request, refusal } => {
                if request.owner == OwnerId::CONTROLLER {
                    self.tell_controller(controller::Event::LeaseRefused { request, refusal });
                } else {
                    self.tell_owner(owner::Event::LeaseRefused { request, refusal });
                }
            }
            node::Action::Reclaim { request, lease } => {
                if request.owner != OwnerId::CONTROLLER {
                    self.tell_owner(owner::Event::LeaseReclaim { request, lease });
                }
            }
            // The holder went on meanwhile: for that moment the node had lent more than it has.
            node::Action::CpusBack { .. } => {}
            node::Action::Prepared { bundle, attempt } => {
                self.tell_controller(controller::Event::Prepared { bundle, attempt });
            }
            node::Action::PrepareRefused { bundle, attempt, refusal } => {
                self.tell_controller(controller::Event::PrepareRefused { bundle, attempt, refusal });
            }
            node::Action::Committed { bundle, attempt } => {
                self.tell_controller(controller::Event::Committed { bundle, attempt });
            }
            node::Action::BundleReturned { bundle, attempt } => {
                self.tell_controller(controller::Event::BundleReturned { node: NODE, bundle, attempt });
            }
        }
    }

    fn act_for_controller(&mut self, action: controller::Action) {
        match action {
            controller::Action::RequestLease { node, request, demand, bundle } => {
                self.tell_node(node, node::Event::RequestLease { request, demand, bundle, revocable: false });
            }
            controller::Action::CancelRequest { node, request } => {
                self.tell_node(node, node::Event::CancelRequest { request });
            }
            controller::Action::ReturnLease { lease } => {
                self.threads.actor_ended(lease);
                self.tell_node(lease.node, node::Event::ReturnLease { lease });
            }
            controller::Action::PrepareBundle { node, bundle, attempt, demand } => {
                self.tell_node(node, node::Event::PrepareBundle { bundle, attempt, demand });
            }
            controller::Action::CommitBundle { node, bundle, attempt } => {
                self.tell_node(node, node::Event::CommitBundle { bundle, attempt });
            }
            controller::Action::ReturnBundle { node, bundle, attempt } => {
                self.tell_node(node, node::Event::ReturnBundle { bundle, attempt });
            }
            controller::Action::SetTimer { at, token } => self.timers.push(Reverse((at, Timer::Controller(token)))),
            action => self.act_on_actors_and_groups(action),
        }
    }

    fn act_on_actors_and_groups(&mut self, action: controller::Action) {
        match action {
            controller::Action::StartActor { actor, incarnation, lease, grant, .. } => {
                self.threads.actor_started(lease, &grant);
                if let Some(host) = self.actors.get(&actor) {
                    host.clone().start(incarnation, lease, grant);
                }
            }
            controller::Action::StopActor { actor, incarnation, .. } => {
                if let Some(host) = self.actors.get(&actor) {
                    host.stop(incarnation);
                }
            }
            controller::Action::ActorCreated { actor } => self.answer(actor, actor),
            controller::Action::ActorExists { asked, actor } => {
                self.answer(asked, actor);
                self.bury(asked, "another actor of its name was taken".into(), false);
            }
            controller::Action::ActorRefused { actor, refusal } => {
                let refused = failure::of_actor(refusal);
                self.bury(actor, refused.to_string(), false);
                if let Some(reply) = self.asking.remove(&actor) {
                    let _ = reply.send(Err(refused));
                }
            }
            controller::Action::ActorFound { request, actor } => {
                if let Some(reply) = self.lookups.remove(&request) {
                    let _ = reply.send(actor.and_then(|actor| self.actors.get(&actor).cloned()));
                }
            }
            controller::Action::ActorDead { actor, cause } => {
                let failed = matches!(cause, DeathCause::ConstructorFailed | DeathCause::RestartsUsed { .. });
                self.bury(actor, cause.to_string(), failed);
            }
            controller::Action::ActorRestarting { actor, ended } => {
                tracing::info!(actor_id = %actor, incarnation = ended.0, "actor restarts");
            }
            controller::Action::GroupReady { group, nodes } => {
                self.with_group(group, Progress::ready);
                self.tell_owner(owner::Event::GroupReady { group, nodes });
            }
            controller::Action::GroupBroken { group } => {
                self.with_group(group, Progress::broken);
                self.tell_owner(owner::Event::GroupBroken { group });
            }
            controller::Action::GroupRefused { group, refusal } => self.end_group(group, refusal.to_string()),
            controller::Action::GroupRemoved { group } => self.end_group(group, "it was removed".into()),
            _ => {}
        }
    }

    fn answer(&mut self, asked: ActorId, actor: ActorId) {
        if let (Some(reply), Some(host)) = (self.asking.remove(&asked), self.actors.get(&actor)) {
            let _ = reply.send(Ok(host.clone()));
        }
    }

    /// The actor is dead for good.
    fn bury(&mut self, actor: ActorId, cause: String, failed: bool) {
        self.placed.remove(&actor);
        if let Some(host) = self.actors.remove(&actor) {
            host.close(cause, failed);
        }
    }

    fn with_group(&self, group: GroupId, f: impl FnOnce(&Progress)) {
        if let Some(progress) = self.groups.get(&group) {
            f(progress);
        }
    }

    fn end_group(&mut self, group: GroupId, why: String) {
        if let Some(progress) = self.groups.remove(&group) {
            progress.failed(why);
        }
        self.classes.retain(|(_, bundle), _| bundle.is_none_or(|bundle| bundle.group != group));
        self.tell_owner(owner::Event::GroupGone { group });
    }
}

const SHUT_DOWN: &str = "the runtime was shut down";
