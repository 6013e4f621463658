//! Kernels that go wrong.
#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

use common::{Bench, is_process, passes_in_process};
use rayline_gpu::{GpuError, Launch, Module, Shape};

/// Thread `i` writes element `i + shift` of an array.
const WRITE: &str = ".version 9.0
.target sm_80
.address_size 64
.visible .entry write(.param .u64 write_param_0, .param .u32 write_param_1)
.maxntid 64, 1, 1
{
    ld.param.u64 %rd1, [write_param_0];
    ld.param.u32 %r1, [write_param_1];
    mov.u32 %r2, %tid.x;
    add.s32 %r3, %r1, %r2;
    mul.wide.u32 %rd2, %r3, 4;
    add.s64 %rd3, %rd1, %rd2;
    st.global.u32 [%rd3], %r2;
    ret;
}
";

fn shape(threads: u32) -> Shape {
    Shape { blocks: [2, 1, 1], threads: [threads, 1, 1] }
}

#[test]
fn a_write_out_of_bounds_is_reported_with_its_place_and_ends_the_device_for_the_process() {
    const NAME: &str = "a_write_out_of_bounds_is_reported_with_its_place_and_ends_the_device_for_the_process";
    if !is_process(NAME) {
        return passes_in_process(NAME, &[]);
    }
    let Bench { context, stream, lease, .. } = Bench::new();
    let kernel = Module::load(&context, WRITE).unwrap().kernel("write").unwrap();
    let mut buffer = lease.zeros::<u32>(&stream, 34).unwrap();
    // SAFETY: within the bounds: 32 threads from 2 on, of 34 elements.
    unsafe { Launch::new(&stream, &kernel).buffer_mut(&mut buffer).value(2u32).run(shape(32)) }.unwrap();
    assert_eq!(stream.to_vec(&buffer).unwrap()[..4], [0, 0, 0, 1]);
    // SAFETY: none: the last thread is out of bounds, which the fake driver finds before it writes.
    unsafe { Launch::new(&stream, &kernel).buffer_mut(&mut buffer).value(3u32).run(shape(32)) }.unwrap();
    let error = stream.synchronize().unwrap_err();
    let GpuError::Driver { name, reason, .. } = &error else { panic!("{error}") };
    assert_eq!(name, "CUDA_ERROR_ILLEGAL_ADDRESS");
    let place = "kernel `write`, block [0, 0, 0], thread [31, 0, 0], at `st.global.u32 [%rd3], %r2`";
    assert!(reason.contains(place) && reason.contains("byte 136 from the begin of an allocation of 136"), "{reason}");
    for later in [stream.to_vec(&buffer).map(drop), lease.zeros::<u8>(&stream, 1).map(drop), context.synchronize()] {
        assert!(matches!(later, Err(GpuError::Driver { code: 700, .. })), "{later:?}");
    }
}

#[test]
fn launches_that_no_device_could_do_are_refused() {
    let Bench { context, stream, lease, .. } = Bench::new();
    let module = Module::load(&context, WRITE).unwrap();
    let kernel = module.kernel("write").unwrap();
    let mut buffer = lease.zeros::<u32>(&stream, 128).unwrap();
    for (threads, code) in [(0, 1), (65, 701), (2000, 1)] {
        // SAFETY: it is refused.
        let run = unsafe { Launch::new(&stream, &kernel).buffer_mut(&mut buffer).value(0u32).run(shape(threads)) };
        assert!(matches!(&run, Err(GpuError::Driver { code: found, .. }) if *found == code), "{threads}: {run:?}");
    }
    assert!(matches!(module.kernel("read"), Err(GpuError::Driver { code: 500, .. })));
    let error = Module::load(&context, &WRITE.replace("add.s64", "sust.b")).unwrap_err();
    assert!(error.to_string().contains("instruction `sust`"), "{error}");
    stream.synchronize().unwrap();
}
