//! The connections of this process, by which it reaches what is elsewhere.

use super::ask::Asked;
use super::id::ProcessId;
use crate::process::{Lane, Lent, Waiting, Worker};
use crate::runtime;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

static THIS: OnceLock<ProcessId> = OnceLock::new();
static WORKERS: LazyLock<Mutex<HashMap<ProcessId, Weak<Lane>>>> = LazyLock::new(Mutex::default);
static DRIVER: OnceLock<Arc<Worker>> = OnceLock::new();

/// The way to another process.
#[derive(Clone)]
pub(super) enum Link {
    /// To a worker of this process.
    Worker(Arc<Lane>),
    /// To the driver, which hands on what is for others.
    Driver(Arc<Worker>),
}

/// The name of this process.
pub(crate) fn this_process() -> ProcessId {
    *THIS.get_or_init(|| ProcessId::fresh().expect("the system has randomness"))
}

fn lock() -> MutexGuard<'static, HashMap<ProcessId, Weak<Lane>>> {
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This process is the worker of that name.
pub(crate) fn hired(name: ProcessId, worker: Arc<Worker>) {
    THIS.get_or_init(|| name);
    DRIVER.get_or_init(|| worker);
}

/// A worker is there.
pub(crate) fn connected(worker: ProcessId, lane: Weak<Lane>) {
    lock().insert(worker, lane);
}

/// It is gone.
pub(crate) fn disconnected(worker: ProcessId) {
    lock().remove(&worker);
}

impl Link {
    /// The way to a process; `None` where there is none, or it is this one.
    pub(super) fn to(process: ProcessId) -> Option<Self> {
        if process == this_process() {
            return None;
        }
        let lane = lock().get(&process).and_then(Weak::upgrade);
        lane.map(Self::Worker).or_else(|| DRIVER.get().cloned().map(Self::Driver))
    }

    /// Sends a question. The number of it.
    pub(super) fn ask(&self, asked: Asked, call: Box<dyn Waiting>) -> u64 {
        match self {
            Self::Worker(lane) => lane.ask(asked, call),
            Self::Driver(worker) => worker.ask(asked, call),
        }
    }

    /// What was given or kept for that question isn't needed any more.
    pub(super) fn release(&self, call: u64) {
        match self {
            Self::Worker(lane) => lane.release(call),
            Self::Driver(worker) => worker.release(call),
        }
    }

    /// What names the large buffers of arguments.
    pub(super) fn lend(&self) -> Lent<'_> {
        match self {
            Self::Worker(_) => Lent::Values(runtime::control().values()),
            Self::Driver(worker) => worker.lend(),
        }
    }
}
