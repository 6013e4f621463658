//! A rail's completions, and how they are waited for.

use super::super::verbs::abi::*;
use super::error::{CardError, done, made};
use super::rail::Rail;
use std::ffi::c_uint;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many completions are taken at a time.
const BATCH: usize = 32;
/// Events are acknowledged so many at a time, as each call takes a lock.
const ACKNOWLEDGED_TOGETHER: u32 = 64;

/// The completion queue of a rail, with a channel that says when there is something in it.
pub struct Completions {
    rail: Arc<Rail>,
    channel: NonNull<ibv_comp_channel>,
    queue: NonNull<ibv_cq>,
    unacknowledged: AtomicU32,
}

// SAFETY: libibverbs lets any thread use a queue and a channel.
unsafe impl Send for Completions {}
// SAFETY: as for `Send`.
unsafe impl Sync for Completions {}

impl Completions {
    /// A queue with room for `entries` completions.
    ///
    /// # Errors
    /// What the card says.
    pub fn new(rail: &Arc<Rail>, entries: u32) -> Result<Self, CardError> {
        let verbs = rail.verbs();
        // SAFETY: the card is open.
        let channel = unsafe { (verbs.create_comp_channel)(rail.context()) };
        let channel = made(channel, "ibv_create_comp_channel", rail.name())?;
        let entries = i32::try_from(entries).unwrap_or(i32::MAX);
        // SAFETY: as above; the channel is of the same card.
        let queue = unsafe { (verbs.create_cq)(rail.context(), entries, null_mut(), channel.as_ptr(), 0) };
        let queue = made(queue, "ibv_create_cq", rail.name()).inspect_err(|_| {
            // SAFETY: made above, and nobody has it.
            unsafe { (verbs.destroy_comp_channel)(channel.as_ptr()) };
        })?;
        let made = Self { rail: rail.clone(), channel, queue, unacknowledged: AtomicU32::new(0) };
        made.never_block().map_err(|error| CardError::new("fcntl", rail.name(), error))?;
        Ok(made)
    }

    /// Takes what has completed.
    ///
    /// # Errors
    /// Where the card is broken.
    pub fn poll(&self, found: &mut Vec<ibv_wc>) -> Result<(), CardError> {
        loop {
            let mut batch = [ibv_wc::default(); BATCH];
            // SAFETY: the queue lives as long as `self`; there is room for a batch.
            let count = unsafe {
                let context = (*self.queue.as_ptr()).context;
                ((*context).poll_cq)(self.queue.as_ptr(), BATCH as i32, batch.as_mut_ptr())
            };
            let Ok(count) = usize::try_from(count) else {
                return done(-count, "ibv_poll_cq", self.rail.name());
            };
            found.extend_from_slice(&batch[..count]);
            if count < BATCH {
                return Ok(());
            }
        }
    }

    /// Asks for an event with the next completion. What came before this is to be polled once more.
    ///
    /// # Errors
    /// What the card says.
    pub fn arm(&self) -> Result<(), CardError> {
        // SAFETY: the queue lives as long as `self`.
        let code = unsafe {
            let context = (*self.queue.as_ptr()).context;
            ((*context).req_notify_cq)(self.queue.as_ptr(), 0)
        };
        done(code, "ibv_req_notify_cq", self.rail.name())
    }

    /// Takes all events that the channel has.
    pub fn take_events(&self) {
        let (mut queue, mut ours) = (null_mut(), null_mut());
        // SAFETY: the channel lives as long as `self`, and doesn't block.
        while unsafe { (self.rail.verbs().get_cq_event)(self.channel.as_ptr(), &raw mut queue, &raw mut ours) } == 0 {
            if self.unacknowledged.fetch_add(1, Ordering::Relaxed) + 1 >= ACKNOWLEDGED_TOGETHER {
                self.acknowledge();
            }
        }
    }

    /// Readable where the channel has an event.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the channel's descriptor is open as long as it lives.
        unsafe { BorrowedFd::borrow_raw(self.channel.as_ref().fd) }
    }

    pub(super) fn queue(&self) -> *mut ibv_cq {
        self.queue.as_ptr()
    }

    fn acknowledge(&self) {
        let count: c_uint = self.unacknowledged.swap(0, Ordering::Relaxed);
        if count > 0 {
            // SAFETY: the queue lives as long as `self`; so many events were taken.
            unsafe { (self.rail.verbs().ack_cq_events)(self.queue.as_ptr(), count) };
        }
    }

    fn never_block(&self) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(self.descriptor().as_fd())?;
        Ok(rustix::fs::fcntl_setfl(self.descriptor().as_fd(), flags | rustix::fs::OFlags::NONBLOCK)?)
    }
}

impl Drop for Completions {
    fn drop(&mut self) {
        // The end of a queue waits for the acknowledgement of all its events.
        self.acknowledge();
        // SAFETY: made by `new`; the queue pairs that use it have ended, as each keeps it.
        unsafe {
            (self.rail.verbs().destroy_cq)(self.queue.as_ptr());
            (self.rail.verbs().destroy_comp_channel)(self.channel.as_ptr());
        }
    }
}
