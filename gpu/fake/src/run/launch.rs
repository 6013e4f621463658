//! A launch of a kernel.

use std::sync::Arc;

use super::block::Block;
use crate::fault::{Fault, Status};
use crate::memory::Memory;
use crate::ptx::Kernel;

/// Instructions that the warps of a launch may run in all: a kernel that goes on for longer is taken for one that never ends.
const STEPS_MAX: u64 = 2_000_000_000;

/// A kernel with all that a launch gives it.
#[derive(Clone, Debug)]
pub struct Launch {
    pub kernel: Arc<Kernel>,
    pub device: usize,
    /// Blocks along each axis.
    pub grid: [u32; 3],
    /// Threads of a block along each axis.
    pub block: [u32; 3],
    /// Shared memory of a block, besides that which the kernel declares.
    pub shared_bytes: usize,
    /// The parameters, as the kernel has them placed.
    pub parameters: Vec<u8>,
}

impl Launch {
    /// Whether a device could run it.
    ///
    /// # Errors
    /// `InvalidValue` for a grid or block without threads, or with too many; `LaunchOutOfResources` for more threads than
    /// the kernel was compiled for.
    pub fn check(&self) -> Result<(), Fault> {
        let Self { kernel, grid, block, .. } = self;
        let threads = self.thread_count();
        if grid.contains(&0) || threads == 0 || threads > 1024 || block[2] > 64 || grid[1..].iter().any(|n| *n > 65535)
        {
            let reason = format!("a grid of {grid:?} blocks of {block:?} threads");
            return Err(Fault::new(Status::InvalidValue, reason));
        }
        if threads > u64::from(kernel.threads_max) {
            let reason =
                format!("{threads} threads a block; kernel {} has {} at most", kernel.name, kernel.threads_max);
            return Err(Fault::new(Status::LaunchOutOfResources, reason));
        }
        Ok(())
    }

    /// Runs all blocks.
    ///
    /// # Errors
    /// The first fault, with kernel, block, thread and instruction; `LaunchTimeout` where it doesn't end.
    pub fn run(&self, memory: &Memory) -> Result<(), Fault> {
        let mut steps_left = STEPS_MAX;
        for z in 0..self.grid[2] {
            for y in 0..self.grid[1] {
                for x in 0..self.grid[0] {
                    Block::new(self, memory, [x, y, z]).run(&mut steps_left)?;
                }
            }
        }
        Ok(())
    }

    /// Threads of a block.
    pub fn thread_count(&self) -> u64 {
        self.block.iter().map(|count| u64::from(*count)).product()
    }
}
