//! The threads of a block.

use super::access::Reach;
use super::launch::Launch;
use super::warp::{Scene, Warp};
use crate::fault::{Fault, Status};
use crate::memory::Memory;

/// Threads that share memory and barriers.
pub struct Block<'a> {
    scene: Scene<'a>,
    warps: Vec<Warp>,
}

impl<'a> Block<'a> {
    /// The block at this place of the grid, before its first instruction.
    pub fn new(launch: &'a Launch, memory: &'a Memory, block: [u32; 3]) -> Self {
        let threads = launch.thread_count() as u32;
        let warps = (0..threads).step_by(Warp::LANES as usize);
        let warps = warps.map(|first| Warp::new(first, threads - first, launch.kernel.register_count));
        let shared_bytes = launch.kernel.shared_bytes + launch.shared_bytes;
        let reach = Reach::new(memory, launch.device, &launch.parameters, shared_bytes);
        Self { scene: Scene { launch, block, reach }, warps: warps.collect() }
    }

    /// Runs until all threads have ended. Each warp runs as far as a barrier; then all pass it.
    pub fn run(&mut self, steps_left: &mut u64) -> Result<(), Fault> {
        loop {
            for warp in &mut self.warps {
                while warp.can_run() {
                    *steps_left = steps_left.checked_sub(1).ok_or_else(|| self.scene.timeout())?;
                    warp.step(&mut self.scene)?;
                }
            }
            let passed = self.warps.iter_mut().map(Warp::pass_barrier).fold(false, |any, passed| any | passed);
            if !passed {
                return Ok(());
            }
        }
    }
}

impl Scene<'_> {
    fn timeout(&self) -> Fault {
        let reason = format!("kernel `{}` goes on and on, in block {:?}", self.launch.kernel.name, self.block);
        Fault::new(Status::LaunchTimeout, reason)
    }
}
