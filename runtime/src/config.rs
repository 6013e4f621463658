//! What a node offers, and how the runtime is set up.

use crate::error::{Error, ErrorKind, Result};
use crate::options::amount;
use crate::session::ADDRESS;
use rayline_core::resources::Capacity;
use std::path::PathBuf;
use std::sync::LazyLock;

/// How a runtime is set up. The default offers what the machine has.
///
/// ```
/// # use rayline::Config;
/// let runtime = rayline::init_with(Config::default().cpus(4).gpus(2).resource("license", 1))?;
/// # drop(runtime);
/// # rayline::Result::<()>::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    cpus: Option<u32>,
    gpus: u32,
    gpu_memory_bytes: u64,
    memory_bytes: Option<u64>,
    resources: Vec<(String, f64)>,
    object_store_bytes: Option<u64>,
    pub(crate) processes: usize,
    address: Where,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) threads_max: usize,
    pub(crate) stack_bytes: usize,
}

/// Where tasks run.
#[derive(Clone, Debug)]
enum Where {
    /// As the environment says.
    Environment,
    /// In this process and those that it starts.
    Here,
    /// In a cluster.
    At(String),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cpus: None,
            gpus: 0,
            gpu_memory_bytes: 0,
            memory_bytes: None,
            resources: Vec::new(),
            object_store_bytes: None,
            processes: 0,
            address: Where::Environment,
            secret_file: None,
            threads_max: 512,
            stack_bytes: 32 << 20,
        }
    }
}

impl Config {
    /// CPUs to offer; by default those that the process may use, with the control group's quota in mind.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = Some(cpus);
        self
    }

    /// GPUs to offer, whether or not they are there: tasks are told their indices.
    #[must_use]
    pub fn gpus(mut self, gpus: u32) -> Self {
        self.gpus = gpus;
        self
    }

    /// Memory of each offered GPU, in bytes.
    #[must_use]
    pub fn gpu_memory(mut self, bytes: u64) -> Self {
        self.gpu_memory_bytes = bytes;
        self
    }

    /// Host memory to offer, in bytes; by default what the process may use.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }

    /// Units of a resource of your own, for tasks and actors to ask for by name.
    #[must_use]
    pub fn resource(mut self, name: &str, units: impl Into<f64>) -> Self {
        self.resources.push((name.to_owned(), units.into()));
        self
    }

    /// Worker processes that run plain tasks, each with its share of the CPUs; 0, the default, runs them on threads of
    /// this process. Native code that crashes then takes a worker with it, whose tasks are tried again. Arguments and
    /// values are encoded on their way, but for large buffers ([`object_store`](Self::object_store)); tasks that hold
    /// leases, and actors, stay in this process.
    #[must_use]
    pub fn processes(mut self, processes: usize) -> Self {
        self.processes = processes;
        self
    }

    /// Runs tasks on the cluster whose head listens at `address`, such as `10.0.0.1:7741`; `auto` is that of this machine's
    /// daemon. By default the environment variable `RAYLINE_ADDRESS` says so, and without it there is no cluster.
    #[must_use]
    pub fn address(mut self, address: &str) -> Self {
        self.address = Where::At(address.to_owned());
        self
    }

    /// The file of the cluster's secret. By default the environment variable `RAYLINE_SECRET_FILE` names it, and without it
    /// it is that of this machine's daemon.
    #[must_use]
    pub fn secret_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.secret_file = Some(path.into());
        self
    }

    /// Runs tasks in this process and those that it starts, whatever the environment says.
    #[must_use]
    pub fn embedded(mut self) -> Self {
        self.address = Where::Here;
        self
    }

    /// Bytes of shared memory for buffers of more than 100 KiB on their way to and from worker processes; by default 30 %
    /// of the memory that the process may use. It is used as it is needed; what doesn't fit is spilled to the system's
    /// folder for temporary files, or copied as short values are. With 0, all are.
    #[must_use]
    pub fn object_store(mut self, bytes: u64) -> Self {
        self.object_store_bytes = Some(bytes);
        self
    }

    /// How many threads there may be for tasks, with those that stand in for tasks that block.
    #[must_use]
    pub fn threads_max(mut self, threads: usize) -> Self {
        self.threads_max = threads;
        self
    }

    /// Virtual size of a task thread's stack, in bytes.
    #[must_use]
    pub fn stack(mut self, bytes: usize) -> Self {
        self.stack_bytes = bytes;
        self
    }

    /// The cluster to join, if there is to be one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where worker processes are asked for as well.
    pub(crate) fn cluster(&self) -> Result<Option<String>> {
        let address = match &self.address {
            Where::Environment => std::env::var(ADDRESS).ok().filter(|address| !address.is_empty()),
            Where::Here => None,
            Where::At(address) => Some(address.clone()),
        };
        if address.is_some() && self.processes > 0 {
            let why = "a cluster's nodes start the worker processes: leave `processes` out, or say `embedded()`";
            return Err(Error::new(ErrorKind::Config(why.into())));
        }
        Ok(address)
    }

    /// Bytes of the object store.
    pub(crate) fn object_store_bytes(&self) -> u64 {
        self.object_store_bytes.unwrap_or_else(|| detect_memory() / 10 * 3)
    }

    /// How many CPUs are offered.
    pub(crate) fn cpu_count(&self) -> u32 {
        self.cpus.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32))
    }

    /// As the machines understand it.
    pub(crate) fn capacity(&self) -> Result<Capacity> {
        let cpus = self.cpu_count();
        if cpus == 0 || self.threads_max < cpus as usize || self.threads_max > 65_535 {
            let why = format!("needs 1 <= cpus <= threads_max <= 65535, got {cpus} and {}", self.threads_max);
            return Err(Error::new(ErrorKind::Config(why)));
        }
        let mut capacity = Capacity::cpus(amount("cpus", f64::from(cpus))?)
            .with_memory(self.memory_bytes.unwrap_or_else(detect_memory));
        for index in 0..self.gpus {
            capacity = capacity.with_gpu(index, self.gpu_memory_bytes);
        }
        for (name, units) in &self.resources {
            capacity = capacity.with_named(name, amount(name, *units)?);
        }
        Ok(capacity)
    }
}

/// Bytes of memory that the process may use: the control group's limit, or the machine's memory.
fn detect_memory() -> u64 {
    static DETECTED: LazyLock<u64> = LazyLock::new(read_memory);
    *DETECTED
}

fn read_memory() -> u64 {
    let read = |path| std::fs::read_to_string(path).ok();
    let number = |text: String| text.trim().parse::<u64>().ok();
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.into_iter().filter_map(read).find_map(number).unwrap_or(u64::MAX);
    limit.min(read("/proc/meminfo").and_then(|text| mem_total(&text)).unwrap_or(u64::MAX))
}

/// The `MemTotal` line of `/proc/meminfo`, in bytes.
fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_machine() {
        assert_eq!(mem_total("MemTotal:       24 kB\nMemFree: 1 kB\n"), Some(24 * 1024));
        assert_eq!(mem_total("nothing"), None);
        assert!(detect_memory() > 1 << 20);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        assert!(Config::default().cpus(0).capacity().is_err());
        assert!(Config::default().cpus(4).threads_max(3).capacity().is_err());
        let error = Config::default().resource("license", -1.0).capacity().unwrap_err();
        assert!(error.to_string().contains("license"), "{error}");
    }
}
