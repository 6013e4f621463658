//! Handles in the order in which their jobs end, each found at once.

use crate::cell::calmly;
use crate::handle::Handle;
use crate::wait::sleep;
use crate::waiter::Waiter;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// A set of handles that yields each when its job is done: one registration a handle, whatever the number.
pub struct CompletionQueue<O> {
    handles: Vec<Option<Handle<O>>>,
    nodes: Arc<Nodes>,
    left: usize,
}

/// The waiters of all handles, kept until each has fired (HUB-less: they can't leave, but they are one allocation).
struct Nodes {
    done: Mutex<Finished>,
    nodes: Box<[Node]>,
}

#[derive(Default)]
struct Finished {
    ready: VecDeque<u32>,
    waker: Option<Waker>,
    sleeper: Option<Thread>,
}

#[repr(C)]
struct Node {
    waiter: Waiter,
    /// The set, of which this node owns one count until it fires.
    owner: std::cell::Cell<*const Nodes>,
    index: u32,
}

// SAFETY: a node is written before it is registered, then read by the one who fires it; the rest is behind a lock.
unsafe impl Send for Nodes {}
// SAFETY: as above.
unsafe impl Sync for Nodes {}

impl<O> CompletionQueue<O> {
    /// # Panics
    /// With more than `u32::MAX` handles.
    pub fn new(handles: Vec<Handle<O>>) -> Self {
        let count = u32::try_from(handles.len()).expect("fewer than 2^32 handles in one set");
        let node = |index| Node { waiter: Waiter::new(fire), owner: std::cell::Cell::new(std::ptr::null()), index };
        let nodes = Arc::new(Nodes { done: Mutex::default(), nodes: (0..count).map(node).collect() });
        for (node, handle) in nodes.nodes.iter().zip(&handles) {
            node.owner.set(Arc::into_raw(nodes.clone()));
            // SAFETY: the count in `owner` keeps the node where it is until it fires.
            if !unsafe { handle.header().state.register((&raw const *node).cast_mut().cast()) } {
                // SAFETY: not registered, so this is its only firing.
                unsafe { fire(NonNull::from(node).cast()) };
            }
        }
        let left = handles.len();
        Self { handles: handles.into_iter().map(Some).collect(), nodes, left }
    }

    /// How many have not been yielded.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether all have been yielded.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next handle whose job is done, with its index; blocks until there is one. `None` after the last, or at
    /// `deadline`.
    pub fn next_until(&mut self, deadline: Option<Instant>) -> Option<(usize, Handle<O>)> {
        if self.left == 0 {
            return None;
        }
        let index = match self.nodes.pop() {
            Some(index) => index,
            None => self.nodes.pop_wait(deadline)?,
        };
        Some(self.hand_out(index))
    }

    /// As [`next_until`](Self::next_until), for a future.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Handle<O>)>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        // Cloned and dropped without the lock: that is the user's code.
        let waker = context.waker().clone();
        let mut done = self.nodes.lock();
        match done.ready.pop_front() {
            Some(index) => {
                drop(done);
                Poll::Ready(Some(self.hand_out(index)))
            }
            None => {
                let before = done.waker.replace(waker);
                drop(done);
                drop(before);
                Poll::Pending
            }
        }
    }

    fn hand_out(&mut self, index: u32) -> (usize, Handle<O>) {
        self.left -= 1;
        let handle = self.handles[index as usize].take().expect("each node fires once");
        (index as usize, handle)
    }
}

impl Nodes {
    fn lock(&self) -> MutexGuard<'_, Finished> {
        self.done.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn pop(&self) -> Option<u32> {
        self.lock().ready.pop_front()
    }

    fn pop_wait(&self, deadline: Option<Instant>) -> Option<u32> {
        self.lock().sleeper = Some(thread::current());
        sleep(|| !self.lock().ready.is_empty(), deadline);
        let mut done = self.lock();
        done.sleeper = None;
        done.ready.pop_front()
    }
}

unsafe fn fire(waiter: NonNull<Waiter>) {
    // SAFETY: `Node` begins with its waiter and is kept by the count that it owns, which is taken over here.
    let (nodes, index) = unsafe {
        let node = waiter.cast::<Node>().as_ref();
        (Arc::from_raw(node.owner.get()), node.index)
    };
    let mut done = nodes.lock();
    done.ready.push_back(index);
    let (waker, sleeper) = (done.waker.take(), done.sleeper.take());
    drop(done);
    if let Some(sleeper) = sleeper {
        sleeper.unpark();
    }
    if let Some(waker) = waker {
        calmly(|| waker.wake());
    }
}
