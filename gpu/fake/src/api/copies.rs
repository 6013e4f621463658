//! Copies and fills.

use std::ffi::{c_int, c_uchar};

use super::call::answer;
use super::ffi::{In, Out};
use crate::fault::Fault;
use crate::work::{HostBytes, HostPointer, Work};

/// Pageable memory is read before the call returns; pinned memory, and any while a graph is captured, when it is the
/// turn of the copy.
#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoDAsync_v2(to: u64, from: In<u8>, len: usize, stream: usize) -> c_int {
    answer(|driver| {
        let stream = driver.streams.find(stream)?;
        let is_in_place = stream.is_capturing() || driver.host.is_pinned(from.address(), len);
        let from = match is_in_place {
            true => HostBytes::InPlace { at: HostPointer(from.address()), len },
            false => HostBytes::Staged(from.all(len)?.into()),
        };
        stream.submit(Work::Upload { to, from })
    })
}

/// Pageable memory has been written when the call returns.
#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoHAsync_v2(to: Out<u8>, from: u64, len: usize, stream: usize) -> c_int {
    answer(|driver| {
        let stream = driver.streams.find(stream)?;
        let returns_early = stream.is_capturing() || driver.host.is_pinned(to.address(), len);
        stream.submit(Work::Download { to: HostPointer(to.address()), from, len })?;
        if returns_early {
            return Ok(());
        }
        stream.synchronize()?;
        driver.failure().map_or(Ok::<(), Fault>(()), Err)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, len: usize, stream: usize) -> c_int {
    answer(|driver| driver.streams.find(stream)?.submit(Work::Copy { to, from, len }))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8Async(to: u64, byte: c_uchar, len: usize, stream: usize) -> c_int {
    answer(|driver| driver.streams.find(stream)?.submit(Work::Fill { to, byte, len }))
}

/// The contexts are known by the addresses.
#[unsafe(no_mangle)]
extern "C" fn cuMemcpyPeerAsync(
    to: u64,
    _to_context: usize,
    from: u64,
    _from_context: usize,
    len: usize,
    stream: usize,
) -> c_int {
    answer(|driver| driver.streams.find(stream)?.submit(Work::Copy { to, from, len }))
}
