//! Events.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// A point in a stream that others can wait for.
#[derive(Debug, Default)]
pub struct Event {
    state: Mutex<State>,
    reached: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Recordings that were asked for, and how many of them the streams have come to.
    recorded: u64,
    reached: u64,
    /// When the last was.
    at: Option<Instant>,
}

impl Event {
    /// Asks for a recording; the stream [reaches](Self::reach) it later.
    pub fn record(&self) -> u64 {
        let mut state = self.lock();
        state.recorded += 1;
        state.recorded
    }

    /// The recording that was asked for last; 0 if none was.
    pub fn last(&self) -> u64 {
        self.lock().recorded
    }

    /// A stream has come to a recording.
    pub fn reach(&self, recording: u64) {
        let mut state = self.lock();
        if recording > state.reached {
            (state.reached, state.at) = (recording, Some(Instant::now()));
        }
        self.reached.notify_all();
    }

    /// Waits until a stream has come to a recording.
    pub fn wait(&self, recording: u64) {
        let state = self.lock();
        let is_early = |state: &mut State| state.reached < recording;
        drop(self.reached.wait_while(state, is_early).unwrap_or_else(PoisonError::into_inner));
    }

    /// When its last recording was reached, if it has been.
    pub fn reached_at(&self) -> Option<Instant> {
        let state = self.lock();
        state.at.filter(|_| state.reached >= state.recorded)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
