//! Memory of devices, and of the host for them.
#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

use std::ptr::NonNull;

use common::{Bench, is_process, library, numbers, passes_in_process};
use rayline_gpu::{Context, Gpu, GpuError, MemoryPool, PinnedPool, Registration, Stream};

#[test]
fn what_goes_up_comes_down() {
    let Bench { stream, lease, .. } = Bench::new();
    let values = numbers(1, 1000);
    let first = lease.upload(&stream, &values).unwrap();
    let mut second = lease.zeros(&stream, 1000).unwrap();
    assert_eq!(stream.to_vec(&second).unwrap(), vec![0.0f32; 1000]);
    stream.copy(&first, &mut second).unwrap();
    assert_eq!(stream.to_vec(&second).unwrap(), values);
    let bytes = lease.upload(&stream, &[1u8, 2, 3]).unwrap();
    assert_eq!((bytes.len(), bytes.bytes(), stream.to_vec(&bytes).unwrap()), (3, 3, vec![1, 2, 3]));
}

#[test]
fn arrays_of_another_length_are_refused() {
    let Bench { stream, lease, .. } = Bench::new();
    let mut buffer = lease.zeros::<u32>(&stream, 4).unwrap();
    let error = stream.upload(&[1, 2, 3], &mut buffer).unwrap_err();
    assert!(matches!(error, GpuError::Length { expected: 4, found: 3, .. }), "{error}");
    assert!(matches!(stream.download(&buffer, &mut [0; 5]), Err(GpuError::Length { found: 5, .. })));
    assert!(matches!(lease.allocate::<u32>(&stream, 0), Err(GpuError::Range { found: 0, .. })));
    assert!(matches!(lease.allocate::<u32>(&stream, usize::MAX), Err(GpuError::Range { .. })));
}

#[test]
fn a_lease_holds_no_more_than_its_limit() {
    let Bench { context, stream, .. } = Bench::new();
    let pool = MemoryPool::new(&context).unwrap();
    let (lease, other) = (pool.lease(1000), pool.lease(1000));
    let first = lease.allocate::<u8>(&stream, 600).unwrap();
    let error = lease.allocate::<u8>(&stream, 401).unwrap_err();
    let told = "401 bytes asked of a lease that holds 600 of 1000";
    assert_eq!(error.to_string(), told);
    let clone = lease.clone();
    let second = clone.allocate::<f32>(&stream, 100).unwrap();
    assert_eq!((lease.used_bytes(), lease.limit_bytes(), other.used_bytes()), (1000, 1000, 0));
    drop(first);
    assert_eq!(lease.used_bytes(), 400);
    drop(second);
    stream.synchronize().unwrap();
    assert_eq!((lease.used_bytes(), pool.used_bytes().unwrap()), (0, 0));
}

#[test]
fn a_device_that_is_full_says_so_and_goes_on() {
    const NAME: &str = "a_device_that_is_full_says_so_and_goes_on";
    if !is_process(NAME) {
        return passes_in_process(NAME, &[("RAYLINE_FAKE_CUDA", "memory_mib=1")]);
    }
    let Bench { stream, lease, context, .. } = Bench::new();
    let half = lease.zeros::<u8>(&stream, 600 << 10).unwrap();
    let error = lease.allocate::<u8>(&stream, 600 << 10).unwrap_err();
    let GpuError::OutOfMemory { asked_bytes, free_bytes, total_bytes, device } = &error else { panic!("{error}") };
    assert_eq!([*asked_bytes, *free_bytes, *total_bytes], [600 << 10, (1 << 20) - (600 << 10), 1 << 20]);
    assert_eq!((device.as_str(), lease.used_bytes()), ("Rayline Fake GPU 0", 600 << 10));
    drop(half);
    stream.synchronize().unwrap();
    lease.zeros::<u8>(&stream, 600 << 10).unwrap();
    let small = MemoryPool::with_bytes_max(&context, 4096).unwrap().lease(u64::MAX);
    assert!(matches!(small.allocate::<u8>(&stream, 4097), Err(GpuError::OutOfMemory { .. })));
    assert!(matches!(MemoryPool::with_bytes_max(&context, 2 << 20), Err(GpuError::Range { .. })));
}

#[test]
fn a_buffer_is_of_one_stream_at_a_time() {
    let Bench { stream, lease, context, .. } = Bench::new();
    let other = Stream::new(&context).unwrap();
    let mut buffer = lease.upload(&stream, &[1u32, 2]).unwrap();
    assert!(matches!(other.to_vec(&buffer), Err(GpuError::OtherStream)));
    buffer.move_to(&other).unwrap();
    assert_eq!(other.to_vec(&buffer).unwrap(), [1, 2]);
    assert!(matches!(stream.zero(&mut buffer), Err(GpuError::OtherStream)));
    assert!(buffer.home().is_same(&other));
}

