//! The control thread: the driver loop of the three machines of an embedded runtime.
//!
//! ```text
//!  submitters, workers -- Command --> [ queue ] --> Driver: Owner, Node, Controller (messages in process)
//!                                                     |  actions
//!                                                     v
//!                                   pool (how many threads), leased tasks, actors, groups
//! ```
//! It decides nothing: commands become events, actions become calls. Nothing of the fast path comes through here.

mod command;
mod driver;
mod failure;
mod leased;
mod mail;
mod threads;

use crate::actor::Host;
use crate::error::{Error, ErrorKind, Result};
use crate::group::{BundleRef, Progress};
use crate::process::{Crew, Fleet, Greeter, Hello, Spans, Values};
use crate::session::{Ends, Membership, Staff, receive};
pub(crate) use command::Arrival;
use command::Command;
use driver::Driver;
pub(crate) use leased::{Body, Leased, LeasedTask, Packed, Run, Turn, tell_ended};
use rayline_core::controller::{ActorSpec, Strategy};
use rayline_core::ids::{ActorId, Attempt, GroupId, LeaseId, NodeId, ObjectId, TaskId};
use rayline_core::resources::{Capacity, Demand};
use rayline_exec::Pool;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

/// The way to the control thread.
pub(crate) struct Control {
    commands: Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// How worker processes are set up.
    hello: Hello,
    /// The large buffers that go there.
    values: Arc<Values>,
    /// From the first process on.
    fleet: OnceLock<Fleet>,
}

impl Control {
    /// Sets the machines up, and starts their thread.
    pub(crate) fn start(pool: Pool, capacity: Capacity, hello: Hello) -> Self {
        let mut driver = Driver::embedded(pool, capacity);
        driver.begin(hello.cpus);
        let values = Values::new(hello.object_store_bytes);
        Self::run(driver, hello, values, channel())
    }

    /// Sets up what an owner in a cluster needs, and starts its threads. `crew` will have the workers.
    pub(crate) fn start_in(pool: Pool, membership: Membership, hello: Hello, crew: Arc<Crew>) -> Self {
        let Membership { tcp, post, events, place, owner, home, nodes, dead_owners, head_life, program } = membership;
        let ends = Arc::<Ends>::default();
        let values = Values::of_cluster(Spans::of_driver(&tcp));
        let staff = Staff::new((tcp, post), (owner, place), program, crew, ends.clone());
        let (commands, queue) = channel();
        let (told, greeter) = (commands.clone(), Greeter { hello: hello.clone(), values: values.clone() });
        let tell = move |arrival| {
            // Fails after `stop` only, when nobody minds.
            let _ = told.send(Command::Arrival(arrival));
        };
        let listen = move || receive(events, &greeter, &ends, tell);
        let listening = std::thread::Builder::new().name("rayline-post".into()).spawn(listen);
        listening.expect("the process may start a thread");
        let mut driver = Driver::of_cluster(pool, staff, (owner, home), head_life);
        driver.begin_in_cluster(nodes, dead_owners);
        // What nodes read of it they read by spans: no memory is shared with them.
        let hello = Hello { object_store_bytes: 0, ..hello };
        Self::run(driver, hello, values, (commands, queue))
    }

    fn run(
        driver: Driver,
        hello: Hello,
        values: Arc<Values>,
        (commands, queue): (Sender<Command>, Receiver<Command>),
    ) -> Self {
        let thread = std::thread::Builder::new().name("rayline-control".into()).spawn(move || driver.run(queue));
        let thread = Mutex::new(Some(thread.expect("the process may start a thread")));
        Self { commands, thread, hello, values, fleet: OnceLock::new() }
    }

    /// Starts an attempt in a worker process.
    pub(crate) fn run_apart(&self, task: Arc<dyn Leased>, run: Run) {
        self.fleet().run(task, run);
    }

    fn fleet(&self) -> &Fleet {
        self.fleet.get_or_init(|| Fleet::start(self.hello.clone(), self.values.clone()))
    }

    /// Starts processes for plain tasks.
    ///
    /// # Errors
    /// What the system says where it can't start one.
    pub(crate) fn start_crew(&self, processes: usize) -> std::io::Result<Arc<Crew>> {
        self.fleet().crew(processes)
    }

    /// How many threads the fast path may have, while nobody else needs their CPUs.
    pub(crate) fn set_executors(&self, count: u32) {
        self.send(Command::SetExecutors(count));
    }

    /// Lets isolated tasks end, and ends the worker processes.
    pub(crate) fn stop_fleet(&self) {
        if let Some(fleet) = self.fleet.get() {
            fleet.stop();
        }
        self.values.close();
    }

    /// The large buffers that go between this process and its workers.
    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// Something has come from a worker.
    pub(crate) fn arrived(&self, arrival: Arrival) {
        self.send(Command::Arrival(arrival));
    }

