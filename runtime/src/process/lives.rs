//! Actors of the driver in a worker.

use super::lent::Upstream;
use super::wire::{Haste, Header, Kind};
use super::worker::Worker;
use crate::actor::{Hosted, Hosting, Witness};
use crate::error::Error;
use crate::process::Reply;
use crate::registry::{self, Answer, FunctionId};
use crate::runtime;
use crate::task::Unwatched;
use rayline_core::controller::ActorEnd;
use rayline_core::ids::{ActorId, Incarnation, LeaseId};
use rayline_core::resources::Grant;
use rayline_exec::Function;
use rayline_store::{Carrier, Region, decode_copied, encode};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One life of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LifeId {
    pub(crate) actor: ActorId,
    pub(crate) incarnation: Incarnation,
}

/// A life that is to begin.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) id: LifeId,
    /// How many methods may overlap.
    pub(crate) concurrency: u64,
    /// Exclusive calls between two checkpoints; 0 for none.
    pub(crate) checkpoint_every: u64,
    pub(crate) lease: LeaseId,
    pub(crate) grant: Grant,
    /// The last checkpoint, where there is one.
    pub(crate) saved: Option<Vec<u8>>,
}

/// A life that has ended, but not for want of a worker.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) life: LifeId,
    pub(crate) end: ActorEnd,
    pub(crate) error: Option<Error>,
}

/// The lives in this worker.
#[derive(Default)]
pub(super) struct Actors {
    lives: Mutex<HashMap<ActorId, Entry>>,
    /// Those whose arguments are being read from elsewhere, and whether they are to end at once.
    awaited: Mutex<Vec<(LifeId, bool)>>,
}

struct Entry {
    incarnation: Incarnation,
    hosted: Hosted,
    /// Whether it holds CPUs, and has a thread for them.
    has_thread: bool,
}

impl Actors {
    fn lock(&self) -> MutexGuard<'_, HashMap<ActorId, Entry>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_awaited(&self) -> MutexGuard<'_, Vec<(LifeId, bool)>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life is to end, if it is awaited: whether it is.
    fn give_up(&self, life: LifeId) -> bool {
        let mut awaited = self.lock_awaited();
        let found = awaited.iter_mut().find(|(awaited, _)| *awaited == life);
        found.map(|(_, is_to_end)| *is_to_end = true).is_some()
    }

    /// Whether an awaited life is to end.
    fn is_given_up(&self, life: LifeId) -> bool {
        self.lock_awaited().contains(&(life, true))
    }

    /// The life isn't awaited any more: whether it is to end.
    fn no_longer_awaited(&self, life: LifeId) -> bool {
        let mut awaited = self.lock_awaited();
        let at = awaited.iter().position(|(awaited, _)| *awaited == life);
        at.is_some_and(|at| awaited.swap_remove(at).1)
    }

    fn find(&self, life: LifeId) -> Option<Hosted> {
        let lives = self.lock();
        lives.get(&life.actor).filter(|entry| entry.incarnation == life.incarnation).map(|entry| entry.hosted.clone())
    }

    fn remove(&self, life: LifeId) -> Option<Entry> {
        let mut lives = self.lock();
        lives.get(&life.actor).filter(|entry| entry.incarnation == life.incarnation)?;
        lives.remove(&life.actor)
    }
}

impl Worker {
    /// Makes an actor and begins its life, which is answered once it has begun.
    pub(super) fn create(self: &Arc<Self>, header: Header, body: Region) {
        let (args, life) = header.split(&body);
        let named: Vec<_> = rayline_store::names(&args).map(<[u8]>::to_vec).collect();
        let life = decode_copied::<Life>(life).map(|life| life.id).ok().filter(|_| !named.is_empty());
        let (Some(Upstream::Spans(spans)), Some(life)) = (self.upstream.get(), life) else {
            return self.create_now(header, &body);
        };
        // Other calls don't wait for what this one has to read.
        self.actors.lock_awaited().push((life, false));
        let (worker, spans) = (self.clone(), spans.clone());
        self.fetcher.run(Box::new(move || {
            // What can't be read says so when it is decoded.
            let _read: Vec<_> = named.iter().map(|name| spans.import(name)).collect();
            if worker.actors.is_given_up(life) {
                worker.answer(header.call, Answer::NotBegun);
            } else {
                worker.create_now(header, &body);
            }
            if worker.actors.no_longer_awaited(life) {
                worker.stop_life(life);
            }
        }));
    }

