//! The crew: worker processes that run the plain tasks, each on threads of its own, on this machine or on nodes.
//!
//! A call goes from the thread that submits it straight to a process, and its answer to the thread that waits, if one
//! does. The control thread has no part in it.

use super::calls::{Answered, Waiting};
use super::choice::{holder, is_worth_it};
use super::fleet::Request;
use super::lane::Lane;
use super::values::{Unread, Value};
use crate::arg::{ArgList, Slots};
use crate::control::Packed;
use crate::elsewhere::{Elsewhere, Recipe, Stored};
use crate::error::{Error, ErrorKind};
use crate::object::{ObjectRef, Outcome};
use crate::runtime;
use crate::task::{Task, TaskName, Unwatched, pack};
use rayline_core::ids::TaskId;
use rayline_exec::{Function, Look, Promise, promise};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// The lanes to the processes of the crew.
pub(crate) struct Crew {
    lanes: RwLock<Vec<Arc<Lane>>>,
    reserve: Reserve,
    is_dismissed: AtomicBool,
}

/// What becomes of a call that no process can take now.
enum Reserve {
    /// The fleet starts a process.
    Fleet(Sender<Request>),
    /// It waits for a process of a node, and for CPUs there.
    Queue(Mutex<VecDeque<Box<dyn Waiting>>>),
}

/// Calls that a process of a node is given ahead, for each of its threads: what waits here may still go to another.
const AHEAD: usize = 256;
/// The load of one call under way for each thread.
const LOAD: usize = 1024;

impl Crew {
    /// Processes that this one starts.
    pub(super) fn new(lanes: Vec<Arc<Lane>>, requests: Sender<Request>) -> Self {
        let reserve = Reserve::Fleet(requests);
        Self { lanes: RwLock::new(lanes), reserve, is_dismissed: AtomicBool::new(false) }
    }

    /// Processes of nodes, which come and go.
    pub(crate) fn of_nodes() -> Self {
        let reserve = Reserve::Queue(Mutex::default());
        Self { lanes: RwLock::default(), reserve, is_dismissed: AtomicBool::new(false) }
    }

    fn lanes(&self) -> RwLockReadGuard<'_, Vec<Arc<Lane>>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process of a node has come.
    pub(crate) fn add(&self, lane: Arc<Lane>) {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    /// One has gone.
    pub(crate) fn remove(&self, gone: &Arc<Lane>) {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).retain(|lane| !Arc::ptr_eq(lane, gone));
    }

    /// Sends a call to the process that is least busy, or that has what the call needs.
    fn send(&self, call: Box<dyn Waiting>) {
        match self.choose(Some(call.packed())) {
            Some(lane) if !self.is_dismissed() => {
                lane.call(call, &[]);
            }
            _ => self.send_later(call),
        }
    }

    /// A process for a call, of those that may have another; `None` where it is to wait for one.
    fn choose(&self, call: Option<&Packed>) -> Option<Arc<Lane>> {
        let is_queued = matches!(self.reserve, Reserve::Queue(_));
        let has_room =
            |lane: &&Arc<Lane>| lane.is_open() && (!is_queued || lane.under_way() < lane.threads() as usize * AHEAD);
        let load = |lane: &Arc<Lane>| lane.under_way() * LOAD / lane.threads().max(1) as usize;
        let lanes = self.lanes();
        let least = lanes.iter().filter(has_room).min_by_key(|lane| load(lane))?;
        let Some((process, bytes)) = call.and_then(|call| holder(&call.args)) else { return Some(least.clone()) };
        // One without threads answers nothing, however little it has to do.
        let holder = lanes.iter().find(|lane| lane.process() == process && lane.is_open() && lane.threads() > 0);
        match holder.filter(|holder| is_worth_it(holder.wait_nanos(), least.wait_nanos(), bytes)) {
            Some(holder) => Some(holder).filter(has_room).cloned(),
            None => Some(least.clone()),
        }
    }

    /// Sends a call, now that the processes are replaced that had died.
    pub(super) fn send_now(&self, call: Box<dyn Waiting>) {
        match self.choose(None) {
            Some(lane) => {
                lane.call(call, &[]);
            }
            None => call.answered(Answered::Died("has died, as its successor has".into())),
        }
    }

