//! Whether there is a GPU, and what it is.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{is_process, library, passes_in_process};
use rayline_gpu::{Gpu, Monitor, MonitorError, NoGpu};

#[test]
fn without_a_driver_it_says_why() {
    const NAME: &str = "without_a_driver_it_says_why";
    if !is_process(NAME) {
        return passes_in_process(NAME, &[("RAYLINE_CUDA_DRIVER", "/nowhere/libcuda.so.1")]);
    }
    for _ in 0..2 {
        let reason = Gpu::discover().unwrap_err();
        assert!(matches!(&reason, NoGpu::NoLibrary { reason } if reason.contains("/nowhere")), "{reason}");
    }
}

/// On a machine with a GPU it finds that; on others it says why not. It panics on none.
#[test]
fn looking_for_one_never_panics() {
    const NAME: &str = "looking_for_one_never_panics";
    if !is_process(NAME) {
        return passes_in_process(NAME, &[]);
    }
    match Gpu::discover() {
        Ok(gpu) => assert!(!gpu.devices().is_empty()),
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
}

#[test]
fn the_loader_finds_a_driver_by_its_name() {
    const NAME: &str = "the_loader_finds_a_driver_by_its_name";
    if is_process(NAME) {
        assert_eq!(Gpu::discover().unwrap().devices()[0].name(), "Rayline Fake GPU 0");
        return;
    }
    let folder = std::env::temp_dir().join(format!("rayline-gpu-discover-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(library(), folder.join("libcuda.so")).unwrap();
    passes_in_process(NAME, &[("LD_LIBRARY_PATH", folder.to_str().unwrap())]);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn another_library_is_no_driver() {
    const NAME: &str = "another_library_is_no_driver";
    if !is_process(NAME) {
        return passes_in_process(NAME, &[]);
    }
    let reason = Gpu::discover_by(Path::new("libm.so.6")).unwrap_err();
    assert!(matches!(reason, NoGpu::TooOld { name: "cuInit" }), "{reason}");
    let reason = Gpu::discover_by(&library()).unwrap_err();
    assert!(matches!(reason, NoGpu::OtherLibrary { .. }), "a process has one driver: {reason}");
}

#[test]
fn a_driver_without_devices_is_no_gpu() {
    const NAME: &str = "a_driver_without_devices_is_no_gpu";
    if !is_process(NAME) {
        return passes_in_process(NAME, &[("RAYLINE_FAKE_CUDA", "devices=0")]);
    }
    assert!(matches!(Gpu::discover_by(&library()), Err(NoGpu::NoDevice)));
}

#[test]
fn devices_are_described() {
    const NAME: &str = "devices_are_described";
    if !is_process(NAME) {
        return passes_in_process(NAME, &[("RAYLINE_FAKE_CUDA", "devices=3,memory_mib=64,capability=9.0")]);
    }
    let gpu = Gpu::discover_by(&library()).unwrap();
    assert_eq!(gpu.driver_version(), [13, 0]);
    let [first, _, last] = gpu.devices() else { panic!("{:?}", gpu.devices()) };
    assert_eq!((last.index(), last.name()), (2, "Rayline Fake GPU 2"));
    assert_eq!((last.memory_bytes(), last.capability()), (64 << 20, [9, 0]));
    assert_eq!((last.pci_address(), last.numa_node(), last.mig_profile()), ("0000:12:00.0", Some(0), None));
    assert_eq!(last.uuid().to_string(), "GPU-7261796c-696e-652d-6661-6b652d677002");
    assert!(first.uuid() != last.uuid() && first.can_access(last).unwrap() && !first.can_access(first).unwrap());
    assert!(last.can_export_dmabuf() && last.multiprocessor_count() > 0);
}

/// Where NVML is, there is a GPU as a rule, which this can't know.
#[test]
fn without_nvml_there_is_no_monitor() {
    if let Err(error) = Monitor::new() {
        assert!(matches!(error, MonitorError::NoLibrary(_)), "{error}");
    }
}