    fn create_now(self: &Arc<Self>, header: Header, body: &Region) {
        let made = catch_unwind(AssertUnwindSafe(|| self.prepare(header, body)));
        let refused = match made {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(payload) => Error::panicked("constructor", 1, &*payload),
        };
        self.answer(header.call, Answer::Failed { error: refused, retryable: false });
    }

    fn prepare(self: &Arc<Self>, header: Header, body: &Region) -> Result<(), Error> {
        let entry = registry::actor_entry(FunctionId(header.function)).ok_or_else(Error::unregistered)?;
        let (args, life) = header.split(body);
        let unreadable = |error| Error::codec(entry.name, "life", error);
        let Life { id, concurrency, checkpoint_every, lease, grant, saved } =
            decode_copied(life).map_err(unreadable)?;
        let witness = Box::new(Reporter { worker: self.clone(), call: header.call });
        let options = (concurrency as usize, checkpoint_every);
        let lent = self.lend();
        let hosted = (entry.host)(Hosting { id: id.actor, options, saved, witness }, &args, &lent)?;
        let has_thread = !grant.cpu().is_zero();
        if has_thread {
            runtime::control().guest(true);
        }
        let incarnation = id.incarnation;
        let entry = Entry { incarnation, hosted: hosted.clone(), has_thread };
        if let Some(earlier) = self.actors.lock().insert(id.actor, entry) {
            earlier.end();
        }
        hosted.0.start(incarnation, lease, grant);
        Ok(())
    }

    /// Sends a call to the mailbox of its actor.
    pub(super) fn call_method(self: &Arc<Self>, header: Header, body: &Region) {
        let (args, to) = header.split(body);
        let reply = Reply::new(self.clone(), header.call);
        let hosted = decode_copied::<LifeId>(to).ok().and_then(|life| self.actors.find(life));
        // Dropped, the reply says that the call has not begun.
        if let (Some(hosted), Some(entry)) = (hosted, registry::method_entry(FunctionId(header.function))) {
            (entry.call)(&hosted, args, reply);
        }
    }

    /// Has the driver keep a checkpoint.
    pub(super) fn save(&self, life: LifeId, saved: &Region) {
        let life = encode(&life).expect("ids can be encoded");
        let header = Header { given_bytes: life.len() as u32, ..Header::new(Kind::Saved, 0) };
        // A driver that is gone restores nothing.
        let _ = self.outlet.send(header, [saved, &life], Haste::Now);
    }

    /// Ends a life, after the method that runs.
    pub(super) fn stop_actor(&self, body: &Region) {
        if let Ok(life) = decode_copied::<LifeId>(body)
            && !self.actors.give_up(life)
        {
            self.stop_life(life);
        }
    }

    fn stop_life(&self, life: LifeId) {
        if let Some(hosted) = self.actors.find(life) {
            hosted.0.stop(life.incarnation);
        }
    }
}

impl Entry {
    fn end(self) {
        if self.has_thread {
            runtime::control().guest(false);
        }
        // Not in the midst of what the mailbox does.
        drop(runtime::pool().submit((), Abandon(self.hosted)));
    }
}

/// Ends what a life has left in its mailbox.
struct Abandon(Hosted);

impl Function<()> for Abandon {
    type Outcome = Unwatched;
    const NAME: &'static str = "end of an actor's life";

    fn call(self, (): ()) -> Unwatched {
        let Self(Hosted(host)) = self;
        host.close("its life has ended".into(), false);
        Unwatched
    }
}

/// Tells the driver of a life.
struct Reporter {
    worker: Arc<Worker>,
    /// The call that began it.
    call: u64,
}

impl Witness for Reporter {
    fn started(&self, _: ActorId, _: Incarnation) {
        let nothing = encode(&()).expect("nothing can be encoded");
        self.worker.answer(self.call, Answer::Value(nothing));
    }

    fn ended(&self, actor: ActorId, incarnation: Incarnation, end: ActorEnd, error: Option<&Error>) {
        let life = LifeId { actor, incarnation };
        let Some(entry) = self.worker.actors.remove(life) else { return };
        if end == ActorEnd::ConstructorFailed {
            let error = error.cloned().unwrap_or_else(Error::unregistered);
            self.worker.answer(self.call, Answer::Failed { error, retryable: false });
        } else {
            let ended =
                encode(&Ended { life, end, error: error.cloned() }).expect("an error is names, numbers and words");
            // A driver that is gone need not hear of it.
            let _ = self.worker.outlet.send(Header::new(Kind::LifeEnded, 0), [&ended, &[]], Haste::Now);
        }
        entry.end();
    }
}
