//! Random numbers.

use super::sources;
use crate::error::GpuError;
use crate::memory::DeviceBuffer;
use crate::module::{Kernel, Launch, ModuleCache, Shape};
use crate::stream::Stream;

/// Standard normal numbers that are a function of seed, sequence and place alone: whoever draws them, wherever, gets the
/// same.
///
/// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11: Philox4x32-10; Box & Muller 1958.
#[derive(Clone, Debug)]
pub struct Noise {
    kernel: Kernel,
}

/// Which numbers are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoisePlace {
    /// Of all sequences.
    pub seed: u64,
    /// Which sequence of the seed.
    pub sequence: u64,
    /// Where in the sequence, in blocks of four numbers.
    pub first_block: u64,
}

impl Noise {
    /// Loads the kernel.
    ///
    /// # Errors
    /// As of [`ModuleCache::kernel`].
    pub fn new(modules: &ModuleCache) -> Result<Self, GpuError> {
        Ok(Self { kernel: modules.kernel(&sources::NOISE, "normal_noise")? })
    }

    /// Fills a buffer with the numbers from `place` on.
    ///
    /// # Errors
    /// [`GpuError::Range`] for a buffer of more than 2^33 numbers; [`GpuError::OtherStream`]; [`GpuError::Driver`].
    pub fn fill(&self, stream: &Stream, place: NoisePlace, out: &mut DeviceBuffer<f32>) -> Result<(), GpuError> {
        let len = out.len() as u64;
        let shape = Shape::linear("the number of blocks of noise", len.div_ceil(4))?;
        let launch = Launch::new(stream, &self.kernel).buffer_mut(out).value(len);
        let launch = launch.value(place.seed).value(place.sequence).value(place.first_block);
        // SAFETY: the arguments of `normal_noise` in kernels/noise.cu, which writes `len` elements of the buffer.
        unsafe { launch.run(shape) }
    }
}
