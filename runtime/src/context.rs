//! What a task may know of itself.

use crate::runtime;
use rayline_core::ids::{ActorId, Incarnation, LeaseId, NodeId, TaskId};
use rayline_core::resources::{Amount, Grant};
use rayline_exec::Current;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

thread_local! {
    /// What the innermost leased task or actor on this thread was given, and the job that is its.
    static ASSIGNED: RefCell<Option<(usize, Arc<Assigned>)>> = const { RefCell::new(None) };
}

/// What a leased task or an actor was given.
#[derive(Debug)]
pub(crate) struct Assigned {
    /// The leased task, where the job's own name says only that it is one.
    pub(crate) task: Option<&'static str>,
    pub(crate) task_id: Option<TaskId>,
    pub(crate) attempt: u32,
    pub(crate) actor: Option<(ActorId, Incarnation)>,
    pub(crate) lease: LeaseId,
    pub(crate) grant: Grant,
    pub(crate) cancellation: Arc<Cancellation>,
}

/// Whether a leased task was cancelled, and who hears of it.
#[derive(Debug, Default)]
pub(crate) struct Cancellation {
    told: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Cancellation {
    pub(crate) fn tell(&self) {
        self.told.store(true, Ordering::SeqCst);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }

    /// Whether it was; if not, `waker` is woken when it is.
    pub(crate) fn poll(&self, waker: &Waker) -> bool {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        self.is_told()
    }
}

/// A share of a GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GpuShare {
    /// Index of the device on its node.
    pub index: u32,
    /// Part of it: 1 for the whole device.
    pub share: f64,
}

/// What a task knows of itself: see [`context`].
#[derive(Clone, Debug)]
pub struct Context {
    task: &'static str,
    task_id: TaskId,
    node: NodeId,
    worker: Option<usize>,
    assigned: Option<Arc<Assigned>>,
}

/// The context of the task that calls this; outside a task that of the driver.
pub fn context() -> Context {
    let job = Current::job();
    let key = job.map_or(0, |job| job.key);
    // A plain task that runs on the same stack, while the leased one waits for it, has nothing of its lease.
    let assigned = ASSIGNED
        .with_borrow(|assigned| assigned.as_ref().filter(|(of, _)| *of == key).map(|(_, assigned)| assigned.clone()));
    let seq = rayline_exec::current_id();
    let task_id = assigned.as_ref().and_then(|assigned| assigned.task_id);
    let name = assigned.as_ref().and_then(|assigned| assigned.task);
    Context {
        task: name.or(job.map(|job| job.name)).unwrap_or("driver"),
        task_id: task_id.unwrap_or(TaskId { owner: runtime::owner(), seq }),
        node: runtime::node(),
        worker: job.map(|job| job.worker),
        assigned,
    }
}

impl Context {
    /// The task's or method's name.
    pub fn task(&self) -> &'static str {
        self.task
    }

    /// The task's id: the same in all its attempts, and no other task's.
    pub fn task_id(&self) -> TaskId {
        self.task_id
    }

    /// Which try this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.assigned.as_ref().map_or(1, |assigned| assigned.attempt.max(1))
    }

    /// The node that the task runs on.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The actor whose method this is, and which of its lives, from 1.
    pub fn actor(&self) -> Option<(ActorId, u32)> {
        let (actor, incarnation) = self.assigned.as_ref()?.actor?;
        Some((actor, incarnation.0))
    }

    /// The GPUs that the task was given.
    pub fn gpus(&self) -> Vec<GpuShare> {
        let Some(assigned) = &self.assigned else { return Vec::new() };
        let share = |device: &rayline_core::resources::DeviceShare| GpuShare {
            index: device.index,
            share: device.share.parts() as f64 / Amount::ONE.parts() as f64,
        };
        assigned.grant.devices().iter().map(share).collect()
    }

    /// The CPU slots that the task was given: one for a plain task, the whole CPUs of its lease for others.
    pub fn cpu_slots(&self) -> Vec<u32> {
        match &self.assigned {
            Some(assigned) => assigned.grant.slots().to_vec(),
            None => self.worker.map(runtime::slot).into_iter().collect(),
        }
    }

    /// Whether the task was asked to stop. A long task looks now and then, and returns early.
    pub fn cancelled(&self) -> bool {
        let told = self.assigned.as_ref().is_some_and(|assigned| assigned.cancellation.is_told());
        told || Current::job().is_some_and(|job| job.cancelled)
    }
}

/// Runs `f` as a task or method that was given `assigned`.
#[inline]
pub(crate) fn assigned<R>(assigned: &Arc<Assigned>, f: impl FnOnce() -> R) -> R {
    struct Back(Option<(usize, Arc<Assigned>)>);
    impl Drop for Back {
        fn drop(&mut self) {
            ASSIGNED.set(self.0.take());
        }
    }
    let key = Current::job().map_or(0, |job| job.key);
    let _back = Back(ASSIGNED.replace(Some((key, assigned.clone()))));
    f()
}

/// Runs a leased task's future, up to the await point at which it is cancelled: `None` then.
pub(crate) async fn until_cancelled<F: Future>(future: F) -> Option<F::Output> {
    let assigned = ASSIGNED.with_borrow(|assigned| assigned.as_ref().map(|(_, assigned)| assigned.clone()));
    let mut future = pin!(future);
    poll_fn(|context| {
        if assigned.as_ref().is_some_and(|assigned| assigned.cancellation.poll(context.waker())) {
            return Poll::Ready(None);
        }
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// A worker blocks, or goes on: its lease's CPUs are lent meanwhile, as others may have to run for it to go on.
pub(crate) fn tell_blocked(blocks: bool) {
    let lease = ASSIGNED.with_borrow(|assigned| {
        let (_, assigned) = assigned.as_ref()?;
        (!assigned.grant.cpu().is_zero()).then_some(assigned.lease)
    });
    if let Some(lease) = lease {
        runtime::control().lend(lease, blocks);
    }
}
