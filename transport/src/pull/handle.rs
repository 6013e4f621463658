//! What those have who asked for a pull.

use super::machine::Event;
use crate::error::TransportError;
use crate::region::Extent;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How far a pull is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes of the object.
    pub total: u64,
}

/// One's interest in a pull. Dropped, it ends; a pull that interests nobody is cancelled.
pub struct Pull {
    pub(super) shared: Arc<Shared>,
}

/// What all interests in a pull share.
pub struct Shared {
    id: u64,
    puller: Sender<Event>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    interests: usize,
    progress: Progress,
    outcome: Option<Result<Arc<Extent>, TransportError>>,
    wakers: Vec<Waker>,
}

impl Pull {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.shared.lock().progress
    }

    /// The object, or why it can't be had; none while it is under way.
    pub fn outcome(&self) -> Option<Result<Arc<Extent>, TransportError>> {
        self.shared.lock().outcome.clone()
    }

    /// Waits for the outcome; none where there is none within `limit`.
    pub fn wait(&self, limit: Duration) -> Option<Result<Arc<Extent>, TransportError>> {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        while state.outcome.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.outcome.clone()
    }

    /// The outcome, without blocking a thread.
    ///
    /// # Errors
    /// `NoSource`, `Cancelled`, `Full`, or what the landing place's maker says.
    pub async fn finished(&self) -> Result<Arc<Extent>, TransportError> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<Arc<Extent>, TransportError>> {
        let mut state = self.shared.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Clone for Pull {
    fn clone(&self) -> Self {
        self.shared.lock().interests += 1;
        Self { shared: self.shared.clone() }
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.interests -= 1;
        if state.interests > 0 {
            return;
        }
        // The puller may hold the shared part a little longer: the object's place shall not wait for that.
        let outcome = state.outcome.take();
        drop(state);
        if outcome.is_none() {
            // A puller that is gone has nothing left to cancel.
            let _ = self.shared.puller.send(Event::Cancel { pull: self.shared.id });
        }
    }
}

impl Shared {
    pub fn new(id: u64, total: u64, puller: Sender<Event>) -> Self {
        let progress = Progress { bytes: 0, total };
        let state = State { interests: 0, progress, outcome: None, wakers: vec![] };
        Self { id, puller, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// One more interest; none in a pull that has ended.
    pub fn interest(self: &Arc<Self>) -> Option<Pull> {
        let mut state = self.lock();
        if state.outcome.is_some() {
            return None;
        }
        state.interests += 1;
        Some(Pull { shared: self.clone() })
    }

    pub fn is_wanted(&self) -> bool {
        self.lock().interests > 0
    }

    pub fn advance(&self, bytes: u64) {
        self.lock().progress.bytes = bytes;
    }

    pub fn finish(&self, outcome: Result<Arc<Extent>, TransportError>) {
        let mut state = self.lock();
        state.outcome = Some(outcome);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
