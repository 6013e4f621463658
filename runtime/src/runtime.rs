//! The runtime of this process: one at a time, embedded.

use crate::config::Config;
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::process::{Crew, Hello};
use crate::session::{self, Membership};
use crate::{context, io, registry};
use rayline_core::ids::{NodeId, OwnerId};
use rayline_exec::{Current, Look, Pool, PoolOptions, Published, blocking};
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// The node that this process runs on: 1 where it is embedded.
static NODE: AtomicU32 = AtomicU32::new(1);
/// The owner that this process is: 1 where it is embedded.
static OWNER: AtomicU32 = AtomicU32::new(1);

/// The runtime that submissions go to: none before the first, afterwards the last that was started.
static LIVE: Published<Live> = Published::nothing();
/// Held while a runtime starts or stops.
static SWITCH: Mutex<()> = Mutex::new(());

thread_local! {
    /// Whether this thread holds `SWITCH`: code of the user's that a shutdown runs, as a `drop`, must not wait for it.
    static SWITCHES: Cell<bool> = const { Cell::new(false) };
}

struct Live {
    pool: Pool,
    control: Control,
    cpus: usize,
    /// The processes that run plain tasks, in place of this one.
    crew: Option<Arc<Crew>>,
    is_of_cluster: bool,
    closed: AtomicBool,
}

/// Keeps the runtime running; dropping it shuts this runtime down, and no other.
#[must_use = "the runtime is shut down when this is dropped"]
pub struct Runtime(&'static Live);

/// Starts an embedded runtime with what the machine offers. Takes less than a millisecond; threads start as there is work.
///
/// Optional: the first submission starts one too, which then runs until [`shutdown`] or the end of the process.
///
/// # Errors
/// [`ErrorKind::AlreadyRunning`]; [`ErrorKind::Config`] where two tasks of the program have one name.
pub fn init() -> Result<Runtime> {
    init_with(Config::default())
}

/// As [`init`], set up by `config`.
///
/// # Errors
/// As for [`init`]; [`ErrorKind::Config`] where `config` makes no sense.
pub fn init_with(config: Config) -> Result<Runtime> {
    // A task's runtime isn't gone before the task is, though a shutdown may have begun that waits for it.
    if SWITCHES.get() || Current::job().is_some() {
        return Err(Error::new(ErrorKind::AlreadyRunning));
    }
    let _switch = lock_switch();
    if is_running() {
        return Err(Error::new(ErrorKind::AlreadyRunning));
    }
    start(config).map(Runtime)
}

/// Whether a runtime is running.
pub fn is_running() -> bool {
    LIVE.get().is_some_and(|live| !live.closed.load(Ordering::Acquire))
}

/// Shuts the runtime down, if one runs: lets running tasks end, and gives all others the error
/// [`ErrorKind::Shutdown`]; actors are dropped. Blocks until all its threads are gone, also where another thread has begun
/// it; called by a `drop` that the shutdown itself runs, does nothing.
///
/// # Panics
/// Inside a task, which would wait for itself; the runtime then goes on.
pub fn shutdown() {
    if let Some(live) = LIVE.get() {
        live.shutdown();
    }
}

impl Live {
    fn shutdown(&self) {
        assert!(
            Current::job().is_none(),
            "a task can't shut down the runtime that it runs in: it would wait for itself"
        );
        if SWITCHES.get() {
            return;
        }
        let _switch = lock_switch();
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.control.close();
        if let Some(crew) = self.crew.as_ref().filter(|_| self.is_of_cluster) {
            crew.end();
        }
        self.pool.shutdown();
        self.control.stop_fleet();
        self.control.stop();
    }
}

impl Runtime {
    /// What is in use of the object store, where large values of worker processes lie. `None` before the first such
    /// process, and where there is no store.
    pub fn object_store(&self) -> Option<rayline_store::shm::Usage> {
        self.0.control.values().usage()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.0.closed.load(Ordering::Acquire) { "shut down" } else { "running" };
        write!(f, "Runtime({state})")
    }
}

/// Blocks the thread until the future is ready. Tokio's timers and sockets work inside it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let alarm = Arc::new(Alarm { thread: std::thread::current(), rang: AtomicBool::new(false) });
    let waker = Waker::from(alarm.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        let mut polled = Poll::Pending;
        io::within(&mut || polled = future.as_mut().poll(&mut context));
        if let Poll::Ready(output) = polled {
            return output;
        }
        blocking(|| {
            while !alarm.rang.swap(false, Ordering::AcqRel) {
                std::thread::park();
            }
        });
    }
}

