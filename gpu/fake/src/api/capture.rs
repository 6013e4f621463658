//! Graphs. One holds the work of one stream, in its order.

use std::ffi::{c_int, c_uint, c_ulonglong};

use super::call::{answer, status};
use super::ffi::Out;

#[unsafe(no_mangle)]
extern "C" fn cuStreamBeginCapture_v2(stream: usize, _mode: c_uint) -> c_int {
    answer(|driver| driver.streams.find(stream)?.begin_capture())
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamEndCapture(stream: usize, graph: Out<usize>) -> c_int {
    answer(|driver| graph.set(driver.graphs.insert(driver.streams.find(stream)?.end_capture()?)))
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphInstantiateWithFlags(executable: Out<usize>, graph: usize, _flags: c_ulonglong) -> c_int {
    answer(|driver| executable.set(driver.graphs.insert(driver.graphs.find(graph)?.to_vec())))
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphLaunch(executable: usize, stream: usize) -> c_int {
    answer(|driver| {
        let (works, stream) = (driver.graphs.find(executable)?, driver.streams.find(stream)?);
        works.iter().try_for_each(|work| stream.submit(work.clone()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphExecDestroy(executable: usize) -> c_int {
    status(|driver| driver.graphs.remove(executable).map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphDestroy(graph: usize) -> c_int {
    status(|driver| driver.graphs.remove(graph).map(drop))
}
