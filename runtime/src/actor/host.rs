//! One actor in all its lives: its mailbox, how it is made, and what the control thread may ask of it.

use super::checkpoint::Journal;
use super::{Actor, Body, Hosting, Keep, Proxy};
use crate::context::{Assigned, assigned};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime;
use crate::task::Unwatched;
use rayline_core::controller::{ActorEnd, Event};
use rayline_core::ids::{ActorId, Incarnation, LeaseId};
use rayline_core::resources::Grant;
use rayline_exec::{ActorHooks, Function, Mailbox};
use rayline_store::Region;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// An actor of any type, as the control thread knows it.
pub(crate) trait Host: Any + Send + Sync {
    fn id(&self) -> ActorId;
    fn type_name(&self) -> &'static str;
    /// Begins a life: runs the constructor, and tells the controller how that went.
    fn start(self: Arc<Self>, incarnation: Incarnation, lease: LeaseId, grant: Grant);
    /// The same, in another process; `None` where it lives in this one.
    fn apart(self: Arc<Self>) -> Option<Arc<Proxy>> {
        None
    }
    /// Ends a life, after the method that runs, and tells the controller.
    fn stop(&self, incarnation: Incarnation);
    /// It is dead for good: calls fail from now on, for `cause`; where it `failed`, also for how it did.
    fn close(&self, cause: String, failed: bool);
}

/// An actor of type `A`.
pub(crate) struct ActorCell<A: Actor> {
    id: ActorId,
    detached: bool,
    make: Box<dyn Fn() -> Result<A> + Send + Sync>,
    mailbox: Mailbox<Life<A>>,
    journal: Option<Journal<A>>,
    state: Arc<Shared>,
    keep: Mutex<Weak<Keep<A>>>,
}

/// Whom an actor's lives are told of.
pub(crate) trait Witness: Send + Sync {
    /// A life has begun.
    fn started(&self, actor: ActorId, incarnation: Incarnation);
    /// A life has ended, or could not begin; where it failed, how.
    fn ended(&self, actor: ActorId, incarnation: Incarnation, end: ActorEnd, error: Option<&Error>);
}

/// The controller, by the control thread.
pub(crate) struct Controlled;

impl Witness for Controlled {
    fn started(&self, actor: ActorId, incarnation: Incarnation) {
        runtime::control().actor_event(Event::ActorStarted { actor, incarnation });
    }

    fn ended(&self, actor: ActorId, incarnation: Incarnation, end: ActorEnd, _: Option<&Error>) {
        runtime::control().actor_event(Event::ActorEnded { actor, incarnation, end });
    }
}

/// One life of an actor: its state.
pub(crate) struct Life<A> {
    pub(crate) actor: A,
    pub(crate) given: Arc<Assigned>,
    pub(crate) cell: Weak<dyn RecordsCalls<A>>,
}

impl<A: 'static> Life<A> {
    /// Its id, and the checkpoint that its driver is to keep.
    pub(super) fn unsent(&self) -> Option<(ActorId, Incarnation, Region)> {
        let cell = self.cell.upgrade()?;
        let saved = cell.journal()?.take_unsent()?;
        let (actor, incarnation) = self.given.actor?;
        Some((actor, incarnation, saved))
    }
}

/// Where a life's calls are recorded.
pub(crate) trait RecordsCalls<A>: Send + Sync {
    fn journal(&self) -> Option<&Journal<A>>;
}

/// What the mailbox's hooks know of the actor.
struct Shared {
    id: ActorId,
    witness: Box<dyn Witness>,
    incarnation: AtomicU32,
    stopping: AtomicBool,
    /// How the last life failed.
    error: Mutex<Option<Error>>,
}

/// Why an actor is dead.
pub(crate) struct Death {
    pub(crate) cause: String,
    pub(crate) error: Option<Error>,
}

impl Shared {
    /// Sets how the last life failed; returns what was said before.
    fn set_error(&self, error: Option<Error>) -> Option<Error> {
        std::mem::replace(&mut *self.error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()), error)
    }
}

impl<A: Actor> ActorCell<A> {
    pub(crate) fn new(
        id: ActorId,
        detached: bool,
        (concurrency, checkpoint_every): (usize, u64),
        make: Box<dyn Fn() -> Result<A> + Send + Sync>,
        witness: Box<dyn Witness>,
    ) -> Arc<Self> {
        let (mailbox, state) = Self::mailbox_of(id, concurrency, witness);
        let journal = A::checkpoint().map(|ops| Journal::new(ops, checkpoint_every));
        Self::with_journal(id, detached, mailbox, journal, (make, state))
    }

    /// An actor whose driver keeps its checkpoints, and has this one.
    ///
    /// # Errors
    /// Where that can't be decoded.
    pub(super) fn hosted(hosting: Hosting, make: Box<dyn Fn() -> Result<A> + Send + Sync>) -> Result<Arc<Self>> {
        let Hosting { id, options: (concurrency, every), saved, witness } = hosting;
        let (mailbox, state) = Self::mailbox_of(id, concurrency, witness);
        let journal = A::checkpoint().map(|ops| Journal::sent(ops, every, saved.as_deref())).transpose();
        let journal = journal.map_err(|error| Error::codec(A::TYPE, "checkpoint", error))?;
        Ok(Self::with_journal(id, true, mailbox, journal, (make, state)))
    }

    fn mailbox_of(id: ActorId, concurrency: usize, witness: Box<dyn Witness>) -> (Mailbox<Life<A>>, Arc<Shared>) {
        let state = Arc::new(Shared {
            id,
            witness,
            incarnation: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            error: Mutex::default(),
        });
        (Mailbox::new(runtime::pool(), concurrency, Box::new(Hooks(state.clone()))), state)
    }