    /// Sends a call once there is a process for it.
    fn send_later(&self, call: Box<dyn Waiting>) {
        match &self.reserve {
            Reserve::Fleet(requests) => {
                if let Err(refused) = requests.send(Request::Again(call))
                    && let Request::Again(call) = refused.0
                {
                    call.answered(Answered::shut_down());
                }
            }
            Reserve::Queue(queue) => {
                lock(queue).push_back(call);
                // Room may have come, or the crew may have been dismissed, since there was none.
                self.refill();
            }
        }
    }

    /// Hands on calls that wait, as far as there is room. Once the crew is dismissed they fail.
    pub(crate) fn refill(&self) {
        let Reserve::Queue(queue) = &self.reserve else { return };
        while !self.is_dismissed() {
            let Some((call, lane)) = self.next(&mut lock(queue)) else { return };
            lane.call(call, &[]);
        }
        let calls = std::mem::take(&mut *lock(queue));
        calls.into_iter().for_each(|call| call.answered(Answered::shut_down()));
    }

    /// The first call that has a process, of those that have waited longest; the others wait for theirs.
    fn next(&self, queue: &mut VecDeque<Box<dyn Waiting>>) -> Option<(Box<dyn Waiting>, Arc<Lane>)> {
        const LOOKED_AT: usize = 64;
        // Mostly there is no room at all: then no call need be looked at.
        self.choose(None)?;
        let mut first = queue.iter().take(LOOKED_AT).enumerate();
        let (at, lane) = first.find_map(|(at, call)| Some((at, self.choose(Some(call.packed()))?)))?;
        Some((queue.remove(at)?, lane))
    }

    /// Fails the calls that wait, as no process will come.
    pub(crate) fn give_up(&self, why: &str) {
        let Reserve::Queue(queue) = &self.reserve else { return };
        let calls = std::mem::take(&mut *lock(queue));
        calls.into_iter().for_each(|call| call.answered(Answered::Refused(why.to_owned())));
    }

    /// Puts `lane` in the place of the first whose process has died; `false` where none has.
    pub(super) fn replace_dead(&self, launch: impl FnOnce() -> Option<Arc<Lane>>) -> bool {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let Some(dead) = lanes.iter_mut().find(|lane| !lane.is_open()) else { return false };
        let Some(lane) = launch() else { return false };
        *dead = lane;
        true
    }

    /// From now on a process that ends is no death.
    pub(crate) fn dismiss(&self) {
        self.is_dismissed.store(true, Ordering::Release);
        self.lanes().iter().for_each(|lane| lane.dismiss());
        self.refill();
    }

    /// Lets running tasks of nodes end, and then their workers. Blocks until they are gone.
    pub(crate) fn end(&self) {
        self.dismiss();
        while !self.lanes().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_dismissed(&self) -> bool {
        self.is_dismissed.load(Ordering::Acquire)
    }

    /// Shares the CPUs that plain tasks may use out among the processes.
    pub(crate) fn set_threads(&self, cpus: u32) {
        if let Reserve::Queue(_) = self.reserve {
            return;
        }
        let lanes = self.lanes();
        let each = cpus.div_ceil(lanes.len() as u32).max(1);
        lanes.iter().for_each(|lane| lane.set_threads(each));
    }

    /// What a thread does that waits for an outcome before it sleeps: it takes answers.
    pub(crate) fn look(&self, look: Look) {
        self.lanes().iter().for_each(|lane| lane.look(look));
    }
}

fn lock(queue: &Mutex<VecDeque<Box<dyn Waiting>>>) -> MutexGuard<'_, VecDeque<Box<dyn Waiting>>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Submits a plain task to the crew.
pub(crate) fn submit<T: Task<Args: Clone + Sync>, S: Slots<Args = T::Args>>(
    crew: &Crew,
    slots: S,
) -> ObjectRef<T::Output> {
    let (promise, handle) = promise::<TaskName<T>, _>();
    if slots.are_there() {
        Sent::<T>::send(crew, promise, slots.into_args(), 1);
    } else {
        drop(runtime::pool().submit(slots, Send::<T> { promise }));
    }
    ObjectRef::from_handle(handle)
}

/// Sends a call once its arguments are there.
struct Send<T: Task> {
    promise: Promise<Outcome<T::Output>>,
}

impl<T: Task<Args: Clone + Sync>, S: Slots<Args = T::Args>> Function<S> for Send<T> {
    type Outcome = Unwatched;
    const NAME: &'static str = T::NAME;

