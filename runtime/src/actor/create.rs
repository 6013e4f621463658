//! Creating actors, and finding them by name.

use super::host::{ActorCell, Controlled, downcast};
use super::{Actor, ActorRef, Body, Proxy};
use crate::arg::{ArgList, Slots};
use crate::error::{Error, ErrorKind, Result};
use crate::group::BundleRef;
use crate::options::{Options, option_methods};
use crate::task::Unwatched;
use crate::{registry, runtime};
use rayline_core::controller::ActorSpec;
use rayline_core::ids::ActorId;
use rayline_exec::{Function, blocking};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};

/// The creation of an actor, prepared: its options may still be changed.
#[must_use = "a creation does nothing until `remote` or `get_or_create` submits it"]
pub struct Create<A: Actor, S: Slots> {
    slots: S,
    options: Options,
    detached: bool,
    new: fn(S::Args) -> Result<A>,
}

/// Prepares the creation of an actor by its constructor `new`.
#[doc(hidden)]
pub fn create<A: Actor, S: Slots<Args: ArgList>>(slots: S, new: fn(S::Args) -> Result<A>) -> Create<A, S> {
    Create { slots, options: Options::new(A::OPTIONS), detached: false, new }
}

impl<A: Actor, S: Slots> Create<A, S>
where
    S::Args: ArgList + Clone + Sync,
{
    option_methods!();

    /// Lives after the first: how often it starts again after a crash.
    pub fn restarts(mut self, restarts: u32) -> Self {
        self.options.declared.restarts = restarts;
        self
    }

    /// How many methods by `&self` may overlap.
    pub fn concurrency(mut self, methods: u32) -> Self {
        self.options.declared.concurrency = methods;
        self
    }

    /// A name by which others find it while it lives.
    pub fn name(mut self, name: &str) -> Self {
        self.options.name = Some(name.to_owned());
        self
    }

    /// It lives until it is killed, whether or not anybody refers to it.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Creates it. Never fails: calls wait until it is there, or fail with the reason why it can't be.
    pub fn remote(self) -> A::Ref {
        let detached = self.detached;
        let (body, begin) = self.prepare();
        let actor = ActorRef::new(body.clone(), detached);
        begin(Box::new(move |ready| match ready {
            Ok((spec, bundle)) => runtime::control().create_actor(body.host(), spec, bundle),
            Err(error) => body.host().close(error.to_string(), false),
        }));
        A::wrap(actor)
    }

    /// Finds the live actor of its name, or creates it. Blocks until one of the two is done.
    ///
    /// # Errors
    /// [`ErrorKind::WrongActorType`] where the live actor is of another type; [`ErrorKind::Infeasible`] where it needs more
    /// than there is, or amounts that make no sense; [`ErrorKind::ActorRefused`] where it can't be created for another
    /// reason; [`ErrorKind::Config`] without a name; [`ErrorKind::Shutdown`].
    pub fn get_or_create(self) -> Result<A::Ref> {
        let Some(name) = self.options.name.clone() else {
            return Err(Error::new(ErrorKind::Config("get_or_create needs a name: add `.name(\"…\")`".into())));
        };
        let detached = self.detached;
        let (body, begin) = self.prepare();
        let mine = ActorRef::new(body.clone(), detached);
        let (reply, answer) = sync_channel(1);
        begin(Box::new(move |ready| {
            let _ = reply.send(ready);
        }));
        let (spec, bundle) = blocking(|| answer.recv()).map_err(|_| Error::new(ErrorKind::Shutdown))??;
        let spec = ActorSpec { get_or_create: true, ..spec };
        let found = runtime::control().get_or_create(body.host(), spec, bundle)?;
        if found.id() == mine.id() {
            return Ok(A::wrap(mine));
        }
        let found = ActorRef::to_found(downcast::<A>(found, &name)?);
        found.map(A::wrap).ok_or_else(|| Error::new(ErrorKind::NoSuchActor { name }))
    }

    /// The actor, and what waits for the constructor's arguments and then hands on what is to be created.
    fn prepare(self) -> (Body<A>, Begin) {
        if runtime::is_of_cluster() && registry::actor_number::<A>().is_some() {
            return self.prepare_apart();
        }
        let Self { slots, options, detached, new } = self;
        let args = Arc::new(OnceLock::<S::Args>::new());
        let kept = args.clone();
        let make = move || new(kept.get().expect("a life begins after the arguments came").clone());
        let (make, witness) = (Box::new(make), Box::new(Controlled));
        let cell = ActorCell::new(fresh_id(), detached, options.declared.actor(), make, witness);
        let begin = move |then: Then| {
            let ready = move |came: S::Args| {
                let _ = args.set(came);
                then(spec(&options, detached).map(|spec| (spec, options.bundle)));
            };
            when_ready(slots, ready);
        };
        (Body::Here(cell), Box::new(begin))
    }

    /// The same for an actor that will live in a worker of a node.
    fn prepare_apart(self) -> (Body<A>, Begin) {
        let Self { slots, options, detached, .. } = self;
        let proxy = Proxy::new::<A>(fresh_id(), detached, options.declared.actor());
        let created = proxy.clone();
        let begin = move |then: Then| {
            let ready = move |came: S::Args| {
                let set = created.set_args::<A, _>(came);
                then(set.and_then(|()| spec(&options, detached)).map(|spec| (spec, options.bundle)));
            };
            when_ready(slots, ready);
        };
        (Body::Apart(proxy), Box::new(begin))
    }
}

fn fresh_id() -> ActorId {
    ActorId { owner: runtime::owner(), seq: rayline_exec::fresh_id() }
}

/// What is to be created.
type Ready = Result<(ActorSpec, Option<BundleRef>)>;
type Then = Box<dyn FnOnce(Ready) + Send>;
type Begin = Box<dyn FnOnce(Then)>;

fn spec(options: &Options, detached: bool) -> Result<ActorSpec> {
    Ok(ActorSpec {
        demand: options.demand()?,
        bundle: options.bundle.as_ref().map(|bundle| bundle.id),
        name: options.name.clone(),
        get_or_create: false,
        detached,
        restarts: options.declared.restarts,
    })
}

/// Calls `f` with the arguments: at once, or on the executor when they are there.
fn when_ready<S: Slots>(slots: S, f: impl FnOnce(S::Args) + Send + 'static) {
    if S::READY {
        return f(slots.into_args());
    }
    drop(runtime::pool().submit(slots, WhenReady(f)));
}

struct WhenReady<F>(F);

impl<S: Slots, F: FnOnce(S::Args) + Send + 'static> Function<S> for WhenReady<F> {
    type Outcome = Unwatched;
    const NAME: &'static str = "constructor's arguments";

    fn call(self, slots: S) -> Unwatched {
        (self.0)(slots.into_args());
        Unwatched
    }
}

/// Finding an actor of a type by name; every actor type has it.
pub trait Named: Actor {
    /// The live actor of that name. Blocks for a moment.
    ///
    /// # Errors
    /// [`ErrorKind::NoSuchActor`], [`ErrorKind::WrongActorType`].
    fn named(name: &str) -> Result<Self::Ref> {
        let none = || Error::new(ErrorKind::NoSuchActor { name: name.to_owned() });
        let host = runtime::control().named_actor(name).ok_or_else(none)?;
        let actor = ActorRef::to_found(downcast::<Self>(host, name)?).ok_or_else(none)?;
        Ok(Self::wrap(actor))
    }
}

impl<A: Actor> Named for A {}
