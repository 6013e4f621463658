//! Kernels that are compiled for the device where they run.
//!
//! Needs NVRTC, as the Python package `nvidia-cuda-nvrtc` in the virtual environment of `VIRTUAL_ENV`; else it is skipped.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Bench, is_process, passes_in_process};
use rayline_gpu::kernels::{Noise, NoisePlace, SOURCES};
use rayline_gpu::{Compile, KernelSource, ModuleCache};

/// Where the package has put the library.
fn nvrtc_folder() -> Option<PathBuf> {
    let packages = PathBuf::from(std::env::var_os("VIRTUAL_ENV")?).join("lib");
    let folders = fs::read_dir(packages).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let libraries = folders.map(|python| python.join("site-packages/nvidia/cu13/lib"));
    libraries.into_iter().find(|folder| folder.join("libnvrtc.so.13").exists())
}

fn cache_folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("rayline-gpu-{name}-{}", std::process::id()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).collect()
}

#[test]
fn what_is_compiled_is_kept_and_does_what_the_shipped_does() {
    const NAME: &str = "what_is_compiled_is_kept_and_does_what_the_shipped_does";
    if !is_process(NAME) {
        let Some(folder) = nvrtc_folder() else { return println!("skipped: no NVRTC") };
        let variables = [("LD_LIBRARY_PATH", folder.to_str().unwrap()), ("RAYLINE_FAKE_CUDA", "capability=9.0")];
        return passes_in_process(NAME, &variables);
    }
    let Bench { context, stream, lease, modules, .. } = Bench::new();
    let folder = cache_folder("kept");
    let draw = |modules: &ModuleCache| {
        let mut out = lease.allocate(&stream, 999).unwrap();
        let place = NoisePlace { seed: 1, sequence: 2, first_block: 3 };
        Noise::new(modules).unwrap().fill(&stream, place, &mut out).unwrap();
        stream.to_vec(&out).unwrap()
    };
    let shipped = draw(&modules);
    let new = || ModuleCache::new(&context, Compile::IfFound { folder: folder.clone() });
    assert_eq!(draw(&new()), shipped);
    let [file] = &files(&folder)[..] else { panic!("{:?}", files(&folder)) };
    let kept = fs::read_to_string(file).unwrap();
    assert!(kept.contains(".target sm_90"), "compiled for the very device");
    let made = fs::metadata(file).unwrap().modified().unwrap();
    assert_eq!(draw(&new()), shipped);
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), made, "the second cache reads it");
    fs::write(file, &kept[..kept.len() / 2]).unwrap();
    assert_eq!(draw(&new()), shipped);
    assert_eq!(fs::read_to_string(file).unwrap(), kept, "a file that is cut is made again");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_kernel_compiles_for_newer_devices_and_loads() {
    const NAME: &str = "every_kernel_compiles_for_newer_devices_and_loads";
    if !is_process(NAME) {
        let Some(folder) = nvrtc_folder() else { return println!("skipped: no NVRTC") };
        let variables = [("LD_LIBRARY_PATH", folder.to_str().unwrap()), ("RAYLINE_FAKE_CUDA", "capability=10.0")];
        return passes_in_process(NAME, &variables);
    }
    let folder = cache_folder("all");
    let modules = ModuleCache::new(&Bench::new().context, Compile::IfFound { folder: folder.clone() });
    for source in SOURCES {
        let kernel = source.ptx.split_once(".entry ").unwrap().1.split('(').next().unwrap();
        modules.kernel(&source, kernel.trim()).unwrap();
    }
    assert_eq!(files(&folder).len(), SOURCES.len());
    fs::remove_dir_all(&folder).unwrap();
}

/// One that doesn't compile, or no compiler: either way the shipped PTX is there.
#[test]
fn what_cannot_be_compiled_is_taken_as_it_is_shipped() {
    const NAME: &str = "what_cannot_be_compiled_is_taken_as_it_is_shipped";
    if !is_process(NAME) {
        let folder = nvrtc_folder().unwrap_or_default();
        return passes_in_process(NAME, &[("LD_LIBRARY_PATH", folder.to_str().unwrap())]);
    }
    let context = Bench::new().context;
    let folder = cache_folder("broken");
    let modules = ModuleCache::new(&context, Compile::IfFound { folder: folder.clone() });
    let gae = SOURCES.into_iter().find(|source| source.name == "gae").unwrap();
    let broken = KernelSource { text: &["this is no program"], ..gae };
    modules.kernel(&broken, "gae").unwrap();
    assert_eq!(files(&folder).len(), 0);
    // It compiles, but the fake driver has no sines: as a driver that is older than the compiler lacks something.
    const TOO_NEW: &str = "extern \"C\" __global__ void gae(float* x) { *x = __sinf(*x); }";
    modules.kernel(&KernelSource { text: &[TOO_NEW], ..gae }, "gae").unwrap();
    drop(std::fs::remove_dir_all(&folder));
}

#[test]
fn devices_that_are_too_old_are_refused() {
    const NAME: &str = "devices_that_are_too_old_are_refused";
    if !is_process(NAME) {
        return passes_in_process(NAME, &[("RAYLINE_FAKE_CUDA", "capability=7.5")]);
    }
    let error = Noise::new(&Bench::new().modules).unwrap_err();
    assert_eq!(error.to_string(), "kernels need compute capability 8.0, the device has 7.5");
}
