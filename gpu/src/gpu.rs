//! The GPUs of this machine.

use std::ffi::c_int;
use std::path::Path;

use cudarc::driver::sys;

use crate::device::Device;
use crate::driver::{check, load};
use crate::error::NoGpu;

/// The GPUs that this process may use, as the driver counts them.
///
/// ```no_run
/// let gpu = match rayline_gpu::Gpu::discover() {
///     Ok(gpu) => gpu,
///     Err(reason) => return println!("on the CPU: {reason}"),
/// };
/// for device in gpu.devices() {
///     println!("{} with {} MiB", device.name(), device.memory_bytes() >> 20);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Gpu {
    devices: Vec<Device>,
    driver_version: [u32; 2],
}

impl Gpu {
    /// Loads the driver, if there is one, and asks for its devices. It never panics, and may be called wherever and as
    /// often as one likes. `RAYLINE_CUDA_DRIVER` in the environment may name the file of the driver.
    ///
    /// # Errors
    /// Why there is no GPU.
    pub fn discover() -> Result<Self, NoGpu> {
        load(None)?;
        Self::read()
    }

    /// The same with the driver in the file `library`, such as the fake one of the tests.
    ///
    /// # Errors
    /// As of [`Gpu::discover`]; [`NoGpu::OtherLibrary`] if this process has another one.
    pub fn discover_by(library: &Path) -> Result<Self, NoGpu> {
        load(Some(library))?;
        Self::read()
    }

    /// The devices, at least one. `CUDA_VISIBLE_DEVICES` says which the driver counts, and in what order.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Major and minor number of the CUDA version that the driver is for.
    pub fn driver_version(&self) -> [u32; 2] {
        self.driver_version
    }

    fn read() -> Result<Self, NoGpu> {
        let (mut version, mut count): (c_int, c_int) = (0, 0);
        // SAFETY: the driver is loaded and writes one number.
        check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&raw mut version) }).map_err(NoGpu::Failed)?;
        // SAFETY: as above.
        check("cuDeviceGetCount", unsafe { sys::cuDeviceGetCount(&raw mut count) }).map_err(NoGpu::Failed)?;
        if count <= 0 {
            return Err(NoGpu::NoDevice);
        }
        let devices = (0..count).map(Device::read).collect::<Result<_, _>>().map_err(NoGpu::Failed)?;
        let version = version.unsigned_abs();
        Ok(Self { devices, driver_version: [version / 1000, version % 1000 / 10] })
    }
}
