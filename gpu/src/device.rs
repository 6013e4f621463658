//! What a device is.

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::fs;

use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute, CUresult};

use crate::driver::check;
use crate::error::GpuError;

/// Characters of a name, or of an address on the bus.
const TEXT_LEN: usize = 256;

/// A GPU, or a part of one (MIG) that the driver shows as one.
#[derive(Clone, Debug)]
pub struct Device {
    raw: sys::CUdevice,
    index: usize,
    name: String,
    uuid: Uuid,
    memory_bytes: u64,
    capability: [u32; 2],
    multiprocessor_count: u32,
    pci_address: String,
    numa_node: Option<u32>,
    can_export_dmabuf: bool,
}

/// The one name of a device that stays the same whoever asks, and in whatever order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Device {
    /// Its place among the devices of this process.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its product name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name among all devices.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Its memory, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Major and minor number of its compute capability.
    pub fn capability(&self) -> [u32; 2] {
        self.capability
    }

    /// How many multiprocessors it has: a launch should have a few blocks for each.
    pub fn multiprocessor_count(&self) -> u32 {
        self.multiprocessor_count
    }

    /// Its place on the PCI bus, such as `0000:3b:00.0`.
    pub fn pci_address(&self) -> &str {
        &self.pci_address
    }

    /// The NUMA node of the host that is nearest, where the machine has any.
    pub fn numa_node(&self) -> Option<u32> {
        self.numa_node
    }

    /// Which part of a GPU it is, such as `1g.10gb`, if it is a MIG instance. The driver says it in the name.
    pub fn mig_profile(&self) -> Option<&str> {
        self.name.split_once(" MIG ").map(|(_, profile)| profile)
    }

    /// Whether its memory can be exported to other drivers, such as that of a network card.
    pub fn can_export_dmabuf(&self) -> bool {
        self.can_export_dmabuf
    }

    /// Whether its kernels could reach the memory of `peer`: see
    /// [`Context::enable_peer`](crate::Context::enable_peer).
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the driver fails.
    pub fn can_access(&self, peer: &Self) -> Result<bool, GpuError> {
        let mut can: c_int = 0;
        // SAFETY: both are devices of the driver, which writes one number.
        let result = unsafe { sys::cuDeviceCanAccessPeer(&raw mut can, self.raw, peer.raw) };
        check("cuDeviceCanAccessPeer", result)?;
        Ok(can != 0)
    }

    pub(crate) fn raw(&self) -> sys::CUdevice {
        self.raw
    }

    /// Asks the driver, which must have been loaded.
    pub(crate) fn read(ordinal: c_int) -> Result<Self, GpuError> {
        let mut raw = 0;
        // SAFETY: the driver is loaded and writes one number.
        check("cuDeviceGet", unsafe { sys::cuDeviceGet(&raw mut raw, ordinal) })?;
        let name = text(|text, len| {
            // SAFETY: the driver writes at most `len` characters.
            check("cuDeviceGetName", unsafe { sys::cuDeviceGetName(text, len, raw) })
        })?;
        let pci_address = text(|text, len| {
            // SAFETY: as above.
            check("cuDeviceGetPCIBusId", unsafe { sys::cuDeviceGetPCIBusId(text, len, raw) })
        })?;
        let pci_address = pci_address.to_lowercase();
        let mut memory_bytes = 0;
        // SAFETY: the driver writes one number.
        check("cuDeviceTotalMem", unsafe { sys::cuDeviceTotalMem_v2(&raw mut memory_bytes, raw) })?;
        let number = |of| attribute(raw, of).map(i32::unsigned_abs);
        Ok(Self {
            index: ordinal.unsigned_abs() as usize,
            uuid: Uuid::read(raw)?,
            memory_bytes: memory_bytes as u64,
            capability: [
                number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ],
            multiprocessor_count: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            numa_node: numa_node(raw, &pci_address),
            can_export_dmabuf: number(Attribute::CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED)? == 1,
            raw,
            name,
            pci_address,
        })
    }
}

impl Uuid {
    fn read(device: sys::CUdevice) -> Result<Self, GpuError> {
        let mut uuid = sys::CUuuid { bytes: [0; 16] };
        // SAFETY: the driver writes sixteen bytes.
        check("cuDeviceGetUuid", unsafe { sys::cuDeviceGetUuid_v2(&raw mut uuid, device) })?;
        Ok(Self(uuid.bytes.map(|byte| byte as u8)))
    }
}

/// As the tools of NVIDIA write it, and `CUDA_VISIBLE_DEVICES` takes it.
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GPU")?;
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if [0, 4, 6, 8, 10].contains(&at) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

fn attribute(device: sys::CUdevice, of: Attribute) -> Result<c_int, GpuError> {
    let mut value = 0;
    // SAFETY: the driver writes one number.
    check("cuDeviceGetAttribute", unsafe { sys::cuDeviceGetAttribute(&raw mut value, of, device) })?;
    Ok(value)
}

/// What the driver knows, else what the kernel does.
fn numa_node(device: sys::CUdevice, pci_address: &str) -> Option<u32> {
    let mut node = -1;
    let of = Attribute::CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID;
    // SAFETY: the driver writes one number.
    let result = unsafe { sys::cuDeviceGetAttribute(&raw mut node, of, device) };
    let known = if result == CUresult::CUDA_SUCCESS { u32::try_from(node).ok() } else { None };
    known.or_else(|| {
        let text = fs::read_to_string(format!("/sys/bus/pci/devices/{pci_address}/numa_node")).ok()?;
        text.trim().parse().ok()
    })
}

fn text(write: impl Fn(*mut c_char, c_int) -> Result<(), GpuError>) -> Result<String, GpuError> {
    let mut buffer = [0 as c_char; TEXT_LEN];
    // One less than there are, so that a zero is left at the end.
    write(buffer.as_mut_ptr(), (TEXT_LEN - 1) as c_int)?;
    // SAFETY: the array ends with a zero at the latest.
    Ok(unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_string_lossy().into_owned())
}
