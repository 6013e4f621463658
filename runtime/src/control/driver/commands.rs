//! Commands become events.

use super::{Driver, Submitted};
use crate::actor::Host;
use crate::control::command::Command;
use crate::control::leased::{self, Leased, Run};
use crate::error::{Error, ErrorKind};
use crate::group::BundleRef;
use crate::runtime;
use rayline_core::controller::{self, ActorSpec};
use rayline_core::ids::{Attempt, ClassId, NodeId, ObjectId, RequestId, TaskId};
use rayline_core::node;
use rayline_core::owner::{self, Affinity};
use rayline_core::resources::{Amount, Demand};
use std::sync::Arc;

impl Driver {
    /// Turns a command into events.
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Submit { task, args, demand, bundle, retries } => {
                self.submit(task, args, (demand, bundle), retries)
            }
            Command::Cancel(task) => self.tell_owner(owner::Event::Cancel { task }),
            Command::Adopt { task, recipe, args, retries, node } => self.adopt(task, recipe, (args, retries), node),
            Command::DropRef(object) => self.tell_owner(owner::Event::DropRef { object }),
            // Whoever waits for it hears that the runtime is shut down.
            Command::ObjectLost { .. } if self.closed => {}
            Command::ObjectLost { object, node, attempt } => {
                self.tell_owner(owner::Event::ObjectLost { object, node, attempt });
            }
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
            Command::Rest { task, run } => self.rest(task, run),
            Command::Wake(task) => self.wake(task),
            Command::Shrunk => self.shrunk(),
            Command::SetExecutors(count) => {
                self.tell_owner(owner::Event::SetExecutors { node: runtime::node(), count })
            }
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
                let request = RequestId { owner: runtime::owner(), seq: rayline_exec::fresh_id() };
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
            Command::Guest { begins: true } => self.threads.task_started(),
            Command::Guest { begins: false } => self.threads.task_ended(),
            Command::Arrival(arrival) => self.arrived(arrival),
            Command::Close(reply) => {
                self.close();
                let _ = reply.send(());
            }
            Command::Stop => {}
        }
    }

    fn submit(
        &mut self,
        task: Arc<dyn Leased>,
        args: Vec<ObjectId>,
        (demand, bundle): (Demand, Option<BundleRef>),
        retries: u32,
    ) {
        if self.closed {
            return;
        }
        let id = TaskId { owner: runtime::owner(), seq: rayline_exec::fresh_id() };
        let class = self.class(demand, bundle.as_ref());
        self.tasks.insert(id, Submitted { task: task.clone(), is_running: false, _bundle: bundle });
        self.tell_owner(owner::Event::Submit { task: id, class, args, returns: 1, retries });
        self.settle();
        task.named(id);
    }

    /// A task that has run, whose value stays on a node; it would run again on a CPU of any.
    fn adopt(&mut self, task: TaskId, recipe: Arc<dyn Leased>, (args, retries): (Vec<ObjectId>, u32), node: NodeId) {
        if self.closed {
            return recipe.fail(None);
        }
        let class = self.class(Demand::cpus(Amount::ONE), None);
        self.tasks.insert(task, Submitted { task: recipe, is_running: false, _bundle: None });
        self.tell_owner(owner::Event::Adopt { task, class, args, returns: 1, retries, node });
    }

    /// A worker is gone, and with it the values that it had.
    pub(super) fn values_lost_on(&mut self, node: NodeId) {
        let stored =
            |(task, submitted): (&TaskId, &Submitted)| Some((*task, submitted.task.stored()?.is_lost_on(node)?));
        let lost: Vec<(TaskId, Attempt)> = self.tasks.iter().filter_map(stored).collect();
        for (task, attempt) in lost {
            self.tell_owner(owner::Event::ObjectLost { object: task.object(0), node, attempt });
        }
    }

    /// The task keeps its lease, and lends its CPUs as one that blocks does.
    fn rest(&mut self, task: Arc<dyn Leased>, run: Run) {
        self.threads.task_ended();
        if self.closed {
            return task.fail(Some(Error::in_task(ErrorKind::Shutdown, task.name())));
        }
        if !run.grant.cpu().is_zero() {
            self.tell_node(run.lease.node, node::Event::LendCpus { lease: run.lease });
        }
        self.resting.insert(run.task, (task, run));
    }

    fn wake(&mut self, task: TaskId) {
        let Some((task, run)) = self.resting.remove(&task) else { return };
        if !run.grant.cpu().is_zero() {
            self.tell_node(run.lease.node, node::Event::RetakeCpus { lease: run.lease });
        }
        self.threads.task_started();
        leased::start(self.threads.pool(), task, run);
    }

    /// The class of all tasks with this demand in this bundle.
    fn class(&mut self, demand: Demand, bundle: Option<&BundleRef>) -> ClassId {
        let bundle = bundle.map(|bundle| bundle.id);
        if let Some(class) = self.classes.get(&(demand.clone(), bundle)) {
            return *class;
        }
        let class = ClassId(self.next_class);
        self.next_class += 1;
        // The owner drops the classes of a group that is gone.
        if bundle.is_none_or(|bundle| self.groups.contains_key(&bundle.group)) {
            self.classes.insert((demand.clone(), bundle), class);
        }
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
        for (_, (task, _)) in self.resting.drain() {
            task.fail(Some(Error::in_task(ErrorKind::Shutdown, task.name())));
        }
        for (_, progress) in self.groups.drain() {
            progress.failed(SHUT_DOWN.into());
        }
        self.close_staff();
        // Dropped, these tell who asked.
        self.asking.clear();
        self.lookups.clear();
    }
}

const SHUT_DOWN: &str = "the runtime was shut down";
