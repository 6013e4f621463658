//! Modules and launches.

use std::ffi::{c_int, c_uint};

use super::call::{answer, status};
use super::ffi::{In, Out, Text};
use crate::driver::Driver;
use crate::fault::{Fault, Status};
use crate::ptx::{Kernel, Module};
use crate::run::Launch;
use crate::work::Work;

/// PTX alone, not what it is compiled to.
#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadData(module: Out<usize>, image: Text) -> c_int {
    answer(|driver| {
        let parsed = Module::parse(image.read()?);
        let parsed = parsed.map_err(|error| Fault::new(Status::InvalidPtx, error.to_string()))?;
        module.set(driver.modules.insert(parsed))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(module: usize) -> c_int {
    status(|driver| driver.modules.remove(module).map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetFunction(function: Out<usize>, module: usize, name: Text) -> c_int {
    answer(|driver| {
        let (module, name) = (driver.modules.find(module)?, name.read()?);
        let kernel = module.kernel(name).cloned();
        let kernel = kernel.ok_or_else(|| Fault::new(Status::NotFound, format!("no kernel `{name}`")))?;
        function.set(driver.kernels.insert(kernel))
    })
}

/// The arguments are twelve in the interface; they stand together here.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments)]
extern "C" fn cuLaunchKernel(
    function: usize,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared_bytes: c_uint,
    stream: usize,
    parameters: In<In<u8>>,
    _extra: usize,
) -> c_int {
    answer(|driver| {
        let shape = [[grid_x, grid_y, grid_z], [block_x, block_y, block_z]];
        submit(driver, function, shape, shared_bytes as usize, stream, &parameters)
    })
}

fn submit(
    driver: &Driver,
    function: usize,
    [grid, block]: [[u32; 3]; 2],
    shared_bytes: usize,
    stream: usize,
    parameters: &In<In<u8>>,
) -> Result<(), Fault> {
    let (kernel, stream) = (driver.kernels.find(function)?, driver.streams.find(stream)?);
    let parameters = packed(&kernel, parameters)?;
    let launch = Launch { kernel: (*kernel).clone(), device: stream.device(), grid, block, shared_bytes, parameters };
    launch.check()?;
    stream.submit(Work::Launch(launch))
}

/// The values that the caller points to, placed as the kernel has them.
fn packed(kernel: &Kernel, pointers: &In<In<u8>>) -> Result<Vec<u8>, Fault> {
    let mut packed = vec![0; kernel.parameter_bytes()];
    for (parameter, pointer) in kernel.parameters.iter().zip(pointers.all(kernel.parameters.len())?) {
        packed[parameter.at..][..parameter.bytes].copy_from_slice(pointer.all(parameter.bytes)?);
    }
    Ok(packed)
}
