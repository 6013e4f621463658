//! Device memory that goes to other processes and drivers.

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;

use cudarc::driver::sys;

use super::allocation::{Allocation, Origin};
use super::lease::bytes_of;
use super::{DeviceBuffer, Element};
use crate::driver::check;
use crate::error::GpuError;
use crate::stream::Stream;

/// Names device memory of this process to other processes of this host: plain bytes, to be sent as one likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpcHandle {
    raw: [u8; 64],
    /// Of the memory.
    bytes: u64,
}

impl IpcHandle {
    /// How long [`IpcHandle::to_bytes`] is.
    pub const LEN: usize = 72;

    /// As bytes.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut all = [0; Self::LEN];
        all[..64].copy_from_slice(&self.raw);
        all[64..].copy_from_slice(&self.bytes.to_le_bytes());
        all
    }

    /// From what [`IpcHandle::to_bytes`] gave.
    ///
    /// # Errors
    /// [`GpuError::BadHandle`] if there are more or fewer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GpuError> {
        let bad = GpuError::BadHandle { len: bytes.len() };
        let all: &[u8; Self::LEN] = bytes.try_into().map_err(|_| bad)?;
        let (raw, rest) = all.split_first_chunk().expect("64 of 72");
        Ok(Self { raw: *raw, bytes: u64::from_le_bytes(rest.try_into().expect("the other 8")) })
    }

    /// The memory as a buffer of this process, whose uses here are ordered by `stream`. The stream must be of the device
    /// that the memory is of.
    ///
    /// # Safety
    /// The process that made the handle must keep the buffer until this one is dropped; and both must not use it at the
    /// same time, unless both read only: streams order nothing between processes.
    ///
    /// # Errors
    /// [`GpuError::Driver`] in the process that made it, or if that one has gone; [`GpuError::Capturing`];
    /// [`GpuError::Length`] if it holds no whole number of elements.
    pub unsafe fn open<T: Element>(&self, stream: &Stream) -> Result<DeviceBuffer<T>, GpuError> {
        stream.check_running()?;
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        let len = bytes / size_of::<T>();
        if bytes_of::<T>(len)? != bytes {
            return Err(GpuError::Length { what: "shared memory", expected: len * size_of::<T>(), found: bytes });
        }
        let handle = sys::CUipcMemHandle { reserved: self.raw.map(|byte| byte as _) };
        let mut address = 0;
        let flags = sys::CUipcMem_flags_enum::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS as u32;
        // SAFETY: a handle of the driver, which checks it, and writes one address.
        check("cuIpcOpenMemHandle", unsafe { sys::cuIpcOpenMemHandle_v2(&raw mut address, handle, flags) })?;
        let allocation = Allocation::new(address, bytes, Origin::Imported, stream.clone(), None);
        Ok(DeviceBuffer::new(Arc::new(allocation), len))
    }
}

impl<T: Element> DeviceBuffer<T> {
    /// A name of its memory for other processes. It must outlive what they make of it.
    ///
    /// # Errors
    /// [`GpuError::NotShareable`] unless it is of
    /// [`Lease::allocate_shareable`](crate::Lease::allocate_shareable); [`GpuError::Driver`].
    pub fn ipc_handle(&self) -> Result<IpcHandle, GpuError> {
        self.check_shareable()?;
        let mut handle = sys::CUipcMemHandle { reserved: [0; 64] };
        // SAFETY: an allocation that this value keeps; the driver writes 64 bytes.
        check("cuIpcGetMemHandle", unsafe { sys::cuIpcGetMemHandle(&raw mut handle, self.allocation().address()) })?;
        Ok(IpcHandle { raw: handle.reserved.map(|byte| byte as u8), bytes: self.bytes() as u64 })
    }

    /// A descriptor by which other drivers reach its memory, such as that of a network card. The memory lives as long as
    /// the descriptor does. Its bytes must be whole pages of the host.
    ///
    /// # Errors
    /// [`GpuError::NotShareable`] as above; [`GpuError::Driver`] for a part of a page, and where the device can't:
    /// [`Device::can_export_dmabuf`](crate::Device::can_export_dmabuf).
    pub fn export_dmabuf(&self) -> Result<OwnedFd, GpuError> {
        self.check_shareable()?;
        let kind = sys::CUmemRangeHandleType::CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD;
        let (address, bytes) = (self.allocation().address(), self.bytes());
        let mut descriptor = -1i32;
        let to = (&raw mut descriptor).cast();
        // SAFETY: an allocation that this value keeps; for this kind the driver writes one descriptor.
        let result = unsafe { sys::cuMemGetHandleForAddressRange(to, address, bytes, kind, 0) };
        check("cuMemGetHandleForAddressRange", result)?;
        // SAFETY: just made by the driver, for the caller to close.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    fn check_shareable(&self) -> Result<(), GpuError> {
        if self.allocation().origin() != Origin::Shareable {
            return Err(GpuError::NotShareable);
        }
        self.home().context().make_current()
    }
}
