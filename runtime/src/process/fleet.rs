//! The worker processes of a driver: the crew, which runs plain tasks, and one process for each isolated task that
//! runs; idle ones are used again.

use super::calls::{Answered, Waiting};
use super::crew::Crew;
use super::lane::{CancelCall, Given, Lane};
use super::launch::{Worker, launch};
use super::values::Values;
use super::worker::Hello;
use crate::control::{Leased, Packed, Run, tell_ended};
use crate::error::{Error, ErrorKind};
use rayline_store::encode;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an idle process is kept for the next task: to start one costs milliseconds.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// How long a process may take to end.
const END_MAX: Duration = Duration::from_secs(2);
/// How often the memory of processes with a bound is read.
const MEMORY_PERIOD: Duration = Duration::from_millis(100);

/// The way to the thread that starts worker processes, and lives as long as they do.
pub(crate) struct Fleet {
    requests: Sender<Request>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the fleet's thread is asked to do.
pub(super) enum Request {
    /// Runs one attempt of an isolated task.
    Run { task: Arc<dyn Leased>, run: Run },
    /// Starts a crew of so many processes.
    Crew { processes: usize, reply: Sender<io::Result<Arc<Crew>>> },
    /// A call for the crew, some of whose processes may have died.
    Again(Box<dyn Waiting>),
    /// The process of that number has answered its task.
    Free(u64),
    /// Lets running tasks end, and then all processes.
    Stop,
}

impl Fleet {
    /// Starts the thread, which starts processes as they are needed, each set up by `hello`, with access to `values`.
    pub(crate) fn start(hello: Hello, values: Arc<Values>) -> Self {
        let (requests, queue) = channel();
        let manager = Manager {
            hello,
            values,
            requests: requests.clone(),
            started: 0,
            crew: None,
            members: Vec::new(),
            idle: Vec::new(),
            busy: Vec::new(),
            stopping: false,
        };
        let thread = std::thread::Builder::new().name("rayline-fleet".into()).spawn(move || manager.run(&queue));
        Self { requests, thread: Mutex::new(Some(thread.expect("the process may start a thread"))) }
    }

    /// Runs one attempt of an isolated task.
    pub(crate) fn run(&self, task: Arc<dyn Leased>, run: Run) {
        if let Err(refused) = self.requests.send(Request::Run { task, run })
            && let Request::Run { task, .. } = refused.0
        {
            refuse(&*task);
        }
    }

    /// Starts the crew.
    ///
    /// # Errors
    /// What the system says where it can't start a process.
    pub(crate) fn crew(&self, processes: usize) -> io::Result<Arc<Crew>> {
        let (reply, answer) = channel();
        let gone = |_| io::Error::other("the fleet's thread is gone");
        self.requests
            .send(Request::Crew { processes, reply })
            .map_err(|_| io::Error::other("the fleet was stopped"))?;
        answer.recv().map_err(gone)?
    }

