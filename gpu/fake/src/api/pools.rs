//! Memory of devices and of the host.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use super::call::{answer, current_device, status};
use super::ffi::{In, Out};
use crate::driver::Pool;
use crate::fault::{Fault, Status};
use crate::work::Work;

const RELEASE_THRESHOLD: c_int = 4;
const USED_CURRENT: c_int = 7;

/// What a pool is asked to be, as far as we look at it.
///
/// Source: `CUmemPoolProps` of CUDA 12.6 and on.
#[derive(Clone, Copy)]
#[repr(C)]
struct PoolProperties {
    allocation_type: c_int,
    handle_types: c_int,
    location_type: c_int,
    location: c_int,
    security: usize,
    bytes_max: usize,
    usage: u16,
    reserved: [u8; 54],
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolCreate(pool: Out<usize>, properties: In<PoolProperties>) -> c_int {
    answer(|driver| {
        let properties = properties.read()?;
        let device = usize::try_from(properties.location).ok().filter(|device| *device < driver.config().device_count);
        let device = device.filter(|_| properties.location_type == 1 && properties.allocation_type == 1);
        let device = device.ok_or_else(|| Fault::new(Status::InvalidValue, "a pool that is not of a device"))?;
        pool.set(driver.pools.insert(Pool::new(device, properties.bytes_max)))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolDestroy(pool: usize) -> c_int {
    status(|driver| driver.pools.remove(pool).map(drop))
}

/// What it keeps is not released here anyway.
#[unsafe(no_mangle)]
extern "C" fn cuMemPoolSetAttribute(pool: usize, attribute: c_int, _value: In<u64>) -> c_int {
    answer(|driver| match attribute {
        RELEASE_THRESHOLD => driver.pools.find(pool).map(drop),
        _ => Err(Fault::new(Status::NotSupported, format!("attribute {attribute} of a pool"))),
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolGetAttribute(pool: usize, attribute: c_int, value: Out<u64>) -> c_int {
    answer(|driver| match attribute {
        USED_CURRENT => value.set(driver.pools.find(pool)?.used_bytes() as u64),
        _ => Err(Fault::new(Status::NotSupported, format!("attribute {attribute} of a pool"))),
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocFromPoolAsync(address: Out<u64>, len: usize, pool: usize, stream: usize) -> c_int {
    answer(|driver| {
        if driver.streams.find(stream)?.is_capturing() {
            return Err(Fault::new(Status::CaptureUnsupported, "memory is no part of a captured graph"));
        }
        let pool: Arc<Pool> = driver.pools.find(pool)?;
        address.set(driver.allocate_from(&pool, len)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeAsync(address: u64, stream: usize) -> c_int {
    status(|driver| driver.streams.find(stream)?.submit(Work::Free { address }))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAlloc_v2(address: Out<u64>, len: usize) -> c_int {
    answer(|driver| address.set(driver.allocate(current_device()?, len)?))
}

/// Waits for all work of the device, as a real driver may.
#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(address: u64) -> c_int {
    status(|driver| {
        let device = current_device()?;
        for stream in driver.streams.all().iter().filter(|stream| stream.device() == device && !stream.is_capturing()) {
            stream.synchronize()?;
        }
        driver.free(address)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostAlloc(pointer: Out<usize>, len: usize, _flags: c_uint) -> c_int {
    answer(|driver| pointer.set(driver.host.allocate(len)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(pointer: usize) -> c_int {
    status(|driver| driver.host.free(pointer))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostRegister_v2(pointer: In<c_void>, len: usize, _flags: c_uint) -> c_int {
    answer(|driver| driver.host.register(pointer.address(), len))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostUnregister(pointer: In<c_void>) -> c_int {
    status(|driver| driver.host.unregister(pointer.address()))
}
