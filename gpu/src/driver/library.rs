//! Finds the driver, once, before anything calls it.
//!
//! The bindings load the library and look up its functions at their first use, and panic where they fail. So the library
//! is loaded here first, and each function that this crate calls is looked for: afterwards nothing is missing.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cudarc::driver::sys;
use libloading::Library;

use super::call::check;
use crate::error::NoGpu;

/// The environment variable that names a file to load the driver from, where it isn't where the loader looks.
const ENVIRONMENT: &str = "RAYLINE_CUDA_DRIVER";

/// Every function of the driver that this crate calls.
const FUNCTIONS: [&str; 59] = [
    "cuCtxEnablePeerAccess",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceCanAccessPeer",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetPCIBusId",
    "cuDeviceGetUuid_v2",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime_v2",
    "cuEventQuery",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuIpcCloseMemHandle",
    "cuIpcGetMemHandle",
    "cuIpcOpenMemHandle_v2",
    "cuLaunchKernel",
    "cuMemAllocFromPoolAsync",
    "cuMemAlloc_v2",
    "cuMemFreeAsync",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetHandleForAddressRange",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemHostRegister_v2",
    "cuMemHostUnregister",
    "cuMemPoolCreate",
    "cuMemPoolDestroy",
    "cuMemPoolGetAttribute",
    "cuMemPoolSetAttribute",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyPeerAsync",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamQuery",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// How the loading of this process went.
struct Loaded {
    wanted: Option<PathBuf>,
    outcome: Result<(), NoGpu>,
}

/// Loads and starts the driver: the file `wanted`, else that which the environment names, else the one that is installed.
/// The first call of the process decides.
pub fn load(wanted: Option<&Path>) -> Result<(), NoGpu> {
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    let wanted = wanted.map(Path::to_path_buf).or_else(|| env::var_os(ENVIRONMENT).map(PathBuf::from));
    let loaded = LOADED.get_or_init(|| Loaded { outcome: start(wanted.as_deref()), wanted: wanted.clone() });
    match wanted {
        Some(wanted) if loaded.wanted.as_ref() != Some(&wanted) => Err(NoGpu::OtherLibrary { wanted }),
        _ => loaded.outcome.clone(),
    }
}

fn start(wanted: Option<&Path>) -> Result<(), NoGpu> {
    match wanted {
        Some(path) => open(path)?,
        None => find()?,
    }
    // SAFETY: the library is loaded: the bindings find it again by its name.
    let library = unsafe { sys::culib() };
    for name in FUNCTIONS {
        // SAFETY: only whether it is there is asked.
        unsafe { library.get::<*const ()>(name.as_bytes()) }.map_err(|_| NoGpu::TooOld { name })?;
    }
    // SAFETY: the function is there (above), and takes no flags.
    let result = unsafe { sys::cuInit(0) };
    match result {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => Err(NoGpu::NoDevice),
        result => check("cuInit", result).map_err(NoGpu::Failed),
    }
}

/// Loads a file for good, and makes sure that the bindings find it: they go by the name that the file gives itself.
fn open(path: &Path) -> Result<(), NoGpu> {
    let failed = |error: libloading::Error| NoGpu::NoLibrary { reason: said(&error) };
    // SAFETY: loading runs the library's initializers. Whoever names a file trusts it to be a driver.
    let library = unsafe { Library::new(path) }.map_err(failed)?;
    let library = Box::leak(Box::new(library));
    // SAFETY: only its address is asked.
    let own = unsafe { library.get::<*const ()>(b"cuInit") }.map_err(|_| NoGpu::TooOld { name: "cuInit" })?;
    // SAFETY: only asks for the library, of which one is loaded now.
    if !unsafe { sys::is_culib_present() } {
        return Err(NoGpu::OtherLibrary { wanted: path.into() });
    }
    // SAFETY: only its address is asked.
    match unsafe { sys::culib().get::<*const ()>(b"cuInit") } {
        Ok(theirs) if *own == *theirs => Ok(()),
        _ => Err(NoGpu::OtherLibrary { wanted: path.into() }),
    }
}

/// Looks where the loader looks.
fn find() -> Result<(), NoGpu> {
    // SAFETY: tries to load the driver by its names, which runs its initializers: it is the driver that is installed.
    if unsafe { sys::is_culib_present() } {
        return Ok(());
    }
    // SAFETY: as above; it failed under this name too, and is asked for again only to hear why.
    let error = unsafe { Library::new("libcuda.so.1") }.err();
    Err(NoGpu::NoLibrary { reason: error.map_or_else(|| "libcuda is not found".into(), |error| said(&error)) })
}

/// What the loader says, which is the source of the error.
fn said(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
