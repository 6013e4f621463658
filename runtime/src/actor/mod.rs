//! Actors: state with methods, which run one message after the other.

mod call;
mod checkpoint;
mod create;
mod host;
mod hosted;
mod proxied;
mod proxy;

pub use call::{
    AsyncMutMethod, AsyncRefMethod, MutMethod, RefMethod, send_async_mut, send_async_ref, send_mut, send_ref,
};
pub use checkpoint::{Checkpoint, CheckpointOps};
pub use create::{Create, Named, create};
pub(crate) use host::{ActorCell, Death, Host, Witness};
pub use hosted::{Hosted, Hosting, call_async_mut, call_async_ref, call_mut, call_ref, host};
pub(crate) use proxied::MethodName;
pub(crate) use proxy::{Proxy, Quiet};

use crate::options::Declared;
use crate::refs::Away;
use crate::runtime;
use rayline_core::ids::ActorId;
use std::fmt;
use std::sync::Arc;

/// State with methods; `#[derive(Actor)]` implements it, and `#[methods]` gives its reference the methods.
///
/// ```
/// use rayline::prelude::*;
///
/// #[derive(Actor)]
/// #[actor(restarts = 2)]
/// struct Counter { count: u64 }
///
/// #[methods]
/// impl Counter {
///     pub fn new(start: u64) -> Self { Self { count: start } }
///     /// `&mut self` runs alone, in the order in which each caller sent it.
///     pub fn add(&mut self, n: u64) -> u64 { self.count += n; self.count }
///     /// `&self` may overlap with others of its kind, up to `concurrency`.
///     pub fn count(&self) -> u64 { self.count }
/// }
///
/// # fn main() -> rayline::Result<()> {
/// let counter = Counter::remote(40);
/// counter.add(1);
/// assert_eq!(counter.add(1).get()?, 42);
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` isn't an actor",
    note = "write `#[derive(Actor)]` above the type, and `#[methods]` above its `impl` block"
)]
pub trait Actor: Sized + Send + Sync + 'static {
    /// The reference to it, with its methods.
    type Ref;
    #[doc(hidden)]
    const OPTIONS: Declared;
    /// Its name in errors and logs.
    const TYPE: &'static str;

    #[doc(hidden)]
    fn wrap(actor: ActorRef<Self>) -> Self::Ref;

    #[doc(hidden)]
    fn checkpoint() -> Option<CheckpointOps<Self>> {
        None
    }
}

/// A reference to an actor. Cheap to clone, and a value that can be passed to tasks.
///
/// The actor lives while anybody refers to it, then ends after the calls that were sent; a detached one lives until it is
/// killed.
pub struct ActorRef<A: Actor>(Place<A>);

/// Who knows where an actor lives.
pub(crate) enum Place<A: Actor> {
    /// This process, which made it.
    Known {
        body: Body<A>,
        /// `None` for references that don't keep it.
        keep: Option<Arc<Keep<A>>>,
    },
    /// Another, which has sent a reference to it.
    Away(Arc<Away>),
}

/// Where an actor lives.
pub(crate) enum Body<A: Actor> {
    /// In this process.
    Here(Arc<ActorCell<A>>),
    /// In a worker's.
    Apart(Arc<Proxy>),
}

/// Ends the actor when the last reference goes.
pub(crate) struct Keep<A: Actor>(Body<A>);

impl<A: Actor> Clone for Body<A> {
    fn clone(&self) -> Self {
        match self {
            Self::Here(cell) => Self::Here(cell.clone()),
            Self::Apart(proxy) => Self::Apart(proxy.clone()),
        }
    }
}

impl<A: Actor> Body<A> {
    fn id(&self) -> ActorId {
        match self {
            Self::Here(cell) => cell.id(),
            Self::Apart(proxy) => proxy.id(),
        }
    }

    fn is_detached(&self) -> bool {
        match self {
            Self::Here(cell) => cell.is_detached(),
            Self::Apart(proxy) => proxy.is_detached(),
        }
    }

    /// Whether its calls are kept as they were sent, to be made again.
    pub(crate) fn is_saved_apart(&self) -> bool {
        match self {
            Self::Here(_) => false,
            Self::Apart(proxy) => proxy.is_saved(),
        }
    }

    fn set_keep(&self, keep: &Arc<Keep<A>>) {
        match self {
            Self::Here(cell) => cell.set_keep(keep),
            Self::Apart(proxy) => proxy.set_keep(keep.clone()),
        }
    }

    fn keep(&self) -> Option<Arc<Keep<A>>> {
        match self {
            Self::Here(cell) => cell.keep(),
            Self::Apart(proxy) => proxy.keep()?.downcast().ok(),
        }
    }

    fn release(&self) {
        match self {
            Self::Here(cell) => cell.release(),
            Self::Apart(proxy) => proxy.release(),
        }
    }

    pub(crate) fn host(&self) -> Arc<dyn Host> {
        match self {
            Self::Here(cell) => cell.clone(),
            Self::Apart(proxy) => proxy.clone(),
        }
    }
}

impl<A: Actor> ActorRef<A> {
    pub(crate) fn new(body: Body<A>, detached: bool) -> Self {
        if detached {
            return Self(Place::Known { body, keep: None });
        }
        let keep = Arc::new(Keep(body.clone()));
        body.set_keep(&keep);
        Self(Place::Known { body, keep: Some(keep) })
    }

    /// A reference to what another process has referred to.
    pub(crate) fn of_away(away: Arc<Away>) -> Self {
        Self(Place::Away(away))
    }

    /// A further reference to an actor that was found; `None` where the last one is just going.
    pub(crate) fn to_found(body: Body<A>) -> Option<Self> {
        if body.is_detached() {
            return Some(Self(Place::Known { body, keep: None }));
        }
        let keep = body.keep()?;
        Some(Self(Place::Known { body, keep: Some(keep) }))
    }

    pub(crate) fn place(&self) -> &Place<A> {
        &self.0
    }

    /// The actor's id: the same in all its lives.
    pub fn id(&self) -> ActorId {
        match &self.0 {
            Place::Known { body, .. } => body.id(),
            Place::Away(away) => away.actor(),
        }
    }

    /// Ends the actor, after the method that runs: further calls, and those not started, fail.
    pub fn kill(&self) {
        self.end_life(false);
    }

    /// Ends this life of the actor; it starts again if it may (`restarts`), and goes on with the calls not started.
    pub fn kill_and_restart(&self) {
        self.end_life(true);
    }

    fn end_life(&self, restart: bool) {
        match &self.0 {
            Place::Known { body, .. } => runtime::control().kill_actor(body.id(), restart),
            Place::Away(away) => away.kill(restart),
        }
    }
}

/// What keeps the actor, for a call that isn't `ready` to run.
fn kept_unless<A: Actor>(keep: &Option<Arc<Keep<A>>>, ready: bool) -> call::Kept<A> {
    if ready { None } else { keep.clone() }
}

impl<A: Actor> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Place::Known { body, keep } => Place::Known { body: body.clone(), keep: keep.clone() },
            Place::Away(away) => Place::Away(away.clone()),
        })
    }
}

impl<A: Actor> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", A::TYPE, self.id())
    }
}

impl<A: Actor> Drop for Keep<A> {
    fn drop(&mut self) {
        self.0.release();
    }
}
