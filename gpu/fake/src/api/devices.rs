//! Devices and contexts.

use std::ffi::{c_char, c_int, c_uint};

use super::call::{answer, context, current_device, set_context, status};
use super::ffi::Out;
use crate::driver::Driver;
use crate::fault::{Fault, Status};

/// 13.0, as that of which the interface is.
const VERSION: c_int = 13_000;

#[unsafe(no_mangle)]
extern "C" fn cuInit(_flags: c_uint) -> c_int {
    answer(|driver| match driver.config().device_count {
        0 => Err(Fault::new(Status::NoDevice, "the environment asks for no device")),
        _ => Ok(()),
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDriverGetVersion(version: Out<c_int>) -> c_int {
    status(|_| version.set(VERSION))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetCount(count: Out<c_int>) -> c_int {
    answer(|driver| count.set(driver.config().device_count as c_int))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGet(device: Out<c_int>, ordinal: c_int) -> c_int {
    answer(|driver| device.set(checked(driver, ordinal)? as c_int))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetName(name: Out<c_char>, len: c_int, device: c_int) -> c_int {
    answer(|driver| {
        let text = format!("Rayline Fake GPU {}\0", checked(driver, device)?);
        name.set_all(&chars(&text), len as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetUuid_v2(uuid: Out<[u8; 16]>, device: c_int) -> c_int {
    answer(|driver| {
        let mut bytes = *b"rayline-fake-gpu";
        bytes[15] = checked(driver, device)? as u8;
        uuid.set(bytes)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: c_int) -> c_int {
    answer(|driver| {
        checked(driver, device)?;
        bytes.set(driver.config().memory_bytes)
    })
}

/// Attributes have numbers.
#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetAttribute(value: Out<c_int>, attribute: c_int, device: c_int) -> c_int {
    answer(|driver| {
        checked(driver, device)?;
        let [major, minor] = driver.config().capability;
        let found = match attribute {
            1 | 2 => 1024,       // threads of a block, in all and along x
            8 => 48 << 10,       // shared memory of a block
            10 => 32,            // lanes of a warp
            16 => 4,             // multiprocessors
            33 => 0x10 + device, // bus
            34 | 50 => 0,        // device on the bus, domain
            75 => major,
            76 => minor,
            97 => 160 << 10,   // shared memory of a block, where a kernel asks for it
            115 | 124 => 1,    // pools of memory, dmabuf
            134 => device % 2, // node of the host's memory
            _ => return Err(Fault::new(Status::InvalidValue, format!("attribute {attribute}"))),
        };
        value.set(found)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetPCIBusId(id: Out<c_char>, len: c_int, device: c_int) -> c_int {
    answer(|driver| {
        let text = format!("0000:{:02x}:00.0\0", 0x10 + checked(driver, device)?);
        id.set_all(&chars(&text), len as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceCanAccessPeer(can: Out<c_int>, device: c_int, peer: c_int) -> c_int {
    answer(|driver| can.set((checked(driver, device)? != checked(driver, peer)?).into()))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxEnablePeerAccess(peer: usize, _flags: c_uint) -> c_int {
    answer(|driver| {
        let device = current_device()?;
        let peer = peer.checked_sub(1).filter(|peer| *peer < driver.config().device_count && *peer != device);
        let peer = peer.ok_or_else(|| Fault::new(Status::InvalidContext, "no context of another device"))?;
        if driver.memory().add_access([device, peer]) {
            return Ok(());
        }
        Err(Fault::new(Status::PeerAccessAlreadyEnabled, format!("device {device} to device {peer}")))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRetain(context: Out<usize>, device: c_int) -> c_int {
    answer(|driver| context.set(checked(driver, device)? + 1))
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> c_int {
    status(|driver| checked(driver, device).map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(context: usize) -> c_int {
    status(|driver| {
        if context > driver.config().device_count {
            return Err(Fault::new(Status::InvalidContext, format!("{context:#x} is no context")));
        }
        set_context(context);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCurrent(current: Out<usize>) -> c_int {
    status(|_| current.set(context()))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> c_int {
    answer(|driver| {
        let device = current_device()?;
        for stream in driver.streams.all().iter().filter(|stream| stream.device() == device) {
            stream.synchronize()?;
        }
        driver.failure().map_or(Ok(()), Err)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) -> c_int {
    answer(|driver| {
        let memory_bytes = driver.config().memory_bytes;
        free.set(memory_bytes - driver.used_bytes(current_device()?))?;
        total.set(memory_bytes)
    })
}

fn checked(driver: &Driver, device: c_int) -> Result<usize, Fault> {
    let found = usize::try_from(device).ok().filter(|device| *device < driver.config().device_count);
    found.ok_or_else(|| Fault::new(Status::InvalidDevice, format!("device {device}")))
}

fn chars(text: &str) -> Vec<c_char> {
    text.bytes().map(|byte| byte as c_char).collect()
}