    /// Lets running tasks end, then ends all processes. Blocks until they are gone.
    pub(crate) fn stop(&self) {
        let _ = self.requests.send(Request::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.join().expect("the fleet's thread doesn't panic");
        }
    }
}

fn refuse(task: &dyn Leased) {
    task.fail(Some(Error::in_task(ErrorKind::Shutdown, task.name())));
}

/// What the thread knows.
struct Manager {
    hello: Hello,
    values: Arc<Values>,
    requests: Sender<Request>,
    /// How many processes there were. Their own ids are used again by the system.
    started: u64,
    crew: Option<Arc<Crew>>,
    /// The processes of the crew, and those that died.
    members: Vec<Worker>,
    idle: Vec<(Worker, Instant)>,
    busy: Vec<Busy>,
    stopping: bool,
}

struct Busy {
    worker: Worker,
    /// What the task may hold of memory; 0 for any amount.
    memory_bytes_max: u64,
}

impl Manager {
    fn run(mut self, queue: &Receiver<Request>) {
        while !(self.stopping && self.busy.is_empty()) {
            match self.next(queue) {
                Ok(Request::Run { task, .. }) if self.stopping => refuse(&*task),
                Ok(Request::Run { task, run }) => self.assign(task, run),
                Ok(Request::Free(number)) => self.free(number),
                Ok(Request::Crew { processes, reply }) => drop(reply.send(self.start_crew(processes))),
                Ok(Request::Again(call)) => self.send_again(call),
                Ok(Request::Stop) => self.stop(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.retire();
            self.bound_memory();
        }
        let idle = std::mem::take(&mut self.idle).into_iter().map(|(worker, _)| worker);
        idle.for_each(end);
        for worker in self.members {
            worker.attendant.join().expect("a lane's thread doesn't panic");
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        if let Some(crew) = &self.crew {
            crew.dismiss();
        }
    }

    fn start_crew(&mut self, processes: usize) -> io::Result<Arc<Crew>> {
        let lanes = (0..processes).map(|_| self.launch_member()).collect::<io::Result<Vec<_>>>()?;
        let crew = Arc::new(Crew::new(lanes, self.requests.clone()));
        self.crew = Some(crew.clone());
        Ok(crew)
    }

    fn launch(&mut self) -> io::Result<Worker> {
        self.started += 1;
        launch(&self.hello, self.started, &self.values)
    }

    fn launch_member(&mut self) -> io::Result<Arc<Lane>> {
        let worker = self.launch()?;
        let lane = worker.lane.clone();
        self.members.push(worker);
        Ok(lane)
    }

    /// Replaces the crew's processes that have died, then sends the call.
    fn send_again(&mut self, call: Box<dyn Waiting>) {
        let crew = self.crew.clone().filter(|_| !self.stopping);
        let Some(crew) = crew else { return call.answered(Answered::Died("was ended".into())) };
        let mut failed = None;
        while crew.replace_dead(|| self.launch_member().map_err(|error| failed = Some(error)).ok()) {}
        self.members.retain(|worker| worker.lane.is_open() || !worker.attendant.is_finished());
        match failed {
            Some(error) => call.answered(Answered::Died(format!("couldn't be started: {error}"))),
            None => crew.send_now(call),
        }
    }

    fn next(&self, queue: &Receiver<Request>) -> Result<Request, RecvTimeoutError> {
        let until_idle = self.idle.first().map(|(_, since)| IDLE_MAX.saturating_sub(since.elapsed()));
        let bounded = self.busy.iter().any(|busy| busy.memory_bytes_max > 0).then_some(MEMORY_PERIOD);
        match until_idle.into_iter().chain(bounded).min() {
            Some(timeout) => queue.recv_timeout(timeout),
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn assign(&mut self, task: Arc<dyn Leased>, run: Run) {
        let worker = match self.worker() {
            Ok(worker) => worker,
            Err(error) => {
                let result = task.ended(&run, Answered::Died(format!("couldn't be started: {error}")));
                return tell_ended(&run, result);
            }
        };
        let (lane, number) = (worker.lane.clone(), worker.number);
        self.busy.push(Busy { worker, memory_bytes_max: run.grant.memory_bytes() });
        let given = Given { task: run.task, lease: run.lease, grant: run.grant.clone() };
        let packed = task.pack().expect("what is isolated was packed when it was submitted");
        let isolated = Isolated { task: task.clone(), packed, run, number, requests: self.requests.clone() };
        let given = encode(&given).expect("ids and amounts can be encoded");
        let call = lane.call(Box::new(isolated), &given);
        task.on_cancel(&Waker::from(Arc::new(CancelCall { lane, call })));
    }

    /// An idle process, or a new one.
    fn worker(&mut self) -> io::Result<Worker> {
        while let Some((worker, _)) = self.idle.pop() {
            if worker.lane.is_open() {
                return Ok(worker);
            }
            end(worker);
        }
        self.launch()
    }

    fn free(&mut self, number: u64) {
        let Some(index) = self.busy.iter().position(|busy| busy.worker.number == number) else { return };
        let Busy { worker, .. } = self.busy.swap_remove(index);
        if worker.lane.is_open() && self.idle.len() < self.hello.cpus as usize {
            self.idle.push((worker, Instant::now()));
        } else {
            end(worker);
        }
    }

    /// Ends what was idle for too long. The first is idle for the longest time.
    fn retire(&mut self) {
        while self.idle.first().is_some_and(|(_, since)| since.elapsed() >= IDLE_MAX) {
            end(self.idle.remove(0).0);
        }
    }

    /// Ends processes that hold more memory than their task asked for.
    fn bound_memory(&self) {
        for busy in self.busy.iter().filter(|busy| busy.memory_bytes_max > 0) {
            let held = resident_bytes(busy.worker.pid).unwrap_or(0);
            if held > busy.memory_bytes_max {
                let mib = |bytes: u64| bytes >> 20;
                busy.worker.lane.kill(format!(
                    "{} was ended, as it held {} MiB of memory and its task asked for {} MiB",
                    busy.worker.pid,
                    mib(held),
                    mib(busy.memory_bytes_max),
                ));
            }
        }
    }
}

/// A call of an isolated task.
struct Isolated {
    task: Arc<dyn Leased>,
    packed: Arc<Packed>,
    run: Run,
    number: u64,
    requests: Sender<Request>,
}

impl Waiting for Isolated {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn attempt(&self) -> u32 {
        self.run.attempt.0
    }

    fn answered(self: Box<Self>, answered: Answered) {
        // Before anybody hears of the value: the next task is to find the process idle.
        let _ = self.requests.send(Request::Free(self.number));
        let result = self.task.ended(&self.run, answered);
        tell_ended(&self.run, result);
    }
}

/// Ends a process that has answered, and waits until it is gone. Tasks that it submitted itself may still run.
fn end(worker: Worker) {
    worker.lane.dismiss();
    let begin = Instant::now();
    while !worker.attendant.is_finished() && begin.elapsed() < END_MAX {
        std::thread::sleep(Duration::from_millis(1));
    }
    worker.lane.kill("was ended".into());
    worker.attendant.join().expect("a lane's thread doesn't panic");
}

/// What a process holds of memory of its own, in bytes: what it shares with others, such as values, isn't its task's.
fn resident_bytes(pid: u32) -> Option<u64> {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = pages.split(' ').skip(1).map_while(|pages| pages.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    resident.saturating_sub(shared).checked_mul(rustix::param::page_size() as u64)
}
