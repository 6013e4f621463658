//! A worker process: runs what its driver sends, until the driver closes the ring or is gone.

use super::calls::{Answered, Calls, Waiting};
use super::fetcher::Fetcher;
use super::held::Held;
use super::lane::Given;
use super::lent::{Lent, Upstream};
use super::lives::{Actors, LifeId};
use super::node_reader::{self, Joined, Posting};
use super::relay::relay;
use super::reply::{Answering, Reply};
use super::ring_reader::RingReader;
use super::values::{Release, Value, names_ref};
use super::wire::{Haste, Header, Kind, Outlet};
use super::{FEW, RING};
use crate::config::Config;
use crate::context::{Assigned, Cancellation, assigned};
use crate::control::Run;
use crate::error::Error;
use crate::refs::{self, Asked, ProcessId};
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
use std::any::Any;
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
    /// Its name among all processes.
    pub(crate) process: ProcessId,
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
pub(crate) struct Worker {
    pub(super) outlet: Arc<Outlet>,
    /// From the driver's first message on.
    runtime: Mutex<Option<crate::Runtime>>,
    /// From then on, too.
    pub(super) upstream: OnceLock<Upstream>,
    running: Mutex<HashMap<u64, Arc<Cancellation>>>,
    /// Calls of methods that have no answer yet.
    methods: AtomicUsize,
    pub(super) actors: Actors,
    pub(super) held: Held,
    /// What it has asked its driver.
    asks: Mutex<Calls>,
    /// Reads large values and arguments.
    pub(super) fetcher: Arc<Fetcher>,
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
            outlet: Arc::new(outlet),
            runtime: Mutex::new(None),
            upstream: OnceLock::new(),
            running: Mutex::default(),
            methods: AtomicUsize::new(0),
            actors: Actors::default(),
            held: Held::default(),
            asks: Mutex::default(),
            fetcher: Arc::default(),
        })
    }

    fn lock_asks(&self) -> MutexGuard<'_, Calls> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to large buffers of others.
    pub(crate) fn lend(&self) -> Lent<'_> {
        self.upstream.get().expect("it comes after the greeting").lend()
    }

    /// Asks the driver something of what it has referred to.
    pub(crate) fn ask(&self, asked: Asked, call: Box<dyn Waiting>) -> u64 {
        let asked = encode(&asked).expect("numbers can be encoded");
        let (function, args) = (call.packed().function.0, call.packed().args.clone());
        let number = self.lock_asks().add(call);
        let given_bytes = asked.len() as u32;
        let header = Header { function, given_bytes, ..Header::new(Kind::Ask, number) };
        // Without its driver this process ends.
        let _ = self.outlet.send(header, [&args, &asked], Haste::Now);
        number
    }

    /// Has the driver let go what it gave, or keeps, for an answer.
    pub(crate) fn release(&self, call: u64) {
        let _ = self.outlet.send(Header::new(Kind::Release, call), [&[], &[]], Haste::Now);
    }

    /// The driver has answered.
    fn answered(self: &Arc<Self>, header: Header, body: Region) {
        let release = || Release { outlet: self.outlet.clone(), call: header.call, node: runtime::node() };
        let answered = Answered::of(header, body, |body| Value::lent(body, self, release));
        let Some(call) = self.lock_asks().remove(header.call) else { return };
        answered.hand_to(call, &self.fetcher);
    }

    /// The driver asks for something that it was given a reference to.
    fn asked(self: &Arc<Self>, header: Header, body: &Region) {
        let (args, asked) = header.split(body);
        refs::serve(decode_copied(asked), FunctionId(header.function), args, Reply::new(self.clone(), header.call));
    }

    fn introduced(&self, body: &Region) {
        if let (Some(Upstream::Spans(spans)), Ok(other)) = (self.upstream.get(), decode::<Joined>(body)) {
            spans.introduce(other.peer, other.address);
        }
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
            Kind::Peer => self.introduced(&body),
            Kind::Ask => self.asked(header, &body),
            Kind::Value | Kind::Failed | Kind::Died | Kind::NotBegun => self.answered(header, body),
            Kind::Joined | Kind::LifeEnded | Kind::Saved => return Err("the driver sent what workers send".into()),
        }
        Ok(Told::Done)
    }

    fn start(self: &Arc<Self>, hello: &Region) -> Result<(), String> {
        let hello: Hello = decode(hello).map_err(|error| error.to_string())?;
        if hello.fingerprint != registry::fingerprint() {
            return Err("the driver runs another program: its tasks have other names".into());
        }
        self.upstream.get_or_init(|| Upstream::inherit(hello.number));
        refs::hired(hello.process, self.clone());
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
        let (header, body) = Header::of_answer(call, answer);
        // Objects of the driver's store are the driver's already.
        let are_spans = matches!(self.upstream.get(), Some(Upstream::Spans(_)));
        if are_spans || names_ref(&body) {
            self.held.keep(call, &body);
        }
        // A driver that is gone needs no answer: this process ends, too.
        let _ = self.outlet.send(header, [&body, &[]], haste);
    }
}

/// It answers calls of methods, and what the driver asks.
impl Answering for Worker {
    fn begin(&self) {
        self.methods.fetch_add(1, Ordering::Relaxed);
    }

    fn answer(&self, call: u64, answer: Answer) {
        self.methods.fetch_sub(1, Ordering::Relaxed);
        Worker::answer(self, call, answer);
    }

    fn lend(&self) -> Lent<'_> {
        Worker::lend(self)
    }

    fn keep(&self, call: u64, thing: Box<dyn Any + Send>) {
        self.held.keep_thing(call, thing);
    }

    fn save(&self, life: LifeId, saved: &Region) {
        Worker::save(self, life, saved);
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
        let lent = worker.lend();
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
