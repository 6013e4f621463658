//! The fake driver, which tests load as the real one is loaded.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::{Command, Output};

use rayline_gpu::{Compile, Context, Gpu, Lease, MemoryPool, ModuleCache, Stream};

/// A device of the fake driver in use, with all of its memory.
pub struct Bench {
    pub gpu: Gpu,
    pub context: Context,
    pub stream: Stream,
    pub lease: Lease,
    pub modules: ModuleCache,
}

impl Bench {
    pub fn new() -> Self {
        let gpu = Gpu::discover_by(&library()).unwrap();
        let context = Context::new(&gpu.devices()[0]).unwrap();
        let stream = Stream::new(&context).unwrap();
        let lease = MemoryPool::new(&context).unwrap().lease(u64::MAX);
        let modules = ModuleCache::new(&context, Compile::Never);
        Self { gpu, context, stream, lease, modules }
    }
}

/// Where Cargo put the fake driver: with the dependencies of this test.
pub fn library() -> PathBuf {
    let folder = std::env::current_exe().unwrap();
    let folder = folder.parent().unwrap();
    let places = [folder.join("librayline_fake_cuda.so"), folder.join("../librayline_fake_cuda.so")];
    places.into_iter().find(|place| place.exists()).expect("the fake driver is built with the tests")
}

/// Whether this is the process that [`in_process`] started for `name`.
pub fn is_process(name: &str) -> bool {
    std::env::var("RAYLINE_GPU_TEST").is_ok_and(|found| found == name)
}

/// Runs the test `name` of this program in a process of its own: what fails on a device fails for the whole process.
pub fn in_process(name: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env("RAYLINE_GPU_TEST", name);
    command.envs(variables.iter().copied()).output().unwrap()
}

/// The same, which must succeed.
pub fn passes_in_process(name: &str, variables: &[(&str, &str)]) {
    let output = in_process(name, variables);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} in its own process: {}\n{said}", output.status);
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "no test has the name {name}");
}

/// Numbers from -1 to 1, a function of `seed`.
pub fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
