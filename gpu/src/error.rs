//! What can go wrong.

use std::path::PathBuf;

/// Why there is no GPU.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoGpu {
    /// No driver is installed, or it can't be loaded.
    #[error("no CUDA driver could be loaded: {reason}")]
    NoLibrary {
        /// What the loader says.
        reason: String,
    },
    /// One driver is loaded in this process, and another was asked for.
    #[error("the CUDA driver of this process is not that of {}", wanted.display())]
    OtherLibrary {
        /// Which was asked for.
        wanted: PathBuf,
    },
    /// The driver is older than CUDA 13.0, or no driver.
    #[error("the CUDA driver lacks `{name}`: it must be of CUDA 13.0 or newer")]
    TooOld {
        /// A function that it hasn't.
        name: &'static str,
    },
    /// There is a driver, and it sees no device.
    #[error("the CUDA driver finds no device")]
    NoDevice,
    /// The driver fails.
    #[error("the CUDA driver can't be used")]
    Failed(#[source] GpuError),
}

/// What calls on devices answer when they fail.
///
/// A kernel that fails does so later than it was launched: whoever next waits for the stream gets [`GpuError::Driver`],
/// and so do all calls of the process from then on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The driver refused a call, or reports what failed before it.
    #[error("{call}: {name} ({reason})")]
    Driver {
        /// The function of the driver.
        call: &'static str,
        /// What it answered.
        code: u32,
        /// The name of that.
        name: String,
        /// What the driver says of it.
        reason: String,
    },
    /// A lease would hold more than its limit.
    #[error("{asked_bytes} bytes asked of a lease that holds {used_bytes} of {limit_bytes}")]
    LeaseLimit {
        /// Bytes that were asked for.
        asked_bytes: u64,
        /// Bytes that the lease holds.
        used_bytes: u64,
        /// Bytes that it may hold.
        limit_bytes: u64,
    },
    /// A pool of pinned host memory would hold more than its limit.
    #[error("{asked_bytes} pinned bytes asked of a pool that has {used_bytes} of {limit_bytes} in use")]
    PinnedLimit {
        /// Bytes that were asked for.
        asked_bytes: u64,
        /// Bytes in use.
        used_bytes: u64,
        /// Bytes that it may hold.
        limit_bytes: u64,
    },
    /// The device has no more memory.
    #[error("{asked_bytes} bytes asked of {device}, which has {free_bytes} of {total_bytes} free")]
    OutOfMemory {
        /// The device's name.
        device: String,
        /// Bytes that were asked for.
        asked_bytes: u64,
        /// Bytes that the device has free.
        free_bytes: u64,
        /// Bytes that it has in all.
        total_bytes: u64,
    },
    /// An array has another length than those beside it need.
    #[error("{what} has {found} elements, but needs {expected}")]
    Length {
        /// Which array.
        what: &'static str,
        /// How many it must have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// A number is too large for the device, or is 0 and must not be.
    #[error("{what} is {found}, but must lie between {min} and {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// What it is.
        found: u64,
        /// The least that it may be.
        min: u64,
        /// The most that it may be.
        max: u64,
    },
    /// A buffer is ordered by another stream: see [`DeviceBuffer::move_to`](crate::DeviceBuffer::move_to).
    #[error("a buffer is used in another stream than its own: move it first")]
    OtherStream,
    /// Two things that are of different devices can't be used together.
    #[error("{found} is of device {found_device}, but device {device} needs it")]
    OtherDevice {
        /// Which thing.
        found: &'static str,
        /// The device that it is of.
        found_device: usize,
        /// The device that it is used on.
        device: usize,
    },
    /// The stream is captured into a graph: nothing can be waited for, and no memory be had of it.
    #[error("the stream is being captured into a graph")]
    Capturing,
    /// Memory of a pool can't go to other processes.
    #[error("memory from a pool can't be shared: allocate it with `Lease::allocate_shareable`")]
    NotShareable,
    /// Bytes that are no handle.
    #[error("{len} bytes are no handle of shared device memory")]
    BadHandle {
        /// How many they are.
        len: usize,
    },
    /// The device is older than what a kernel is made for.
    #[error("kernels need compute capability {}.{}, the device has {}.{}", needed[0], needed[1], found[0], found[1])]
    OldDevice {
        /// Major and minor number that is needed.
        needed: [u32; 2],
        /// Those of the device.
        found: [u32; 2],
    },
    /// A kernel doesn't compile.
    #[error("the kernel `{kernel}` doesn't compile: {log}")]
    Compile {
        /// Its name.
        kernel: String,
        /// What the compiler says.
        log: String,
    },
    /// The compiler for kernels can't be used.
    #[error("no NVRTC: {reason}")]
    NoCompiler {
        /// Why.
        reason: String,
    },
    /// The operating system refuses.
    #[error("{what}: {reason}")]
    Local {
        /// What was tried.
        what: String,
        /// What it says.
        reason: String,
    },
}
