//! Threads that decode values whose large buffers are still elsewhere, so that a lane's own thread takes other answers
//! meanwhile.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Threads of one lane at a time. One value alone may be slow, as its worker is.
const THREADS_MAX: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs on threads that are there while there are jobs. As many wait as there are calls that have an answer, so
/// whoever bounds the calls of a lane bounds these.
#[derive(Default)]
pub(super) struct Fetcher(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
}

impl Fetcher {
    /// Runs `job` soon, on this thread where no other is to be had.
    pub(super) fn run(self: &Arc<Self>, job: Job) {
        let mut state = self.lock();
        state.waiting.push_back(job);
        if state.threads == THREADS_MAX {
            return;
        }
        state.threads += 1;
        drop(state);
        let fetcher = self.clone();
        let spawned = std::thread::Builder::new().name("rayline-fetch".into()).spawn(move || fetcher.work());
        if let Err(error) = spawned {
            tracing::debug!(%error, "no thread for values");
            self.work();
        }
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // It has told of the panic; whoever waits finds the promise broken.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job. A thread that finds none ends.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        let job = state.waiting.pop_front();
        if job.is_none() {
            state.threads -= 1;
        }
        job
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn jobs_run_beside_each_other_and_panics_stay_there() {
        let fetcher = Arc::new(Fetcher::default());
        let (tell, told) = channel();
        let (open, gate) = channel::<()>();
        fetcher.run(Box::new(move || assert!(gate.recv().is_err())));
        fetcher.run(Box::new(|| panic!("in a job")));
        for n in 0..20 {
            let tell = tell.clone();
            fetcher.run(Box::new(move || tell.send(n).unwrap()));
        }
        let mut numbers: Vec<i32> = told.iter().take(20).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, Vec::from_iter(0..20));
        drop(open);
        while fetcher.lock().threads > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