    /// A task of the driver's begins or ends here, on a lease of its own.
    pub(crate) fn guest(&self, begins: bool) {
        self.send(Command::Guest { begins });
    }

    fn send(&self, command: Command) {
        // Fails after `stop` only; what the command holds is dropped, and promises in it end.
        let _ = self.commands.send(command);
    }

    /// Sends a command and waits until it was carried out.
    fn ask<R>(&self, command: impl FnOnce(std::sync::mpsc::SyncSender<R>) -> Command) -> Option<R> {
        let (reply, answer) = sync_channel(1);
        self.send(command(reply));
        rayline_exec::blocking(|| answer.recv().ok())
    }

    /// The pool has come down to its target.
    pub(crate) fn shrunk(&self) {
        self.send(Command::Shrunk);
    }

    /// The holder of a lease blocks, or goes on.
    pub(crate) fn lend(&self, lease: LeaseId, blocks: bool) {
        self.send(Command::Lend { lease, blocks });
    }

    pub(crate) fn cancel(&self, task: TaskId) {
        self.send(Command::Cancel(task));
    }

    /// A task that the fast path has run: its value stays on `node`. `retries` are left to make it again.
    pub(crate) fn adopt(
        &self,
        task: TaskId,
        recipe: Arc<dyn Leased>,
        (args, retries): (Vec<ObjectId>, u32),
        node: NodeId,
    ) {
        self.send(Command::Adopt { task, recipe, args, retries, node });
    }

    /// Nobody here refers to an object that is elsewhere any more.
    pub(crate) fn drop_ref(&self, object: ObjectId) {
        self.send(Command::DropRef(object));
    }

    /// What an attempt made can't be read from the node where it was.
    /// Whether there is anybody to hear of it.
    pub(crate) fn object_lost(&self, object: ObjectId, node: NodeId, attempt: Attempt) -> bool {
        self.commands.send(Command::ObjectLost { object, node, attempt }).is_ok()
    }

    /// A leased task that rests goes on; nothing where it doesn't rest.
    pub(crate) fn wake(&self, task: TaskId) {
        self.send(Command::Wake(task));
    }

    pub(crate) fn create_actor(&self, host: Arc<dyn Host>, spec: ActorSpec, bundle: Option<BundleRef>) {
        self.send(Command::CreateActor { host, spec, bundle });
    }

    pub(crate) fn kill_actor(&self, actor: ActorId, restart: bool) {
        self.send(Command::KillActor { actor, restart });
    }

    pub(crate) fn actor_event(&self, event: rayline_core::controller::Event) {
        self.send(Command::ActorEvent(event));
    }

    /// The live actor of that name.
    pub(crate) fn named_actor(&self, name: &str) -> Option<Arc<dyn Host>> {
        self.ask(|reply| Command::NamedActor { name: name.to_owned(), reply }).flatten()
    }

    /// Creates an actor, or finds the live one of its name: that one's host.
    ///
    /// # Errors
    /// [`ErrorKind::Infeasible`], [`ErrorKind::ActorRefused`], [`ErrorKind::Shutdown`].
    pub(crate) fn get_or_create(
        &self,
        host: Arc<dyn Host>,
        spec: ActorSpec,
        bundle: Option<BundleRef>,
    ) -> Result<Arc<dyn Host>> {
        let answer = self.ask(|reply| Command::GetOrCreate { host, spec, bundle, reply });
        answer.unwrap_or_else(|| Err(Error::new(ErrorKind::Shutdown)))
    }

    pub(crate) fn reserve(&self, group: GroupId, bundles: Vec<Demand>, strategy: Strategy, progress: Arc<Progress>) {
        self.ask(|reply| Command::Reserve { group, bundles, strategy, progress, reply });
    }

    pub(crate) fn remove_group(&self, group: GroupId) {
        self.send(Command::RemoveGroup(group));
    }

    /// Ends all actors and all leased tasks that don't run.
    pub(crate) fn close(&self) {
        self.ask(Command::Close);
    }

    /// Ends the control thread.
    pub(crate) fn stop(&self) {
        self.send(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(thread) = thread {
            thread.join().expect("the control thread doesn't panic");
        }
    }
}

/// Hands a task to the owner.
pub(crate) fn submit(task: Arc<dyn Leased>, demand: Demand, bundle: Option<BundleRef>, retries: u32) {
    submit_after(task, Vec::new(), demand, bundle, retries);
}

/// The same, for one whose arguments are partly elsewhere.
pub(crate) fn submit_after(
    task: Arc<dyn Leased>,
    args: Vec<ObjectId>,
    demand: Demand,
    bundle: Option<BundleRef>,
    retries: u32,
) {
    crate::runtime::control().send(Command::Submit { task, args, demand, bundle, retries });
}
