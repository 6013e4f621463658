//! What is shipped of the kernels.

use std::collections::BTreeSet;

use rayline_gpu::kernels::SOURCES;

/// Without the compiler, too, it shows that a source was changed and not compiled again.
#[test]
fn each_ptx_is_of_its_source() {
    for source in SOURCES {
        let head = source.ptx.lines().next().unwrap();
        let expected = format!("// Made by kernels/build.py from source {}", source.digest());
        assert_eq!(head, expected, "{}: run kernels/build.py", source.name);
    }
}

#[test]
fn no_kernel_spills_registers() {
    let report = include_str!("../../kernels/resources.txt");
    let mut rows = BTreeSet::new();
    for line in report.lines().skip(1) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [kernel, device, registers, shared, stack, spills] = columns[..] else { panic!("{line}") };
        assert_eq!([stack, spills], ["0", "0"], "{kernel} on {device}");
        assert!(registers.parse::<u32>().unwrap() <= 64, "{kernel} on {device} takes {registers} registers");
        assert!(shared.parse::<u32>().unwrap() <= 48 << 10, "{kernel} on {device} takes {shared} bytes");
        rows.insert((kernel, device));
    }
    let kernels = SOURCES.iter().flat_map(|source| source.ptx.split(".entry ").skip(1));
    let kernels = kernels.map(|entry| entry.split('(').next().unwrap().trim());
    for kernel in kernels {
        for device in ["sm_80", "sm_90", "sm_100"] {
            assert!(rows.contains(&(kernel, device)), "{kernel} on {device} is not in the report");
        }
    }
}
