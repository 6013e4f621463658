//! The driver: all that one process has of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::config::Config;
use crate::event::Event;
use crate::fault::{Fault, Status};
use crate::host::HostMemory;
use crate::memory::Memory;
use crate::ptx::{Kernel, Module};
use crate::stream::Stream;
use crate::table::Table;
use crate::work::Work;

/// The state of the driver. It lives as long as the process.
#[derive(Debug)]
pub struct Driver {
    config: Config,
    memory: Memory,
    pub host: HostMemory,
    /// Of each device, what is in use.
    used_bytes: Vec<AtomicUsize>,
    /// Which pool an allocation is of.
    pool_of: Mutex<HashMap<u64, Arc<Pool>>>,
    pub pools: Table<Pool>,
    pub streams: Table<Stream>,
    pub events: Table<Event>,
    pub modules: Table<Module>,
    pub kernels: Table<Arc<Kernel>>,
    /// Graphs, and those that were instantiated.
    pub graphs: Table<Vec<Work>>,
    /// What every call answers from the first failure of a device on.
    failure: Mutex<Option<Fault>>,
    /// Why a call last answered a status.
    reasons: Mutex<HashMap<i32, String>>,
}

/// A pool of memory.
#[derive(Debug)]
pub struct Pool {
    pub device: usize,
    /// No bound where 0.
    pub bytes_max: usize,
    used_bytes: AtomicUsize,
}

impl Driver {
    /// The driver of this process.
    ///
    /// # Errors
    /// `InvalidValue` where the environment is not understood.
    pub fn global() -> Result<&'static Self, Fault> {
        static DRIVER: OnceLock<Result<Driver, String>> = OnceLock::new();
        let driver = DRIVER.get_or_init(|| Config::from_env().map(Driver::new));
        driver.as_ref().map_err(|error| Fault::new(Status::InvalidValue, error.clone()))
    }

    fn new(config: Config) -> Self {
        Self {
            used_bytes: (0..config.device_count).map(|_| AtomicUsize::new(0)).collect(),
            config,
            memory: Memory::default(),
            host: HostMemory::default(),
            pool_of: Mutex::default(),
            pools: Table::new("memory pool"),
            streams: Table::new("stream"),
            events: Table::new("event"),
            modules: Table::new("module"),
            kernels: Table::new("kernel"),
            graphs: Table::new("graph"),
            failure: Mutex::default(),
            reasons: Mutex::default(),
        }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Bytes of a device in use.
    pub fn used_bytes(&self, device: usize) -> usize {
        self.used_bytes[device].load(Ordering::Relaxed)
    }

    /// Makes `len` bytes on `device`.
    ///
    /// # Errors
    /// `InvalidValue` for none, `OutOfMemory` where the device hasn't as many.
    pub fn allocate(&self, device: usize, len: usize) -> Result<u64, Fault> {
        if len == 0 {
            return Err(Fault::new(Status::InvalidValue, "an allocation of no bytes"));
        }
        take(&self.used_bytes[device], len, self.config.memory_bytes)
            .map_err(|used| no_memory(&format!("device {device}"), len, used, self.config.memory_bytes))?;
        self.memory.allocate(device, len).inspect_err(|_| {
            self.used_bytes[device].fetch_sub(len, Ordering::Relaxed);
        })
    }

    /// The same from a pool.
    ///
    /// # Errors
    /// `OutOfMemory`, too, where the pool has reached its bound.
    pub fn allocate_from(&self, pool: &Arc<Pool>, len: usize) -> Result<u64, Fault> {
        let bytes_max = if pool.bytes_max == 0 { usize::MAX } else { pool.bytes_max };
        take(&pool.used_bytes, len, bytes_max).map_err(|used| no_memory("the pool", len, used, bytes_max))?;
        let address = self.allocate(pool.device, len).inspect_err(|_| {
            pool.used_bytes.fetch_sub(len, Ordering::Relaxed);
        })?;
        lock(&self.pool_of).insert(address, pool.clone());
        Ok(address)
    }

    /// Gives memory back.
    ///
    /// # Errors
    /// `InvalidValue` if it is no allocation.
    pub fn free(&self, address: u64) -> Result<(), Fault> {
        let allocation = self.memory.remove(address)?;
        if let Some(pool) = lock(&self.pool_of).remove(&address) {
            pool.used_bytes.fetch_sub(allocation.len(), Ordering::Relaxed);
        }
        if allocation.is_own() {
            self.used_bytes[allocation.device()].fetch_sub(allocation.len(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// A device has failed; the first failure is the one that counts.
    pub fn fail(&self, fault: Fault) {
        self.explain(&fault);
        lock(&self.failure).get_or_insert(fault);
    }

    /// What every call answers, if a device has failed.
    pub fn failure(&self) -> Option<Fault> {
        lock(&self.failure).clone()
    }

    /// Keeps the reason for who asks what the status means.
    pub fn explain(&self, fault: &Fault) {
        lock(&self.reasons).insert(fault.status as i32, fault.reason.clone());
    }

    /// Why a call last answered this.
    pub fn reason(&self, status: i32) -> Option<String> {
        lock(&self.reasons).get(&status).cloned()
    }
}

impl Pool {
    pub fn new(device: usize, bytes_max: usize) -> Self {
        Self { device, bytes_max, used_bytes: AtomicUsize::new(0) }
    }

    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

/// Adds `len` to `used` unless it would become more than `max`; then it returns what is used.
fn take(used: &AtomicUsize, len: usize, max: usize) -> Result<usize, usize> {
    let add = |used: usize| used.checked_add(len).filter(|sum| *sum <= max);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
}

fn no_memory(of: &str, len: usize, used: usize, max: usize) -> Fault {
    Fault::new(Status::OutOfMemory, format!("{len} bytes, but of {max} bytes of {of} {used} are in use"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
