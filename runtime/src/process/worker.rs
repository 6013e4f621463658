//! A worker process: runs what its driver sends, until the driver closes the ring or is gone.

use super::held::Held;
use super::lane::Given;
use super::lent::Upstream;
use super::lives::Actors;
use super::node_reader::{self, Posting};
use super::relay::relay;
use super::ring_reader::RingReader;
use super::wire::{Haste, Header, Kind, Outlet};
use super::{FEW, RING};
use crate::config::Config;
use crate::context::{Assigned, Cancellation, assigned};
use crate::control::Run;
use crate::error::Error;
use crate::registry::{self, Answer, Entry, FunctionId};
use crate::runtime;
use crate::task::Unwatched;
use rayline_core::ids::{Attempt, LeaseId, TaskId};
use rayline_core::resources::Grant;
use rayline_exec::Function;
use rayline_store::{Region, decode, decode_copied, encode};
use rayline_transport::ring::{self, Pair};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::io::{Write, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

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

/// Runs calls until the driver dismisses the process or its connection ends.
fn serve() -> Result<(), String> {
    if std::env::var_os(Posting::VARIABLE).is_some() {
        return node_reader::serve();
    }
    let file = ring::inherited(RING).map_err(|error| error.to_string())?;
    let Pair { sender, receiver, .. } = Pair::open(file).map_err(|error| error.to_string())?;
    let worker = Worker::new(Outlet::ring(sender));
    RingReader::start(worker.clone(), receiver).map_err(|error| error.to_string())?.read()?;
    worker.end();
    Ok(())
}

/// What the threads of a worker process share.
pub(super) struct Worker {
    pub(super) outlet: Outlet,
    /// From the driver's first message on.
    runtime: Mutex<Option<crate::Runtime>>,
    /// From then on, too.
    pub(super) upstream: OnceLock<Upstream>,
    running: Mutex<HashMap<u64, Arc<Cancellation>>>,
    /// Calls of methods that have no answer yet.
    pub(super) methods: AtomicUsize,
    pub(super) actors: Actors,
    pub(super) held: Held,
}

/// What a message leaves to be done.
#[expect(clippy::large_enum_variant, reason = "nearly all messages are calls")]
pub(super) enum Told {
    /// Nothing more.
    Done,
    /// A call to be run.
    Run(Call),
    /// The driver lets the process go.
    End,
}

impl Worker {
    pub(super) fn new(outlet: Outlet) -> Arc<Self> {
        Arc::new(Self {
            outlet,
            runtime: Mutex::new(None),
            upstream: OnceLock::new(),
            running: Mutex::default(),
            methods: AtomicUsize::new(0),
            actors: Actors::default(),
            held: Held::default(),
        })
    }

    fn lock_running(&self) -> MutexGuard<'_, HashMap<u64, Arc<Cancellation>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tasks have no answer yet.
    pub(super) fn running(&self) -> usize {
        self.lock_running().len()
    }

    /// Lets running tasks end, and answer.
    pub(super) fn end(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(runtime);
    }

    /// Takes a message.
    ///
    /// # Errors
    /// What is wrong with the driver, in words.
    pub(super) fn take(self: &Arc<Self>, header: Header, body: Region) -> Result<Told, String> {
        match header.kind {
            Kind::Hello => self.start(&body)?,
            Kind::Run => match Call::new(self.clone(), header, body) {
                Ok(call) if header.flag => relay(call),
                Ok(call) => {
                    if call.is_guest() {
                        runtime::control().guest(true);
                    }
                    return Ok(Told::Run(call));
                }
                Err(error) => self.answer(header.call, Answer::Failed { error, retryable: false }),
            },
            Kind::Cancel => self.cancel(header.call),
            Kind::Threads => runtime::control().set_executors(header.function),
            Kind::Dismiss => return Ok(Told::End),
            Kind::Create => self.create(header, body),
            Kind::Method => self.call_method(header, &body),
            Kind::Stop => self.stop_actor(&body),
            Kind::Release => self.held.release(header.call),
            Kind::Joined | Kind::Value | Kind::Failed | Kind::Died | Kind::NotBegun | Kind::LifeEnded | Kind::Saved => {
                return Err("the driver sent an answer".into());
            }
        }
        Ok(Told::Done)
    }

    fn start(&self, hello: &Region) -> Result<(), String> {
        let hello: Hello = decode(hello).map_err(|error| error.to_string())?;
        if hello.fingerprint != registry::fingerprint() {
            return Err("the driver runs another program: its tasks have other names".into());
        }
        self.upstream.get_or_init(|| Upstream::inherit(hello.number));
        let config = Config::default().cpus(hello.cpus).threads_max(hello.threads_max).stack(hello.stack_bytes);
        let runtime = crate::init_with(config.object_store(hello.object_store_bytes).embedded());
        let runtime = runtime.map_err(|error| error.to_string())?;
        *self.runtime.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime);
        Ok(())
    }

    fn cancel(&self, call: u64) {
        let cancellation = self.lock_running().get(&call).cloned();
        if let Some(cancellation) = cancellation {
            cancellation.tell();
        }
    }

    pub(super) fn answer(&self, call: u64, answer: Answer) {
        let mut running = self.lock_running();
        running.remove(&call);
        let due = running.len() + self.methods.load(Ordering::Relaxed);
        let haste = if due < FEW { Haste::Now } else { Haste::Soon };
        drop(running);
        let (header, body) = match answer {
            Answer::Value(value) => {
                if let Some(Upstream::Spans(_)) = self.upstream.get() {
                    self.held.keep(call, &value);
                }
                (Header::new(Kind::Value, call), value)
            }
            Answer::Failed { error, retryable } => {
                let error = encode(&error).expect("an error is names, numbers and words");
                (Header { flag: retryable, ..Header::new(Kind::Failed, call) }, error)
            }
            Answer::NotBegun => (Header::new(Kind::NotBegun, call), Region::copy_of(&[])),
            Answer::Died(how) => (Header::new(Kind::Died, call), encode(&how).expect("a text can be encoded")),
        };
        // A driver that is gone needs no answer: this process ends, too.
        let _ = self.outlet.send(header, [&body, &[]], haste);
    }
}

