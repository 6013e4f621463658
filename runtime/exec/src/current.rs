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
    /// Tells the job from all others that run at this moment.
    pub key: usize,
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
            let key = cell.as_ptr() as usize;
            Some(Self { name: header.vtable.name, worker: worker.index(), cancelled, key })
        })
    }
}