    fn call(self, slots: S) -> Unwatched {
        Sent::<T>::send_to_present(self.promise, slots.into_args(), 1)
    }
}

/// A call of a plain task that a process of the crew runs.
struct Sent<T: Task> {
    promise: Promise<Outcome<T::Output>>,
    /// For another try, and for the lineage of a value that stays on a node.
    args: T::Args,
    packed: Packed,
    attempt: u32,
}

impl<T: Task<Args: Clone + Sync>> Waiting for Sent<T> {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn reads_later(&self) -> bool {
        // What comes after the dismissal is read before its worker goes.
        runtime::crew().is_some_and(|crew| !crew.is_dismissed())
    }

    fn answered(self: Box<Self>, answered: Answered) {
        let result = match answered {
            Answered::Value(value) if value.is_elsewhere() && self.reads_later() => return self.leave(value),
            Answered::Value(value) => match value.decode() {
                Ok(value) => Ok(value),
                Err(Unread::Codec(error)) => Err(Error::codec(T::NAME, "value", error)),
                Err(Unread::Gone(how)) => return self.died(how),
            },
            Answered::Failed { error, .. } => Err(error),
            Answered::Refused(why) => Err(Error::in_task(ErrorKind::Lost(why), T::NAME)),
            Answered::NotBegun => return self.died("has not begun it".into()),
            Answered::Died(how) => return self.died(how),
        };
        self.promise.complete(Outcome::Here(result));
        refill();
    }
}

/// There may be room for calls that wait.
fn refill() {
    if let Some(crew) = runtime::crew() {
        crew.refill();
    }
}

impl<T: Task<Args: Clone + Sync>> Sent<T> {
    fn send(crew: &Crew, promise: Promise<Outcome<T::Output>>, args: T::Args, attempt: u32) {
        match pack::<T>(&args) {
            Ok(packed) => crew.send(Box::new(Self { promise, args, packed, attempt })),
            Err(error) => drop(promise.complete(Outcome::Here(Err(error)))),
        }
    }

    /// Sends a call to the crew that there is by now. Where there is none its promise is broken.
    fn send_to_present(promise: Promise<Outcome<T::Output>>, args: T::Args, attempt: u32) -> Unwatched {
        if let Some(crew) = runtime::crew() {
            Self::send(crew, promise, args, attempt);
        }
        Unwatched
    }

    /// Leaves the value where it is, and has the owner see to it that it stays, or is made again.
    fn leave(self, value: Value) {
        let Self { promise, args, attempt, .. } = self;
        let task = TaskId { owner: runtime::owner(), seq: rayline_exec::fresh_id() };
        let (node, stored) = (value.node(), Stored::new(T::NAME, task.object(0), value));
        let (recipe, objects) = Recipe::<T>::shared(&args, stored.clone());
        let retries = (T::OPTIONS.retries + 1).saturating_sub(attempt);
        runtime::control().adopt(task, recipe, (objects, retries), node);
        // Not before the owner has heard of it: with them goes what holds the objects among them.
        drop(args);
        promise.complete(Outcome::Elsewhere(Box::new(Elsewhere::new(stored))));
        refill();
    }

    /// Tries again, as often as it may.
    fn died(self: Box<Self>, how: String) {
        let error = match runtime::crew().filter(|crew| !crew.is_dismissed()) {
            None => ErrorKind::Shutdown,
            Some(crew) if self.attempt <= T::OPTIONS.retries => return self.try_again(crew),
            Some(_) => ErrorKind::WorkerDied { how, attempt: self.attempt },
        };
        self.promise.complete(Outcome::Here(Err(Error::in_task(error, T::NAME))));
    }

    /// What was sent may name what is gone by now: then it is encoded anew, once that is there again.
    fn try_again(mut self: Box<Self>, crew: &Crew) {
        self.attempt += 1;
        let mut objects = Vec::new();
        self.args.objects(&mut objects);
        if objects.is_empty() {
            return crew.send_later(self);
        }
        // Not on this thread, which others need to make it.
        drop(runtime::pool().submit((), Again(self)));
    }
}

/// Sends a call anew, after its arguments.
struct Again<T: Task>(Box<Sent<T>>);

impl<T: Task<Args: Clone + Sync>> Function<()> for Again<T> {
    type Outcome = Unwatched;
    const NAME: &'static str = T::NAME;

    fn call(self, (): ()) -> Unwatched {
        let Sent { promise, args, attempt, .. } = *self.0;
        Sent::<T>::send_to_present(promise, args, attempt)
    }
}