/// Has the process's threads run the calls.
pub(super) fn share_out(calls: VecDeque<Call>) {
    if calls.is_empty() {
        return;
    }
    let pool = runtime::pool();
    calls.into_iter().for_each(|call| drop(pool.submit((), call)));
}

/// One attempt of a task.
pub(super) struct Call {
    pub(super) worker: Arc<Worker>,
    pub(super) header: Header,
    pub(super) entry: &'static Entry,
    pub(super) args: Region,
    pub(super) run: Run,
    given: Arc<Assigned>,
}

impl Call {
    fn new(worker: Arc<Worker>, header: Header, body: Region) -> Result<Self, Error> {
        let entry = registry::entry(FunctionId(header.function)).ok_or_else(Error::unregistered)?;
        let (args, given) = header.split(&body);
        let attempt = Attempt(header.attempt);
        let run = if given.is_empty() {
            // A plain task: it holds what the thread does that it runs on.
            let task = TaskId { owner: runtime::owner(), seq: header.call };
            Run { task, attempt, lease: LeaseId { node: runtime::node(), seq: 0 }, grant: Grant::default() }
        } else {
            let unreadable = |error| Error::codec(entry.name, "lease", error);
            let Given { task, lease, grant } = decode_copied(given).map_err(unreadable)?;
            Run { task, attempt, lease, grant }
        };
        let cancellation = Arc::<Cancellation>::default();
        worker.lock_running().insert(header.call, cancellation.clone());
        let given = Arc::new(run.assigned(entry.name, &cancellation));
        Ok(Self { worker, header, entry, args, run, given })
    }

    /// Whether it has a lease of its node, beside the threads for plain tasks.
    fn is_guest(&self) -> bool {
        self.header.given_bytes > 0
    }

    /// Which task it is of.
    pub(super) fn function(&self) -> FunctionId {
        FunctionId(self.header.function)
    }

    /// What tells it that it was cancelled.
    pub(super) fn cancellation(&self) -> &Arc<Cancellation> {
        &self.given.cancellation
    }
}

impl Function<()> for Call {
    type Outcome = Unwatched;
    const NAME: &'static str = "isolated task";

    fn call(self, (): ()) -> Unwatched {
        let Self { worker, header, entry, args, given, .. } = self;
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
        if header.given_bytes > 0 {
            runtime::control().guest(false);
        }
        if matches!(answer, Answer::Value(_)) {
            lent.give_away();
        }
        worker.answer(header.call, answer);
        Unwatched
    }
}
