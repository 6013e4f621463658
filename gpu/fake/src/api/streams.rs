//! Streams and events.

use std::ffi::{c_int, c_uint};

use super::call::{answer, current_device, status};
use super::ffi::Out;
use crate::event::Event;
use crate::fault::{Fault, Status};
use crate::stream::Stream;
use crate::work::Work;

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreate(stream: Out<usize>, _flags: c_uint) -> c_int {
    answer(|driver| stream.set(driver.streams.insert(Stream::new(current_device()?, driver))))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(stream: usize) -> c_int {
    status(|driver| driver.streams.remove(stream).map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(stream: usize) -> c_int {
    answer(|driver| {
        driver.streams.find(stream)?.synchronize()?;
        driver.failure().map_or(Ok(()), Err)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamQuery(stream: usize) -> c_int {
    answer(|driver| if driver.streams.find(stream)?.is_idle()? { Ok(()) } else { Err(not_ready()) })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(stream: usize, event: usize, _flags: c_uint) -> c_int {
    answer(|driver| {
        let event = driver.events.find(event)?;
        let recording = event.last();
        driver.streams.find(stream)?.submit(Work::Wait { event, recording })
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventCreate(event: Out<usize>, _flags: c_uint) -> c_int {
    answer(|driver| event.set(driver.events.insert(Event::default())))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(event: usize) -> c_int {
    status(|driver| driver.events.remove(event).map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: usize, stream: usize) -> c_int {
    answer(|driver| {
        let (event, stream) = (driver.events.find(event)?, driver.streams.find(stream)?);
        let recording = if stream.is_capturing() { 0 } else { event.record() };
        stream.submit(Work::Record { event, recording })
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventQuery(event: usize) -> c_int {
    answer(|driver| {
        let event = driver.events.find(event)?;
        if event.last() == 0 || event.reached_at().is_some() { Ok(()) } else { Err(not_ready()) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(event: usize) -> c_int {
    answer(|driver| {
        let event = driver.events.find(event)?;
        event.wait(event.last());
        driver.failure().map_or(Ok(()), Err)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime_v2(milliseconds: Out<f32>, start: usize, end: usize) -> c_int {
    answer(|driver| {
        let reached = |event: usize| driver.events.find(event)?.reached_at().ok_or_else(not_ready);
        let (start, end) = (reached(start)?, reached(end)?);
        milliseconds.set(end.saturating_duration_since(start).as_secs_f32() * 1e3)
    })
}

fn not_ready() -> Fault {
    Fault::new(Status::NotReady, "the work before it isn't done")
}
