//! Who waits for what, so that a wait that can't end is told from one that may.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

/// All threads that there may be are taken, and what a job waits for can't be done before that very job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// How many threads there may be.
    pub threads_max: usize,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = self.threads_max;
        write!(
            f,
            "all {threads} threads are taken, and what is waited for can't go on before the job that waits ends; "
        )?;
        f.write_str("raise `threads_max`")
    }
}

impl std::error::Error for Exhausted {}

/// A job, by its cell's address, with the mailbox that matters (0: none): for one that is awaited, the mailbox that it was
/// sent to; for one that is suspended, the mailbox that it holds.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) cell: usize,
    pub(crate) mailbox: u32,
}

/// A thread that sleeps: it goes on when `wanted` of the cells `awaited` are done.
pub(crate) struct Wait {
    /// The jobs that are suspended on its stack; none ends before the wait does.
    pub(crate) stack: Vec<Place>,
    pub(crate) awaited: Vec<Place>,
    pub(crate) wanted: usize,
}

/// The workers that sleep until jobs are done, with no deadline.
///
/// A cycle of waits is closed by one of them, as a job that is put on top of another doesn't wait yet; so looking for
/// cycles when a wait begins, under the lock, misses none (WAIT-1).
#[derive(Default)]
pub(crate) struct Waits(Mutex<HashMap<usize, Arc<Wait>>>);

impl Waits {
    /// Says that `worker` sleeps. Where `look`, it first looks whether it ever could go on; `false` where it can't, and
    /// nothing was said.
    pub(crate) fn begin(&self, worker: usize, wait: Arc<Wait>, look: bool) -> bool {
        let mut waits = self.lock();
        waits.insert(worker, wait);
        let stuck = look && is_stuck(&waits, worker);
        if stuck {
            waits.remove(&worker);
        }
        !stuck
    }

    pub(crate) fn end(&self, worker: usize) {
        self.lock().remove(&worker);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Arc<Wait>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Whether `worker` is among the largest set of sleepers each of which waits for jobs on the stacks of the set.
fn is_stuck(waits: &HashMap<usize, Arc<Wait>>, worker: usize) -> bool {
    let mut left: HashMap<usize, &Wait> = waits.iter().map(|(worker, wait)| (*worker, &**wait)).collect();
    // Nearly all waits are for what lies on nobody's stack, and one look is enough for those.
    while left.get(&worker).is_some_and(|wait| !wait.may_go_on(&left)) {
        let free: Vec<_> = left.iter().filter(|(_, wait)| wait.may_go_on(&left)).map(|(worker, _)| *worker).collect();
        if free.is_empty() {
            return true;
        }
        left.retain(|worker, _| !free.contains(worker));
    }
    false
}

impl Wait {
    /// Whether enough of what it waits for is held up by none of `others`.
    fn may_go_on(&self, others: &HashMap<usize, &Wait>) -> bool {
        let is_held_up = |place: &Place| others.values().any(|other| other.holds_up(*place));
        self.awaited.iter().filter(|place| !is_held_up(place)).take(self.wanted).count() >= self.wanted
    }

    fn holds_up(&self, awaited: Place) -> bool {
        let same_mailbox = |below: &Place| below.mailbox != 0 && below.mailbox == awaited.mailbox;
        self.stack.iter().any(|below| below.cell == awaited.cell || same_mailbox(below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(cell: usize) -> Place {
        Place { cell, mailbox: 0 }
    }

    fn wait(stack: &[usize], awaited: &[usize], wanted: usize) -> Arc<Wait> {
        let places = |cells: &[usize]| cells.iter().copied().map(place).collect();
        Arc::new(Wait { stack: places(stack), awaited: places(awaited), wanted })
    }

    #[test]
    fn a_cycle_is_found_by_the_wait_that_closes_it() {
        let waits = Waits::default();
        assert!(waits.begin(0, wait(&[1, 2], &[3], 1), true));
        assert!(waits.begin(1, wait(&[3, 4], &[5], 1), true));
        assert!(!waits.begin(2, wait(&[5], &[1], 1), true), "0 waits for 1, 1 for 2, 2 for 0");
        assert!(waits.begin(2, wait(&[6], &[1], 1), true), "5 isn't suspended any more");
        assert!(!waits.begin(3, wait(&[7], &[7], 1), true), "for itself");
    }

    #[test]
    fn a_wait_for_some_goes_on_while_enough_are_free() {
        let waits = Waits::default();
        assert!(waits.begin(0, wait(&[1], &[1, 9], 1), true), "9 may come");
        assert!(!waits.begin(0, wait(&[1], &[1, 9], 2), true));
        assert!(waits.begin(1, wait(&[9], &[8], 1), true));
        assert!(waits.begin(0, wait(&[1], &[1, 9], 1), true), "8 may come, and then 9");
        assert!(!waits.begin(1, wait(&[9], &[1, 9], 1), true), "neither comes without the other");
    }

    #[test]
    fn a_message_waits_for_whoever_holds_its_mailbox() {
        let waits = Waits::default();
        let holder = Wait { stack: vec![Place { cell: 1, mailbox: 7 }], awaited: vec![place(2)], wanted: 1 };
        assert!(waits.begin(0, Arc::new(holder), true));
        let message = |mailbox| vec![Place { cell: 3, mailbox }];
        let other = Wait { stack: vec![place(2)], awaited: message(8), wanted: 1 };
        assert!(waits.begin(1, Arc::new(other), true));
        let same = Wait { stack: vec![place(2)], awaited: message(7), wanted: 1 };
        assert!(!waits.begin(1, Arc::new(same), true));
    }
}