    fn with_journal(
        id: ActorId,
        detached: bool,
        mailbox: Mailbox<Life<A>>,
        journal: Option<Journal<A>>,
        (make, state): (Box<dyn Fn() -> Result<A> + Send + Sync>, Arc<Shared>),
    ) -> Arc<Self> {
        Arc::new(Self { id, detached, make, mailbox, journal, state, keep: Mutex::default() })
    }

    pub(crate) fn id(&self) -> ActorId {
        self.id
    }

    pub(crate) fn mailbox(&self) -> &Mailbox<Life<A>> {
        &self.mailbox
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.detached
    }

    pub(crate) fn set_keep(&self, keep: &Arc<Keep<A>>) {
        *self.keep.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::downgrade(keep);
    }

    pub(crate) fn keep(&self) -> Option<Arc<Keep<A>>> {
        self.keep.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).upgrade()
    }

    /// Nobody refers to it any more: it ends after the calls that were sent.
    pub(crate) fn release(&self) {
        drop(self.mailbox.send((), super::call::Last));
    }

    fn begin_life(&self) -> Result<A> {
        match &self.journal {
            Some(journal) => journal.restore(&self.make),
            None => (self.make)(),
        }
    }
}

impl<A: Actor> RecordsCalls<A> for ActorCell<A> {
    fn journal(&self) -> Option<&Journal<A>> {
        self.journal.as_ref()
    }
}

impl<A: Actor> Host for ActorCell<A> {
    fn id(&self) -> ActorId {
        self.id
    }

    fn type_name(&self) -> &'static str {
        A::TYPE
    }

    fn start(self: Arc<Self>, incarnation: Incarnation, lease: LeaseId, grant: Grant) {
        self.state.incarnation.store(incarnation.0, Ordering::SeqCst);
        drop(runtime::pool().submit((), BeginLife { cell: self, incarnation, lease, grant }));
    }

    fn stop(&self, incarnation: Incarnation) {
        if self.state.incarnation.load(Ordering::SeqCst) == incarnation.0 {
            self.state.stopping.store(true, Ordering::SeqCst);
            self.mailbox.stop();
        }
    }

    fn close(&self, cause: String, failed: bool) {
        let error = self.state.set_error(None).filter(|_| failed);
        self.mailbox.close(Arc::new(Death { cause, error }));
        // A life that goes on ends with this, and gives back what it holds. To ask for it the controller would name an
        // actor that it has just declared dead.
        self.state.stopping.store(true, Ordering::SeqCst);
        self.mailbox.stop();
    }
}

/// The job that runs a constructor.
struct BeginLife<A: Actor> {
    cell: Arc<ActorCell<A>>,
    incarnation: Incarnation,
    lease: LeaseId,
    grant: Grant,
}

impl<A: Actor> Function<()> for BeginLife<A> {
    type Outcome = Unwatched;
    const NAME: &'static str = A::TYPE;

    fn call(self, (): ()) -> Unwatched {
        let Self { cell, incarnation, lease, grant } = self;
        let given = Arc::new(Assigned {
            task: None,
            task_id: None,
            attempt: 1,
            actor: Some((cell.id, incarnation)),
            lease,
            grant,
            cancellation: Arc::default(),
        });
        let made = catch_unwind(AssertUnwindSafe(|| assigned(&given, || cell.begin_life())));
        let made = made.unwrap_or_else(|payload| Err(Error::panicked(A::TYPE, 1, &*payload)));
        match made {
            Ok(actor) => {
                cell.state.set_error(None);
                let weak: Weak<ActorCell<A>> = Arc::downgrade(&cell);
                cell.mailbox.open(Life { actor, given, cell: weak });
                cell.state.witness.started(cell.id, incarnation);
            }
            Err(error) => {
                tracing::warn!(actor_id = %cell.id, incarnation = incarnation.0, %error, "actor failed to start");
                cell.state.set_error(Some(error.clone()));
                cell.state.witness.ended(cell.id, incarnation, ActorEnd::ConstructorFailed, Some(&error));
            }
        }
        Unwatched
    }
}

/// What the mailbox tells of the actor goes to the controller.
struct Hooks(Arc<Shared>);

impl ActorHooks for Hooks {
    fn crashed(&self, method: &'static str, message: &str) {
        let incarnation = Incarnation(self.0.incarnation.load(Ordering::SeqCst));
        tracing::warn!(actor_id = %self.0.id, incarnation = incarnation.0, method, message, "actor crashed");
        let panicked = ErrorKind::Panicked { message: message.to_owned(), attempt: 1 };
        let error = Error::in_task(panicked, method);
        self.0.set_error(Some(error.clone()));
        self.0.witness.ended(self.0.id, incarnation, ActorEnd::Crashed, Some(&error));
    }

    fn stopped(&self) {
        if self.0.stopping.swap(false, Ordering::SeqCst) {
            let incarnation = Incarnation(self.0.incarnation.load(Ordering::SeqCst));
            self.0.witness.ended(self.0.id, incarnation, ActorEnd::Stopped, None);
        }
    }
}

/// Finds the actor of type `A` behind a host.
///
/// # Errors
/// [`ErrorKind::WrongActorType`].
pub(super) fn downcast<A: Actor>(host: Arc<dyn Host>, name: &str) -> Result<Body<A>> {
    let found = host.type_name();
    let wrong =
        || Error::new(ErrorKind::WrongActorType { name: name.to_owned(), asked: A::TYPE.into(), found: found.into() });
    if let Some(proxy) = host.clone().apart() {
        return if proxy.is_of::<A>() { Ok(Body::Apart(proxy)) } else { Err(wrong()) };
    }
    let host: Arc<dyn Any + Send + Sync> = host;
    host.downcast::<ActorCell<A>>().map(Body::Here).map_err(|_| wrong())
}
