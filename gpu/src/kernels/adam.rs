//! The optimiser.

use super::sources;
use crate::error::GpuError;
use crate::memory::{DeviceBuffer, Lease};
use crate::module::{Kernel, Launch, ModuleCache, Shape};
use crate::stream::Stream;

const THREADS: u32 = 256;
/// Blocks that sum squares, at most. The same on all devices, so that sums are, too.
const PARTIALS_MAX: usize = 256;
/// Words of the state that the launches of one step hand on: `AdamState` of kernels/adam.cu.
const STATE_WORDS: usize = 3;

/// Adam (Kingma & Ba 2015) with bias correction and a bound on the norm of the whole gradient, as PyTorch's.
///
/// A step is three launches without atomics: the same gradient gives the same bits, on whatever device. All that changes
/// from step to step lies on the device, so that a [`Graph`](crate::Graph) of a step can be replayed.
#[derive(Clone, Debug)]
pub struct Adam {
    norm: Kernel,
    prepare: Kernel,
    step: Kernel,
    /// How it is set.
    pub options: AdamOptions,
}

/// Constants of [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment; PPO uses 1e-5 (Huang et al. 2022, core detail 3).
    pub epsilon: f32,
    /// A gradient with a greater Euclidean norm is scaled down to it.
    pub norm_max: Option<f32>,
}

/// What [`Adam`] remembers of some parameters.
#[derive(Debug)]
pub struct AdamState {
    first: DeviceBuffer<f32>,
    second: DeviceBuffer<f32>,
    partials: DeviceBuffer<f32>,
    state: DeviceBuffer<u64>,
}

/// How far an optimiser has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamProgress {
    /// Steps made so far.
    pub steps: u64,
    /// The norm of the last gradient, before it was scaled.
    pub norm: f32,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, norm_max: None }
    }
}

impl Adam {
    /// Loads the kernels.
    ///
    /// # Errors
    /// As of [`ModuleCache::kernel`].
    pub fn new(modules: &ModuleCache, options: AdamOptions) -> Result<Self, GpuError> {
        let kernel = |name| modules.kernel(&sources::ADAM, name);
        Ok(Self { norm: kernel("adam_norm")?, prepare: kernel("adam_prepare")?, step: kernel("adam_step")?, options })
    }

    /// Moves `parameters` one step against `gradient`, both `[len]`. `learning_rate` is `[1]`.
    ///
    /// # Errors
    /// [`GpuError::Length`] unless all are as long as `state` was made for; [`GpuError::OtherStream`];
    /// [`GpuError::Driver`].
    pub fn step(
        &self,
        stream: &Stream,
        parameters: &mut DeviceBuffer<f32>,
        gradient: &DeviceBuffer<f32>,
        learning_rate: &DeviceBuffer<f32>,
        state: &mut AdamState,
    ) -> Result<(), GpuError> {
        let len = state.first.len();
        parameters.check_len("parameters", len)?;
        gradient.check_len("gradient", len)?;
        learning_rate.check_len("learning rate", 1)?;
        self.prepare(stream, gradient, state)?;
        let AdamState { first, second, partials, state } = state;
        let AdamOptions { beta1, beta2, epsilon, .. } = self.options;
        let launch = Launch::new(stream, &self.step).buffer_mut(parameters).buffer(gradient);
        let launch = launch.buffer_mut(first).buffer_mut(second).buffer(state).buffer(learning_rate);
        let launch = launch.value(len as u64).value(beta1).value(beta2).value(epsilon);
        // SAFETY: the arguments of `adam_step` in kernels/adam.cu, which accesses `len` elements of the first four (checked,
        // or made so), one of the others, and writes parameters and moments alone.
        unsafe { launch.run(blocks(partials.len())) }
    }

    /// From the gradient to the scale and the corrections.
    fn prepare(&self, stream: &Stream, gradient: &DeviceBuffer<f32>, state: &mut AdamState) -> Result<(), GpuError> {
        let AdamState { partials, state, .. } = state;
        let partial_count = partials.len();
        let launch = Launch::new(stream, &self.norm).buffer(gradient).buffer_mut(partials).value(gradient.len() as u64);
        // SAFETY: the arguments of `adam_norm`, which reads `len` elements, and writes one for each block.
        unsafe { launch.run(blocks(partial_count)) }?;
        let AdamOptions { beta1, beta2, norm_max, .. } = self.options;
        let launch = Launch::new(stream, &self.prepare).buffer(partials).buffer_mut(state);
        let launch = launch.value(partial_count as u32).value(beta1).value(beta2);
        // SAFETY: the arguments of `adam_prepare`, which reads as many sums as there are, and writes the state.
        unsafe { launch.value(norm_max.unwrap_or(f32::INFINITY)).run(blocks(1)) }
    }
}

impl AdamState {
    /// For `len` parameters, before the first step.
    ///
    /// # Errors
    /// As of [`Lease::zeros`].
    pub fn new(lease: &Lease, stream: &Stream, len: usize) -> Result<Self, GpuError> {
        Ok(Self {
            first: lease.zeros(stream, len)?,
            second: lease.zeros(stream, len)?,
            partials: lease.zeros(stream, len.div_ceil(4 * THREADS as usize).clamp(1, PARTIALS_MAX))?,
            state: lease.zeros(stream, STATE_WORDS)?,
        })
    }

    /// How far it has come; waits for the stream.
    ///
    /// # Errors
    /// As of [`Stream::download`].
    pub fn progress(&self, stream: &Stream) -> Result<AdamProgress, GpuError> {
        let words = stream.to_vec(&self.state)?;
        Ok(AdamProgress { steps: words[0], norm: f32::from_bits(words[1] as u32) })
    }
}

fn blocks(count: usize) -> Shape {
    Shape { blocks: [count as u32, 1, 1], threads: [THREADS, 1, 1] }
}