#[test]
fn devices_keep_their_things_apart_and_copy_across() {
    let Bench { gpu, context, stream, lease, .. } = Bench::new();
    let peer = Context::new(&gpu.devices()[1]).unwrap();
    let there = Stream::new(&peer).unwrap();
    let error = lease.allocate::<u32>(&there, 1).unwrap_err();
    assert!(matches!(error, GpuError::OtherDevice { found_device: 1, device: 0, .. }), "{error}");
    let mut here = lease.upload(&stream, &[1u32, 2, 3]).unwrap();
    assert!(matches!(here.move_to(&there), Err(GpuError::OtherDevice { .. })));
    for _ in 0..2 {
        context.enable_peer(&peer).unwrap();
    }
    let mut copy = MemoryPool::new(&peer).unwrap().lease(100).zeros(&there, 3).unwrap();
    there.copy_across(&here, &mut copy).unwrap();
    stream.zero(&mut here).unwrap();
    assert_eq!((there.to_vec(&copy).unwrap(), stream.to_vec(&here).unwrap()), (vec![1, 2, 3], vec![0; 3]));
}

#[test]
fn pinned_memory_is_used_again_and_has_a_limit() {
    let Bench { context, .. } = Bench::new();
    let pool = PinnedPool::new(&context, 16 << 10);
    let mut first = pool.allocate::<f32>(1000).unwrap();
    first.fill(2.5);
    assert_eq!((first.len(), first[999], pool.pinned_bytes()), (1000, 2.5, 4096));
    let _large = pool.allocate::<u8>(8 << 10).unwrap();
    let error = pool.allocate::<u8>(5000).unwrap_err();
    assert!(matches!(error, GpuError::PinnedLimit { asked_bytes: 8192, used_bytes: 12288, limit_bytes: 16384 }));
    drop(first);
    pool.allocate::<u8>(1).unwrap();
    assert_eq!(pool.pinned_bytes(), 12 << 10, "a block that nobody had was taken");
    pool.allocate::<u8>(8 << 10).unwrap();
    assert_eq!(pool.pinned_bytes(), 16 << 10, "a block that nobody had was given back for a larger one");
}

#[test]
fn pinned_memory_is_copied_while_the_host_goes_on() {
    const NAME: &str = "pinned_memory_is_copied_while_the_host_goes_on";
    if !is_process(NAME) {
        return passes_in_process(NAME, &[("RAYLINE_FAKE_CUDA", "lag_us=200000")]);
    }
    let Bench { context, stream, lease, .. } = Bench::new();
    let pool = PinnedPool::new(&context, 1 << 20);
    let mut from = pool.allocate::<u32>(100).unwrap();
    from.fill(7);
    let mut buffer = lease.allocate(&stream, 100).unwrap();
    let up = stream.upload_pinned(from, &mut buffer).unwrap();
    let down = stream.download_pinned(&buffer, pool.allocate(100).unwrap()).unwrap();
    assert!(!up.is_done().unwrap() && !down.is_done().unwrap());
    drop(up);
    let found = down.wait().unwrap();
    assert_eq!(found[..], [7; 100]);
    let short = pool.allocate::<u32>(99).unwrap();
    assert!(matches!(stream.upload_pinned(short, &mut buffer), Err(GpuError::Length { .. })));
}

#[test]
fn memory_of_others_is_pinned_while_it_is_registered() {
    let Bench { context, stream, lease, .. } = Bench::new();
    let mut memory = numbers(1, 1024);
    let base = NonNull::new(memory.as_mut_ptr().cast::<u8>()).unwrap();
    // SAFETY: the vector lives longer than the registrations.
    let register = || unsafe { Registration::new(&context, base, 4096) };
    let registration = register().unwrap();
    assert_eq!(registration.bytes(), 4096);
    assert!(matches!(register(), Err(GpuError::Driver { code: 712, .. })));
    let buffer = lease.upload(&stream, &memory).unwrap();
    assert_eq!(stream.to_vec(&buffer).unwrap(), memory);
    drop(registration);
    drop(register().unwrap());
}

#[test]
fn things_may_go_in_any_order() {
    let gpu = Gpu::discover_by(&library()).unwrap();
    let context = Context::new(&gpu.devices()[1]).unwrap();
    let stream = Stream::new(&context).unwrap();
    let lease = MemoryPool::new(&context).unwrap().lease(1 << 20);
    let mut buffer = lease.zeros::<u8>(&stream, 100).unwrap();
    drop((gpu, context, lease));
    let handle = stream.clone();
    drop(stream);
    handle.upload(&[3; 100], &mut buffer).unwrap();
    assert_eq!(buffer.home().to_vec(&buffer).unwrap(), [3; 100]);
}
