//! A thread outside the pool, as a submitter: its outboxes, one for each pool that it has submitted to.

use crate::cell::Header;
use crate::outbox::Outbox;
use crate::pool::Shared;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;

struct Lane {
    /// The pool of `current`, null before the first submission.
    pool: Cell<*const Shared>,
    current: Cell<*const Outbox<Header>>,
    all: RefCell<Vec<Kept>>,
    failing: Cell<bool>,
}

/// An outbox, and the pool that it is for.
type Kept = (*const Shared, Arc<Outbox<Header>>);

thread_local! {
    static LANE: Lane = const {
        Lane {
            pool: Cell::new(std::ptr::null()),
            current: Cell::new(std::ptr::null()),
            all: RefCell::new(Vec::new()),
            failing: Cell::new(false),
        }
    };
}

impl Drop for Lane {
    fn drop(&mut self) {
        for (_, outbox) in self.all.borrow().iter() {
            outbox.orphan();
        }
    }
}

/// Queues a cell for `pool` from a thread that isn't one of its workers.
#[inline]
pub(crate) fn push(pool: &'static Shared, cell: NonNull<Header>) {
    let pushed = LANE.try_with(|lane| {
        let outbox = if std::ptr::eq(lane.pool.get(), pool) { lane.current.get() } else { lane.switch(pool) };
        // SAFETY: `all` keeps the outbox, and only this thread pushes to it.
        unsafe { (*outbox).push(cell) };
    });
    if pushed.is_err() {
        push_once(pool, cell);
    }
}

/// The thread is ending, and its lane is gone: an outbox for this cell alone.
#[cold]
fn push_once(pool: &'static Shared, cell: NonNull<Header>) {
    let outbox = Arc::new(Outbox::with_capacity(1));
    // SAFETY: nobody else has the outbox yet.
    unsafe { outbox.push(cell) };
    outbox.orphan();
    pool.add_outbox(outbox);
}

/// Marks this thread as one that fails queued cells; `false` where it does so already, further up its stack.
pub(crate) fn begin_failing() -> bool {
    LANE.try_with(|lane| !lane.failing.replace(true)).unwrap_or(true)
}

pub(crate) fn end_failing() {
    let _ = LANE.try_with(|lane| lane.failing.set(false));
}

impl Lane {
    #[cold]
    fn switch(&self, pool: &'static Shared) -> *const Outbox<Header> {
        let mut all = self.all.borrow_mut();
        let known = all.iter().find(|(of, _)| std::ptr::eq(*of, pool)).map(|(_, outbox)| Arc::as_ptr(outbox));
        let outbox = known.unwrap_or_else(|| {
            let outbox = Arc::new(Outbox::with_capacity(256));
            pool.add_outbox(outbox.clone());
            let address = Arc::as_ptr(&outbox);
            all.push((pool, outbox));
            address
        });
        self.pool.set(pool);
        self.current.set(outbox);
        outbox
    }
}
