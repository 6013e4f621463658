//! What a task or an actor needs, and how it is treated.

use crate::error::{Error, ErrorKind, Result};
use crate::group::BundleRef;
use rayline_core::resources::{Amount, Demand};

/// The options that an attribute declares, known when the program is compiled.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    pub cpu: f64,
    pub gpu: f64,
    pub memory_bytes: u64,
    pub named: &'static [(&'static str, f64)],
    /// Tries after the first: for failures of the system, and for errors that `retry_on` names.
    pub retries: u32,
    pub retries_errors: bool,
    /// Lives of an actor after the first.
    pub restarts: u32,
    /// Methods by `&` that may overlap.
    pub concurrency: u32,
    /// Items of a stream that may wait for their consumer.
    pub buffer: u32,
    /// Exclusive calls between two checkpoints of an actor; 0 for none.
    pub checkpoint_every: u64,
    /// In a process of its own.
    pub isolated: bool,
}

impl Declared {
    /// A task: one CPU, three tries more after failures of the system.
    pub const TASK: Self = Self {
        cpu: 1.0,
        gpu: 0.0,
        memory_bytes: 0,
        named: &[],
        retries: 3,
        retries_errors: false,
        restarts: 0,
        concurrency: 1,
        buffer: 64,
        checkpoint_every: 0,
        isolated: false,
    };

    /// An actor: it holds no CPU, as its methods use the executor's.
    pub const ACTOR: Self = Self { cpu: 0.0, ..Self::TASK };

    /// How many methods of an actor may overlap, and how many calls there are between two checkpoints.
    pub(crate) const fn actor(&self) -> (usize, u64) {
        (self.concurrency as usize, self.checkpoint_every)
    }

    /// Whether a task runs on the fast path: it wants one CPU and nothing else, which every executor thread has, and
    /// its errors aren't retried.
    pub const fn is_plain(&self) -> bool {
        self.cpu == 1.0
            && self.gpu == 0.0
            && self.memory_bytes == 0
            && self.named.is_empty()
            && !self.isolated
            && !(self.retries_errors && self.retries > 0)
    }
}

/// The options of one call or creation: what is declared, and what was changed for it.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) declared: Declared,
    pub(crate) named: Vec<(String, f64)>,
    pub(crate) bundle: Option<BundleRef>,
    pub(crate) name: Option<String>,
}

impl Options {
    pub(crate) fn new(declared: Declared) -> Self {
        Self { declared, named: Vec::new(), bundle: None, name: None }
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.declared.is_plain() && self.named.is_empty() && self.bundle.is_none()
    }

    /// As the machines understand it.
    ///
    /// # Errors
    /// [`ErrorKind::Infeasible`] for amounts that can't be: negative, not a number, a GPU and a half.
    pub(crate) fn demand(&self) -> Result<Demand> {
        let mut demand = Demand::cpus(amount("cpu", self.declared.cpu)?)
            .with_memory(self.declared.memory_bytes)
            .with_gpu(amount("gpu", self.declared.gpu)?)
            .map_err(|error| Error::new(ErrorKind::Infeasible(error.to_string())))?;
        let declared = self.declared.named.iter().map(|&(name, units)| (name, units));
        for (name, units) in declared.chain(self.named.iter().map(|(name, units)| (name.as_str(), *units))) {
            demand = demand.with_named(name, amount(name, units)?);
        }
        Ok(demand)
    }
}

pub(crate) fn amount(name: &str, units: f64) -> Result<Amount> {
    Amount::from_f64(units).map_err(|error| Error::new(ErrorKind::Infeasible(format!("{name} = {units}: {error}"))))
}

/// The methods by which a prepared call or creation is changed.
macro_rules! option_methods {
    () => {
        /// CPUs that it holds; a fraction shares one.
        pub fn cpu(mut self, cpus: impl Into<f64>) -> Self {
            self.options.declared.cpu = cpus.into();
            self
        }

        /// GPUs that it holds: a fraction of one device, or whole devices.
        pub fn gpu(mut self, gpus: impl Into<f64>) -> Self {
            self.options.declared.gpu = gpus.into();
            self
        }

        /// Bytes of host memory that are counted for it.
        pub fn memory(mut self, bytes: u64) -> Self {
            self.options.declared.memory_bytes = bytes;
            self
        }

        /// Units of a resource of your own, as [`Config::resource`](crate::Config::resource) declares it.
        pub fn resource(mut self, name: &str, units: impl Into<f64>) -> Self {
            self.options.named.push((name.to_owned(), units.into()));
            self
        }

        /// In this bundle of a placement group, and nowhere else.
        pub fn place(mut self, bundle: $crate::group::BundleRef) -> Self {
            self.options.bundle = Some(bundle);
            self
        }
    };
}
pub(crate) use option_methods;
