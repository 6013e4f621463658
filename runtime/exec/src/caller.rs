//! Who sends messages: a job, a future, or a thread outside the pool. Its messages to one actor arrive in order.

use crate::worker::Worker;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// A new identity, different from all others in this process.
pub fn fresh() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The identity of the job, future or outside thread that calls this; made when first asked for.
pub fn current() -> u64 {
    Worker::with_current(|worker| match worker {
        Some(worker) => worker.caller(fresh),
        None => THREAD.with(|thread| {
            if thread.get() == 0 {
                thread.set(fresh());
            }
            thread.get()
        }),
    })
}
