//! What a job may know of itself.

use crate::worker::Worker;

/// The job that the calling thread runs, where it is a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    /// The job's name.
    pub name: &'static str,
    /// Index of the worker's thread, from 0.
    pub worker: usize,
    /// Whether the job was asked to stop.
    pub cancelled: bool,
}

impl Current {
    /// `None` outside a job.
    pub fn job() -> Option<Self> {
        Worker::with_current(|worker| {
            let worker = worker?;
            let cell = worker.current_job()?;
            // SAFETY: the executor's share keeps the cell while its job runs.
            let header = unsafe { cell.as_ref() };
            let cancelled = header.claim.is_cancelled();
            Some(Self { name: header.vtable.name, worker: worker.index(), cancelled })
        })
    }
}
