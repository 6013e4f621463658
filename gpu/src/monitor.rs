//! What goes on on devices, whoever does it.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;

use crate::device::Device;

/// Links that a device has at most, of which each is asked for.
const LINKS_MAX: u32 = 18;

/// A look at devices from outside: NVML, the management library that comes with the driver, loaded at run time.
///
/// A MIG instance is seen as the GPU that it is a part of.
#[derive(Debug)]
pub struct Monitor {
    nvml: Nvml,
}

/// Why devices can't be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// The management library isn't installed, or can't be loaded.
    #[error("no NVML could be loaded")]
    NoLibrary(#[source] NvmlError),
    /// The library refuses.
    #[error("NVML can't tell about device {index}")]
    Failed {
        /// The device's place among those of this process.
        index: usize,
        /// What it says.
        #[source]
        source: NvmlError,
    },
}

/// How much of a device is in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    /// Share of the time in which some kernel ran, in percent, over about the last second.
    pub busy_percent: u32,
    /// Share of the time in which memory was read or written, in percent.
    pub memory_busy_percent: u32,
    /// Bytes in use, by all processes and the driver.
    pub used_bytes: u64,
    /// Who computes on it.
    pub processes: Vec<Process>,
}

/// A process on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id, as the host counts.
    pub id: u32,
    /// Device memory that it has in use, where the driver tells.
    pub used_bytes: Option<u64>,
}

/// What a device is joined to by NVLink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The place on the PCI bus of another GPU, or of a switch: GPUs with the same switches reach each other.
    pub pci_address: String,
    /// How many links join them.
    pub link_count: u32,
}

impl Monitor {
    /// Loads the library.
    ///
    /// # Errors
    /// [`MonitorError::NoLibrary`] if there is none.
    pub fn new() -> Result<Self, MonitorError> {
        // Only developers' packages have the name without the number, which is the default.
        let found = Nvml::builder().lib_path(OsStr::new("libnvidia-ml.so.1")).init().or_else(|_| Nvml::init());
        found.map(|nvml| Self { nvml }).map_err(MonitorError::NoLibrary)
    }

    /// How much of a device is in use now.
    ///
    /// # Errors
    /// [`MonitorError::Failed`] if the library refuses.
    pub fn usage(&self, device: &Device) -> Result<Usage, MonitorError> {
        self.read_usage(device).map_err(|source| MonitorError::Failed { index: device.index(), source })
    }

    /// What a device is joined to by links that are up; empty where there are none.
    ///
    /// # Errors
    /// [`MonitorError::Failed`] if the library refuses.
    pub fn neighbours(&self, device: &Device) -> Result<Vec<Neighbour>, MonitorError> {
        self.read_neighbours(device).map_err(|source| MonitorError::Failed { index: device.index(), source })
    }

    fn read_usage(&self, device: &Device) -> Result<Usage, NvmlError> {
        let found = self.nvml.device_by_pci_bus_id(device.pci_address())?;
        let (rates, memory) = (found.utilization_rates()?, found.memory_info()?);
        let processes = found.running_compute_processes()?.into_iter().map(|process| Process {
            id: process.pid,
            used_bytes: match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            },
        });
        Ok(Usage {
            busy_percent: rates.gpu,
            memory_busy_percent: rates.memory,
            used_bytes: memory.used,
            processes: processes.collect(),
        })
    }

    fn read_neighbours(&self, device: &Device) -> Result<Vec<Neighbour>, NvmlError> {
        let found = self.nvml.device_by_pci_bus_id(device.pci_address())?;
        let mut counts = BTreeMap::<String, u32>::new();
        for link in (0..LINKS_MAX).map(|link| found.link_wrapper_for(link)) {
            match link.is_active() {
                Ok(true) => *counts.entry(link.remote_pci_info()?.bus_id.to_lowercase()).or_default() += 1,
                // A device has fewer links than the most there are, or none.
                Ok(false) | Err(NvmlError::NotSupported | NvmlError::InvalidArg) => {}
                Err(error) => return Err(error),
            }
        }
        let neighbours = counts.into_iter().map(|(pci_address, link_count)| Neighbour { pci_address, link_count });
        Ok(neighbours.collect())
    }
}
