//! A worker process: runs what its driver sends, until the driver closes the ring or is gone.

use super::lane::Given;
use super::lent::Upstream;
use super::watch::{Looks, Watch};
use super::wire::{Garbled, Header, Inbox, Kind, Outlet};
use super::{RING, SPIN};
use crate::config::Config;
use crate::context::{Assigned, Cancellation, assigned};
use crate::control::Run;
use crate::error::Error;
use crate::registry::{self, Answer, Entry, FunctionId};
use crate::runtime::{self, NODE, OWNER};
use crate::task::Unwatched;
use rayline_core::ids::{Attempt, LeaseId, TaskId};
use rayline_core::resources::Grant;
use rayline_exec::Function;
use rayline_store::{Region, decode, decode_copied, encode};
use rayline_transport::ring::{self, Pair, Wait};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::io::{Write, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// What a worker is told first.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) fingerprint: u64,
    pub(crate) cpus: u32,
    pub(crate) threads_max: usize,
    pub(crate) stack_bytes: usize,
    pub(crate) object_store_bytes: u64,
    /// Which of its driver's processes it is, from 1.
    pub(crate) number: u64,
}

/// The body of a worker process. `is_wanted` tells whether its driver is still there.
pub(super) fn main(is_wanted: impl Fn() -> bool) -> ! {
    // The signal comes when the thread ends that started this process: one that outlives its workers.
    let died_first = set_parent_process_death_signal(Some(Signal::KILL)).is_err() || !is_wanted();
    if died_first {
        exit(0);
    }
    match serve() {
        Ok(()) => exit(0),
        Err(why) => {
            let _ = writeln!(stderr(), "rayline worker: {why}");
            exit(70)
        }
    }
}

/// Runs calls until the driver dismisses the process or closes the ring.
fn serve() -> Result<(), String> {
    let file = ring::inherited(RING).map_err(|error| error.to_string())?;
    let Pair { sender, receiver, .. } = Pair::open(file).map_err(|error| error.to_string())?;
    let worker = Arc::new(Worker {
        outlet: Outlet::new(sender),
        inbox: Mutex::new(Inbox::new(receiver)),
        runtime: Mutex::new(None),
        upstream: OnceLock::new(),
        running: Mutex::default(),
        reader_runs: AtomicBool::new(false),
        runs: AtomicU64::new(0),
        ready: Mutex::default(),
        mean_nanos: AtomicU64::new(0),
        watch: Watch::default(),
    });
    let standing_by = worker.clone();
    let stand_by = std::thread::Builder::new().name("rayline-stand-by".into());
    stand_by.spawn(move || standing_by.stand_by()).map_err(|error| error.to_string())?;
    worker.clone().read()?;
    // Running tasks end, and answer.
    drop(worker.lock_runtime().take());
    Ok(())
}

