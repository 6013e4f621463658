//! Memory that goes to other processes.

use std::ffi::{c_int, c_uint, c_ulonglong};

use rustix::fs::{Mode, OFlags};
use std::os::fd::IntoRawFd;

use super::call::{answer, current_device, status};
use super::ffi::Out;
use crate::fault::{Fault, Status};

const DMA_BUF: c_int = 1;
const PAGE_BYTES: usize = 4096;

/// Which file of which process holds the memory.
#[derive(Clone, Copy)]
#[repr(C)]
struct IpcHandle {
    process: u32,
    file: i32,
    len: u64,
    unused: [u8; 48],
}

const _: () = assert!(size_of::<IpcHandle>() == 64);

#[unsafe(no_mangle)]
extern "C" fn cuIpcGetMemHandle(handle: Out<IpcHandle>, address: u64) -> c_int {
    answer(|driver| {
        let allocation = driver.memory().find(address).filter(|found| found.address() == address && found.is_own());
        let allocation = allocation.ok_or_else(|| Fault::new(Status::InvalidValue, "no allocation of this process"))?;
        let (process, file) = (std::process::id(), allocation.file_number());
        handle.set(IpcHandle { process, file, len: allocation.len() as u64, unused: [0; 48] })
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuIpcOpenMemHandle_v2(address: Out<u64>, handle: IpcHandle, _flags: c_uint) -> c_int {
    answer(|driver| {
        let IpcHandle { process, file, len, .. } = handle;
        if process == std::process::id() {
            return Err(Fault::new(Status::InvalidContext, "a process can't open a handle of its own"));
        }
        let path = format!("/proc/{process}/fd/{file}");
        let opened = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let opened = opened.map_err(|error| Fault::new(Status::InvalidValue, format!("its process: {error}")))?;
        address.set(driver.memory().import(opened, len as usize, current_device()?)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuIpcCloseMemHandle(address: u64) -> c_int {
    status(|driver| driver.free(address))
}

/// A descriptor that is the memory's; here it is no dmabuf, but a file of shared memory.
#[unsafe(no_mangle)]
extern "C" fn cuMemGetHandleForAddressRange(
    handle: Out<c_int>,
    address: u64,
    len: usize,
    kind: c_int,
    _flags: c_ulonglong,
) -> c_int {
    answer(|driver| {
        if kind != DMA_BUF {
            return Err(Fault::new(Status::NotSupported, format!("handles of kind {kind}")));
        }
        if !len.is_multiple_of(PAGE_BYTES) {
            return Err(Fault::new(Status::InvalidValue, format!("{len} bytes are no whole pages")));
        }
        driver.memory().span(address, len)?;
        let found = driver.memory().find(address).filter(|found| found.address() == address);
        let found = found.ok_or_else(|| Fault::new(Status::InvalidValue, "not the begin of an allocation"))?;
        let copy = found.file().try_clone().map_err(|error| Fault::new(Status::OutOfMemory, error.to_string()))?;
        handle.set(copy.into_raw_fd())
    })
}
