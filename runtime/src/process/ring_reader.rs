//! A worker's end of a ring: who reads the driver's calls, and who runs them.

use super::SPIN;
use super::watch::{Looks, Watch};
use super::wire::{Garbled, Inbox};
use super::worker::{Call, Told, Worker, share_out};
use rayline_exec::Function;
use rayline_transport::ring::{Receiver, Wait};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// As much work as the reader takes on itself rather than share it out: about what that costs.
const READER_RUNS_NANOS: u64 = 20_000;

/// What the two threads share that read a ring in turns.
pub(super) struct RingReader {
    worker: Arc<Worker>,
    inbox: Mutex<Inbox>,
    /// Whether the thread that reads runs a task itself meanwhile.
    reader_runs: AtomicBool,
    /// How many tasks it has begun.
    runs: AtomicU64,
    /// What it will run next.
    ready: Mutex<VecDeque<Call>>,
    /// How long its tasks take, averaged over the last few batches.
    mean_nanos: AtomicU64,
    watch: Watch,
}

/// What a batch of messages leaves to be done.
enum Next {
    Read,
    /// Few calls, or short ones: the thread that read them may run them, which saves the time to wake another.
    Run(VecDeque<Call>),
    End,
}

impl RingReader {
    /// Starts the thread that stands by.
    ///
    /// # Errors
    /// Where the system has no thread.
    pub(super) fn start(worker: Arc<Worker>, receiver: Receiver) -> io::Result<Arc<Self>> {
        let reader = Arc::new(Self {
            worker,
            inbox: Mutex::new(Inbox::new(receiver)),
            reader_runs: AtomicBool::new(false),
            runs: AtomicU64::new(0),
            ready: Mutex::default(),
            mean_nanos: AtomicU64::new(0),
            watch: Watch::default(),
        });
        let standing_by = reader.clone();
        std::thread::Builder::new().name("rayline-stand-by".into()).spawn(move || standing_by.stand_by())?;
        Ok(reader)
    }

    fn lock_inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads messages until there will be none, on the process's first thread.
    ///
    /// # Errors
    /// What is wrong with the driver, in words.
    pub(super) fn read(&self) -> Result<(), String> {
        loop {
            let mut inbox = self.lock_inbox();
            if inbox.receiver.wait(SPIN, None) == Wait::Closed {
                return Ok(());
            }
            match self.receive(&mut inbox)? {
                Next::Read => {}
                Next::End => return Ok(()),
                Next::Run(calls) => {
                    *self.lock_ready() = calls;
                    self.reader_runs.store(true, Ordering::SeqCst);
                    // What comes meanwhile is for the thread that stands by.
                    if self.watch.polls() {
                        inbox.receiver.step_down();
                    }
                    drop(inbox);
                    self.run_ready();
                    self.reader_runs.store(false, Ordering::SeqCst);
                }
            }
        }
    }

    /// Runs the calls that are the reader's, but for those that the thread that stands by takes away meanwhile.
    fn run_ready(&self) {
        let (begin, mut runs) = (Instant::now(), 0);
        while let Some(call) = self.pop_ready() {
            self.runs.fetch_add(1, Ordering::SeqCst);
            call.call(());
            runs += 1;
        }
        let each = begin.elapsed().as_nanos() as u64 / runs.max(1);
        let mean = self.mean_nanos.load(Ordering::Relaxed);
        self.mean_nanos.store(mean - mean / 8 + each / 8, Ordering::Relaxed);
    }

    fn lock_ready(&self) -> MutexGuard<'_, VecDeque<Call>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop_ready(&self) -> Option<Call> {
        self.lock_ready().pop_front()
    }

    /// Reads messages while the reader runs a task.
    fn stand_by(&self) {
        let sleeper = self.lock_inbox().receiver.sleeper();
        let (mut looks, mut period, mut seen) = (Looks::default(), None, 0);
        while sleeper.sleep(period) != Wait::Closed {
            period = self.watch.next_sleep(&mut looks);
            // A task that took no longer than a period is over, and its successor another.
            let run = self.runs.load(Ordering::SeqCst);
            if !self.reader_runs.load(Ordering::SeqCst) || std::mem::replace(&mut seen, run) != run {
                std::thread::yield_now();
                continue;
            }
            let mut inbox = self.lock_inbox();
            share_out(std::mem::take(&mut *self.lock_ready()));
            match self.receive(&mut inbox) {
                Ok(Next::Read) => {}
                Ok(Next::Run(calls)) => share_out(calls),
                Ok(Next::End) | Err(_) => {
                    // The reader finds the ring closed when its task has ended.
                    inbox.receiver.close();
                    return;
                }
            }
            inbox.receiver.step_down();
        }
    }

    fn receive(&self, inbox: &mut Inbox) -> Result<Next, String> {
        let (mut messages, mut calls) = (Vec::new(), VecDeque::new());
        let received = inbox.receive(|header, body| messages.push((header, body)));
        received.map_err(|Garbled| "the driver sent what can't be read")?;
        for (header, body) in messages {
            match self.worker.take(header, body)? {
                Told::Done => {}
                Told::Run(call) => calls.push_back(call),
                Told::End => return Ok(Next::End),
            }
        }
        let are_all = self.worker.running() == calls.len();
        let nanos = self.mean_nanos.load(Ordering::Relaxed) * calls.len() as u64;
        // What waits behind a call that takes long after all is taken away by the thread on watch.
        let are_few = calls.len() == 1 || (nanos <= READER_RUNS_NANOS && !self.watch.polls());
        if are_all && are_few {
            return Ok(Next::Run(calls));
        }
        share_out(calls);
        Ok(Next::Read)
    }
}