/// What the threads of a worker process share.
struct Worker {
    outlet: Outlet,
    inbox: Mutex<Inbox>,
    /// From the driver's first message on.
    runtime: Mutex<Option<crate::Runtime>>,
    /// From then on, too.
    upstream: OnceLock<Upstream>,
    running: Mutex<HashMap<u64, Arc<Cancellation>>>,
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

/// As much work as the reader takes on itself rather than share it out: about what that costs.
const READER_RUNS_NANOS: u64 = 20_000;

impl Worker {
    fn lock_inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_runtime(&self) -> MutexGuard<'_, Option<crate::Runtime>> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_running(&self) -> MutexGuard<'_, HashMap<u64, Arc<Cancellation>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads messages, on the process's first thread.
    fn read(self: Arc<Self>) -> Result<(), String> {
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
    fn stand_by(self: Arc<Self>) {
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

    fn receive(self: &Arc<Self>, inbox: &mut Inbox) -> Result<Next, String> {
        let (mut messages, mut calls, mut end) = (Vec::new(), VecDeque::new(), false);
        let received = inbox.receive(|header, body| messages.push((header, body)));
        received.map_err(|Garbled| "the driver sent what can't be read")?;
        for (header, body) in messages {
            match header.kind {
                Kind::Hello => self.start(&body)?,
                Kind::Run => match Call::new(self.clone(), header, body) {
                    Ok(call) => calls.push_back(call),
                    Err(error) => self.answer(header.call, Answer::Failed { error, retryable: false }),
                },
                Kind::Cancel => self.cancel(header.call),
                Kind::Threads => runtime::control().set_executors(header.function),
                Kind::Dismiss => end = true,
                Kind::Value | Kind::Failed => return Err("the driver sent an answer".into()),
            }
        }
        if end {
            return Ok(Next::End);
        }
        let are_all = self.lock_running().len() == calls.len();
        let nanos = self.mean_nanos.load(Ordering::Relaxed) * calls.len() as u64;
        // What waits behind a call that takes long after all is taken away by the thread on watch.
        let are_few = calls.len() == 1 || (nanos <= READER_RUNS_NANOS && !self.watch.polls());
        if are_all && are_few {
            return Ok(Next::Run(calls));
        }
        share_out(calls);
        Ok(Next::Read)
    }

    fn start(&self, hello: &Region) -> Result<(), String> {
        let hello: Hello = decode(hello).map_err(|error| error.to_string())?;
        if hello.fingerprint != registry::fingerprint() {
            return Err("the driver runs another program: its tasks have other names".into());
        }
        self.upstream.get_or_init(|| Upstream::inherit(hello.number));
        let config = Config::default().cpus(hello.cpus).threads_max(hello.threads_max).stack(hello.stack_bytes);
        let runtime = crate::init_with(config.object_store(hello.object_store_bytes));
        *self.lock_runtime() = Some(runtime.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn cancel(&self, call: u64) {
        let cancellation = self.lock_running().get(&call).cloned();
        if let Some(cancellation) = cancellation {
            cancellation.tell();
        }
    }

    fn answer(&self, call: u64, answer: Answer) {
        self.lock_running().remove(&call);
        let (header, body) = match answer {
            Answer::Value(value) => (Header::new(Kind::Value, call), value),
            Answer::Failed { error, retryable } => {
                let error = encode(&error).expect("an error is names, numbers and words");
                (Header { flag: retryable, ..Header::new(Kind::Failed, call) }, error)
            }
        };
        // A driver that is gone needs no answer: this process ends, too.
        let _ = self.outlet.send(header, [&body, &[]]);
    }
}

/// Has the process's threads run the calls.
fn share_out(calls: VecDeque<Call>) {
    let pool = runtime::pool();
    calls.into_iter().for_each(|call| drop(pool.submit((), call)));
}

/// One attempt of a task.
struct Call {
    worker: Arc<Worker>,
    header: Header,
    entry: &'static Entry,
    args: Region,
    given: Arc<Assigned>,
}

impl Call {
    fn new(worker: Arc<Worker>, header: Header, body: Region) -> Result<Self, Error> {
        let entry = registry::entry(FunctionId(header.function)).ok_or_else(Error::unregistered)?;
        let (args, given) = body.split_at(body.len() - header.given_bytes as usize);
        let attempt = Attempt(header.attempt);
        let run = if given.is_empty() {
            // A plain task: it holds what the thread does that it runs on.
            let task = TaskId { owner: OWNER, seq: header.call };
            Run { task, attempt, lease: LeaseId { node: NODE, seq: 0 }, grant: Grant::default() }
        } else {
            let unreadable = |error| Error::codec(entry.name, "lease", error);
            let Given { task, lease, grant } = decode_copied(given).map_err(unreadable)?;
            Run { task, attempt, lease, grant }
        };
        let args = body.slice(..args.len()).expect("it begins where the body does");
        let cancellation = Arc::<Cancellation>::default();
        worker.lock_running().insert(header.call, cancellation.clone());
        let given = Arc::new(run.assigned(entry.name, &cancellation));
        Ok(Self { worker, header, entry, args, given })
    }
}

impl Function<()> for Call {
    type Outcome = Unwatched;
    const NAME: &'static str = "isolated task";

    fn call(self, (): ()) -> Unwatched {
        let Self { worker, header, entry, args, given } = self;
        let lent = worker.upstream.get().expect("a call comes after the greeting").lend();
        let run = || match entry.run {
            Some(run) => assigned(&given, || run(&args, header.attempt, &lent)),
            None => Answer::Failed { error: Error::unregistered(), retryable: false },
        };
        // The task's own panics are caught within; these are of how its values are encoded.
        let answer = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Answer::Failed {
            error: Error::panicked(entry.name, header.attempt, &*payload),
            retryable: false,
        });
        drop(args);
        if matches!(answer, Answer::Value(_)) {
            lent.give_away();
        }
        worker.answer(header.call, answer);
        Unwatched
    }
}
