//! The end of a pool: one thread brings it about, and all others that ask for it wait until it is there.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::{self, ThreadId};

/// How far the end of a pool is.
///
/// ```text
///  Running -- begin() --> Ending(by) -- leave() --> Leaving(by) -- the guard is dropped --> Ended
/// ```
#[derive(Default)]
pub(crate) struct Ending {
    stage: Mutex<Stage>,
    ended: Condvar,
}

#[derive(Default)]
enum Stage {
    #[default]
    Running,
    Ending(ThreadId),
    /// The ending thread looks at what is queued for the last time.
    Leaving(ThreadId),
    Ended,
}

/// The duty to bring the end about.
pub(crate) struct Guard<'a>(&'a Ending);

impl Ending {
    /// The duty to end the pool, for the first that asks. Others wait until the pool has ended, and get `None`; so does,
    /// at once, the user's code that the ending thread itself runs.
    pub(crate) fn begin(&self) -> Option<Guard<'_>> {
        let mut stage = self.lock();
        let own = thread::current().id();
        loop {
            match *stage {
                Stage::Running => {
                    *stage = Stage::Ending(own);
                    return Some(Guard(self));
                }
                Stage::Ending(by) | Stage::Leaving(by) if by != own => {
                    stage = self.ended.wait(stage).unwrap_or_else(|poisoned| poisoned.into_inner());
                }
                Stage::Ending(_) | Stage::Leaving(_) | Stage::Ended => return None,
            }
        }
    }

    /// Whether the ending thread may miss what is queued from now on. What was queued before this said `false`, it sees.
    pub(crate) fn is_over(&self) -> bool {
        matches!(*self.lock(), Stage::Leaving(_) | Stage::Ended)
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Guard<'_> {
    /// The ending thread looks at what is queued once more, after this.
    pub(crate) fn leave(&self) {
        *self.0.lock() = Stage::Leaving(thread::current().id());
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        *self.0.lock() = Stage::Ended;
        self.0.ended.notify_all();
    }
}
