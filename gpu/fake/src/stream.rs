//! Streams: queues of work with a thread each.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::driver::Driver;
use crate::fault::{Fault, Status};
use crate::work::Work;

/// Pieces of work that a stream holds; who brings one more waits, as with a real driver.
const QUEUE_LEN: usize = 1024;

/// A queue of work, done in its order by a thread of its own, that ends with the stream.
#[derive(Debug)]
pub struct Stream {
    device: usize,
    state: Mutex<State>,
    progress: Arc<Progress>,
}

#[derive(Debug)]
struct State {
    queue: SyncSender<Work>,
    submitted: u64,
    mode: Mode,
}

/// ```text
///  Running --begin--> Capturing --work that can't be captured--> Spoilt
///     ^                   | end: the graph                          |
///     '-------------------+--------------------- end: an error -----'
/// ```
#[derive(Debug)]
enum Mode {
    Running,
    /// Work is noted, and not done.
    Capturing(Vec<Work>),
    Spoilt,
}

#[derive(Debug, Default)]
struct Progress {
    done: Mutex<u64>,
    changed: Condvar,
}

impl Stream {
    /// A stream of `device`, and its thread.
    pub fn new(device: usize, driver: &'static Driver) -> Self {
        let (queue, work) = sync_channel(QUEUE_LEN);
        let progress = Arc::new(Progress::default());
        let shared = progress.clone();
        std::thread::spawn(move || work_off(&work, driver, &shared));
        Self { device, state: Mutex::new(State { queue, submitted: 0, mode: Mode::Running }), progress }
    }

    pub fn device(&self) -> usize {
        self.device
    }

    /// Puts work at the end of the queue, or into the graph that is being captured.
    ///
    /// # Errors
    /// `CaptureUnsupported` for work that graphs of this driver don't hold; `CaptureInvalidated` after such.
    pub fn submit(&self, work: Work) -> Result<(), Fault> {
        let mut state = self.lock();
        match &mut state.mode {
            Mode::Running => {
                state.submitted += 1;
                state.queue.send(work).map_err(|_| Fault::new(Status::IllegalState, "the stream's thread has ended"))
            }
            Mode::Capturing(_) if work.outlives_failure() => {
                state.mode = Mode::Spoilt;
                Err(Fault::new(Status::CaptureUnsupported, "events and memory are no part of a captured graph"))
            }
            Mode::Capturing(noted) => {
                noted.push(work);
                Ok(())
            }
            Mode::Spoilt => Err(spoilt()),
        }
    }

    /// Whether all work is done.
    ///
    /// # Errors
    /// `CaptureUnsupported` while capturing, which it spoils.
    pub fn is_idle(&self) -> Result<bool, Fault> {
        let submitted = self.submitted()?;
        Ok(*self.progress.lock() >= submitted)
    }

    /// Waits until all work is done.
    ///
    /// # Errors
    /// As of [`Stream::is_idle`].
    pub fn synchronize(&self) -> Result<(), Fault> {
        let submitted = self.submitted()?;
        let is_busy = |done: &mut u64| *done < submitted;
        let done = self.progress.changed.wait_while(self.progress.lock(), is_busy);
        drop(done.unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    pub fn is_capturing(&self) -> bool {
        !matches!(self.lock().mode, Mode::Running)
    }

    /// From here on work is noted, and not done.
    ///
    /// # Errors
    /// `IllegalState` if it is so already.
    pub fn begin_capture(&self) -> Result<(), Fault> {
        let mut state = self.lock();
        match state.mode {
            Mode::Running => state.mode = Mode::Capturing(vec![]),
            _ => return Err(Fault::new(Status::IllegalState, "the stream is captured already")),
        }
        Ok(())
    }

    /// The work that was noted.
    ///
    /// # Errors
    /// `CaptureInvalidated` if some couldn't be; `IllegalState` if none was begun.
    pub fn end_capture(&self) -> Result<Vec<Work>, Fault> {
        match std::mem::replace(&mut self.lock().mode, Mode::Running) {
            Mode::Capturing(noted) => Ok(noted),
            Mode::Spoilt => Err(spoilt()),
            Mode::Running => Err(Fault::new(Status::IllegalState, "the stream is not captured")),
        }
    }

    fn submitted(&self) -> Result<u64, Fault> {
        let mut state = self.lock();
        if matches!(state.mode, Mode::Running) {
            return Ok(state.submitted);
        }
        state.mode = Mode::Spoilt;
        Err(Fault::new(Status::CaptureUnsupported, "a stream that is captured can't be waited for"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work_off(queue: &Receiver<Work>, driver: &Driver, progress: &Progress) {
    for work in queue {
        if driver.config().lag_us > 0 {
            std::thread::sleep(Duration::from_micros(driver.config().lag_us));
        }
        if driver.failure().is_none() || work.outlives_failure() {
            work.run(driver).unwrap_or_else(|fault| driver.fail(fault));
        }
        *progress.lock() += 1;
        progress.changed.notify_all();
    }
}

fn spoilt() -> Fault {
    Fault::new(Status::CaptureInvalidated, "the capture was spoilt by work that it can't hold")
}
