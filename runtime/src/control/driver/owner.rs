//! What the owner wants done: leases asked for, tasks started and failed, the fast path's threads.

use super::{Driver, Others, Timer};
use crate::control::failure;
use crate::control::leased::{self, Leased, Run};
use crate::runtime;
use rayline_core::ids::{Attempt, LeaseId, ObjectId, TaskId};
use rayline_core::node;
use rayline_core::owner::{self, Failure};
use rayline_core::resources::Grant;
use std::cmp::Reverse;
use std::sync::Arc;

impl Driver {
    pub(super) fn act_for_owner(&mut self, action: owner::Action) {
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
                self.drop_object(object);
                self.fail(object.task, failure);
            }
            owner::Action::TaskFailed { task, failure } => tracing::debug!(%task, %failure, "task failed"),
            owner::Action::Release { object, attempt, .. } => {
                if let Some(submitted) = self.tasks.get(&object.task) {
                    submitted.task.release(attempt);
                }
            }
            owner::Action::Forget { task } => drop(self.tasks.remove(&task)),
            owner::Action::OpenExecutor { lease, grant: _ } => self.open_executor(lease),
            owner::Action::CloseExecutor { lease } => self.close_executor(lease),
            owner::Action::SetTimer { at, token } => self.timers.push(Reverse((at, Timer::Owner(token)))),
        }
    }

    fn start(&mut self, task: TaskId, attempt: Attempt, lease: LeaseId) {
        self.set_running(task, true);
        let grant = self.grant(lease);
        let Some(started) = self.tasks.get(&task).map(|submitted| submitted.task.clone()) else { return };
        let run = Run { task, attempt, lease, grant };
        if started.is_apart() {
            return self.start_apart(started, run);
        }
        self.threads.task_started();
        leased::start(self.threads.pool(), started, run);
    }

    pub(super) fn set_running(&mut self, task: TaskId, is_running: bool) {
        if let Some(submitted) = self.tasks.get_mut(&task) {
            submitted.is_running = is_running;
        }
    }

    fn start_apart(&mut self, task: Arc<dyn Leased>, run: Run) {
        match &mut self.others {
            Others::Here(..) => runtime::control().run_apart(task, run),
            Others::Cluster(staff) => staff.start(task, run),
        }
    }

    fn open_executor(&mut self, lease: LeaseId) {
        match &mut self.others {
            Others::Here(..) => self.threads.open(lease),
            Others::Cluster(staff) => staff.open_executor(lease),
        }
    }

    fn close_executor(&mut self, lease: LeaseId) {
        match &mut self.others {
            Others::Here(..) => self.threads.close(lease),
            Others::Cluster(staff) => {
                staff.close_executor(lease);
                // What runs on that thread ends soon: to wait for it would keep somebody else's task waiting for a plain one.
                self.tell_owner(owner::Event::ExecutorClosed { lease });
            }
        }
    }

    fn grant(&self, lease: LeaseId) -> Grant {
        let grant = match &self.others {
            Others::Here(node, _) => node.grant(lease),
            Others::Cluster(_) => self.owner.grant(lease),
        };
        grant.cloned().unwrap_or_default()
    }

    /// A value that is in its task's cell lives as long as its references: the owner need not keep the object.
    fn drop_object(&mut self, object: ObjectId) {
        let is_stored = self.tasks.get(&object.task).is_some_and(|submitted| submitted.task.stored().is_some());
        if !is_stored {
            self.tell_owner(owner::Event::DropRef { object });
        }
    }

    fn fail(&mut self, task: TaskId, failure: Failure) {
        if let Some(submitted) = self.tasks.get(&task) {
            submitted.task.fail(failure::of_task(failure, submitted.task.name()));
        }
    }
}
