//! Placement groups: resources set apart together, for tasks and actors that belong near each other, or far apart.

use crate::error::{Error, ErrorKind, Result};
use crate::options::{Declared, Options};
use crate::runtime;
use crate::wait::deadline;
use rayline_core::controller::Strategy;
use rayline_core::ids::{BundleId, GroupId};
use rayline_core::resources::Demand;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Resources that are reserved together. Clones are the same group; it is removed with the last of them, when nothing
/// that was placed in it is left either.
///
/// ```
/// # use rayline::prelude::*;
/// # #[task] fn step(x: i64) -> i64 { x + 1 }
/// # fn main() -> rayline::Result<()> {
/// let group = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(1)])?;
/// assert_eq!(step::call(1).place(group.bundle(0)).remote().get()?, 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PlacementGroup(Arc<Reserved>);

/// One bundle of a group, to place tasks and actors in. Keeps the group.
#[derive(Clone, Debug)]
pub struct BundleRef {
    pub(crate) id: BundleId,
    _group: Arc<Reserved>,
}

/// What one bundle of a group holds.
#[derive(Clone, Debug)]
pub struct Bundle {
    options: Options,
}

#[derive(Debug)]
struct Reserved {
    id: GroupId,
    bundles: u32,
    progress: Arc<Progress>,
}

/// How far a reservation is; the control thread writes it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Waiting,
    Ready,
    Failed(String),
}

impl Bundle {
    /// `cpus` CPUs.
    pub fn cpu(cpus: impl Into<f64>) -> Self {
        Self { options: Options::new(Declared { cpu: cpus.into(), ..Declared::TASK }) }
    }

    /// The same, with `gpus` GPUs: a fraction of one device, or whole devices.
    #[must_use]
    pub fn gpu(mut self, gpus: impl Into<f64>) -> Self {
        self.options.declared.gpu = gpus.into();
        self
    }

    /// The same, with `bytes` of host memory.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.options.declared.memory_bytes = bytes;
        self
    }

    /// The same, with `units` of a resource of your own.
    #[must_use]
    pub fn resource(mut self, name: &str, units: impl Into<f64>) -> Self {
        self.options.named.push((name.to_owned(), units.into()));
        self
    }
}

impl PlacementGroup {
    /// Asks for a group. It may have to wait for what others hold: see [`ready`](Self::ready). Tasks and actors placed in
    /// it wait, too.
    ///
    /// # Errors
    /// [`ErrorKind::Group`] where it can never be, with what exists; [`ErrorKind::Infeasible`] for amounts that make no
    /// sense.
    pub fn reserve(strategy: Strategy, bundles: impl IntoIterator<Item = Bundle>) -> Result<Self> {
        let demands: Vec<Demand> = bundles.into_iter().map(|bundle| bundle.options.demand()).collect::<Result<_>>()?;
        let id = GroupId { owner: runtime::owner(), seq: rayline_exec::fresh_id() };
        let (count, progress) = (demands.len() as u32, Arc::<Progress>::default());
        runtime::control().reserve(id, demands, strategy, progress.clone());
        if let State::Failed(why) = &*progress.lock() {
            return Err(Error::new(ErrorKind::Group(why.clone())));
        }
        Ok(Self(Arc::new(Reserved { id, bundles: count, progress })))
    }

    /// Blocks until the group is reserved, for at most `timeout`; whether it is.
    ///
    /// # Errors
    /// [`ErrorKind::Group`] where it was removed.
    pub fn ready(&self, timeout: Option<Duration>) -> Result<bool> {
        self.0.progress.wait(timeout.and_then(deadline))
    }

    /// One of its bundles.
    ///
    /// # Panics
    /// Where there is no bundle of that index.
    pub fn bundle(&self, index: u32) -> BundleRef {
        assert!(index < self.0.bundles, "bundle {index} of a group with {} bundles", self.0.bundles);
        BundleRef { id: BundleId { group: self.0.id, index }, _group: self.0.clone() }
    }

    /// How many bundles it has.
    pub fn bundles(&self) -> u32 {
        self.0.bundles
    }

    /// Removes the group at once: tasks that wait for it fail, actors in it die, running tasks end.
    pub fn remove(self) {
        runtime::control().remove_group(self.0.id);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        runtime::control().remove_group(self.id);
    }
}

impl Progress {
    pub(crate) fn ready(&self) {
        self.set(State::Ready);
    }

    pub(crate) fn broken(&self) {
        self.set(State::Waiting);
    }

    pub(crate) fn failed(&self, why: String) {
        self.set(State::Failed(why));
    }

    fn set(&self, state: State) {
        *self.lock() = state;
        self.changed.notify_all();
    }

    fn wait(&self, deadline: Option<Instant>) -> Result<bool> {
        rayline_exec::blocking(|| {
            let mut state = self.lock();
            loop {
                match &*state {
                    State::Ready => return Ok(true),
                    State::Failed(why) => return Err(Error::new(ErrorKind::Group(why.clone()))),
                    State::Waiting => {}
                }
                let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                match left {
                    Some(Duration::ZERO) => return Ok(false),
                    Some(left) => {
                        let waited = self.changed.wait_timeout(state, left);
                        state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
                    }
                    None => state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
                }
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