/// Wakes a thread that blocks on a future.
struct Alarm {
    thread: Thread,
    rang: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// The node that this process runs on, or belongs to.
pub(crate) fn node() -> NodeId {
    NodeId(NODE.load(Ordering::Relaxed))
}

/// The owner that this process is.
pub(crate) fn owner() -> OwnerId {
    OwnerId(OWNER.load(Ordering::Relaxed))
}

/// This process is a worker on a node of a cluster.
pub(crate) fn name_node(node: NodeId) {
    NODE.store(node.0, Ordering::Relaxed);
}

/// Whether this process is a driver of a cluster.
pub(crate) fn is_of_cluster() -> bool {
    live().is_of_cluster
}

/// The executor of the runtime, which is started if none ever was.
#[inline]
pub(crate) fn pool() -> Pool {
    live().pool
}

pub(crate) fn control() -> &'static Control {
    &live().control
}

/// Calls `f` with the control of the runtime, if there ever was one.
pub(crate) fn with_control(f: impl FnOnce(&'static Control)) {
    if let Some(live) = LIVE.get() {
        f(&live.control);
    }
}

/// The processes that run plain tasks, where there are any.
#[inline]
pub(crate) fn crew() -> Option<&'static Crew> {
    live().crew.as_deref()
}

/// So many CPUs are plain tasks' now.
pub(crate) fn tell_crew(cpus: u32) {
    // While the runtime starts each process has its share already.
    if let Some(crew) = LIVE.get().and_then(|live| live.crew.as_deref()) {
        crew.set_threads(cpus);
    }
}

/// A thread that waits takes the answers of worker processes itself.
fn look_at_crew(look: Look) {
    if let Some(crew) = LIVE.get().and_then(|live| live.crew.as_deref()) {
        crew.look(look);
    }
}

/// The CPU slot of an executor thread. Threads that stand in for blocked ones share the slots.
pub(crate) fn slot(worker: usize) -> u32 {
    (worker % live().cpus.max(1)) as u32
}

#[inline]
fn live() -> &'static Live {
    LIVE.get().unwrap_or_else(start_default)
}

#[cold]
fn start_default() -> &'static Live {
    let _switch = lock_switch();
    if let Some(live) = LIVE.get() {
        return live;
    }
    start(Config::default()).unwrap_or_else(|error| panic!("the runtime can't start: {error}"))
}

fn start(config: Config) -> Result<&'static Live> {
    if let Some(complaint) = registry::complaint() {
        return Err(Error::new(ErrorKind::Config(complaint)));
    }
    let capacity = config.capacity()?;
    let membership =
        config.cluster()?.map(|address| session::join(&address, config.secret_file.as_deref())).transpose()?;
    let cpus = config.cpu_count() as usize;
    let pool = Pool::new(PoolOptions {
        workers: cpus,
        threads_max: config.threads_max,
        stack_bytes: config.stack_bytes,
        spin: Duration::from_micros(50),
        thread_name: "rayline",
        on_shrunk: tell_shrunk,
        on_block: context::tell_blocked,
        poll_in: io::within,
    });
    let (fingerprint, object_store_bytes) = (registry::fingerprint(), config.object_store_bytes());
    let Config { threads_max, stack_bytes, processes, .. } = config;
    let (cpu_count, process) = (cpus as u32, crate::refs::this_process());
    let hello =
        Hello { fingerprint, cpus: cpu_count, threads_max, stack_bytes, object_store_bytes, number: 0, process };
    if let Some(membership) = membership {
        return Ok(start_in_cluster(pool, cpus, membership, hello));
    }
    let control = Control::start(pool, capacity, hello);
    let crew = (processes > 0).then(|| control.start_crew(processes)).transpose();
    let crew = crew.map_err(|error| {
        control.stop_fleet();
        control.stop();
        pool.shutdown();
        Error::new(ErrorKind::Config(format!("{processes} worker processes can't be started: {error}")))
    })?;
    if crew.is_some() {
        rayline_exec::look_outside(look_at_crew);
    }
    let closed = AtomicBool::new(false);
    Ok(LIVE.publish(Live { pool, control, cpus, crew, is_of_cluster: false, closed }))
}

fn start_in_cluster(pool: Pool, cpus: usize, membership: Membership, hello: Hello) -> &'static Live {
    OWNER.store(membership.owner.0, Ordering::Relaxed);
    NODE.store(membership.home.0, Ordering::Relaxed);
    let crew = Arc::new(Crew::of_nodes());
    let control = Control::start_in(pool, membership, hello, crew.clone());
    rayline_exec::look_outside(look_at_crew);
    let (crew, closed) = (Some(crew), AtomicBool::new(false));
    LIVE.publish(Live { pool, control, cpus, crew, is_of_cluster: true, closed })
}

/// The pool is down to its target. While a runtime starts nobody waits for that.
fn tell_shrunk() {
    if let Some(live) = LIVE.get() {
        live.control.shrunk();
    }
}

/// The right to start or stop a runtime.
struct Switch(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

fn lock_switch() -> Switch {
    let lock = SWITCH.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    SWITCHES.set(true);
    Switch(lock)
}

impl Drop for Switch {
    fn drop(&mut self) {
        SWITCHES.set(false);
    }
}
