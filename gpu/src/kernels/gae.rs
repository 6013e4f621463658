//! Generalised advantage estimation.

use super::sources;
use crate::error::GpuError;
use crate::memory::DeviceBuffer;
use crate::module::{Kernel, Launch, ModuleCache, Shape};
use crate::stream::Stream;

/// Generalised advantage estimation, one thread an environment.
///
/// `A_t = delta_t + gamma lambda A_(t+1)` with `delta_t = r_t + gamma V(s_(t+1)) - V(s_t)`, where the sum stops at the end
/// of an episode.
///
/// Source: Schulman et al. 2016, equation 16.
#[derive(Clone, Debug)]
pub struct Gae {
    kernel: Kernel,
}

/// What advantages are computed from; all are `[steps, envs]`.
#[derive(Clone, Copy, Debug)]
pub struct GaeInputs<'a> {
    /// Rewards of the steps.
    pub rewards: &'a DeviceBuffer<f32>,
    /// Values of the observations before the steps.
    pub values: &'a DeviceBuffer<f32>,
    /// Values of the observations after the steps: of an episode's last where it was truncated, 0 where it terminated.
    pub next_values: &'a DeviceBuffer<f32>,
    /// 1 where an episode terminated, else 0.
    pub terminated: &'a DeviceBuffer<u8>,
    /// 1 where an episode was truncated, else 0.
    pub truncated: &'a DeviceBuffer<u8>,
}

impl Gae {
    /// Loads the kernel.
    ///
    /// # Errors
    /// As of [`ModuleCache::kernel`].
    pub fn new(modules: &ModuleCache) -> Result<Self, GpuError> {
        Ok(Self { kernel: modules.kernel(&sources::GAE, "gae")? })
    }

    /// Writes the advantages of `envs` environments, `[steps, envs]`.
    ///
    /// # Errors
    /// [`GpuError::Length`] if an array has another shape than `advantages`; [`GpuError::Range`] if that has no whole
    /// number of steps; [`GpuError::OtherStream`]; [`GpuError::Driver`].
    pub fn run(
        &self,
        stream: &Stream,
        inputs: &GaeInputs<'_>,
        envs: u32,
        [gamma, lambda]: [f32; 2],
        advantages: &mut DeviceBuffer<f32>,
    ) -> Result<(), GpuError> {
        let shape = Shape::linear("the number of environments", envs.into())?;
        let rows = advantages.len();
        let steps = steps_of(rows, envs)?;
        advantages.check_len("advantages", steps as usize * envs as usize)?;
        let GaeInputs { rewards, values, next_values, terminated, truncated } = *inputs;
        for (what, buffer) in [("rewards", rewards), ("values", values), ("next values", next_values)] {
            buffer.check_len(what, rows)?;
        }
        terminated.check_len("terminated", rows)?;
        truncated.check_len("truncated", rows)?;
        let launch = Launch::new(stream, &self.kernel).buffer(rewards).buffer(values).buffer(next_values);
        let launch = launch.buffer(terminated).buffer(truncated).buffer_mut(advantages);
        let launch = launch.value(steps).value(envs).value(gamma).value(lambda);
        // SAFETY: the arguments of `gae` in kernels/gae.cu. Thread `env` of `envs` accesses rows `step * envs + env` of
        // arrays of `steps * envs` elements (checked), and writes `advantages` alone.
        unsafe { launch.run(shape) }
    }
}

/// How many steps `rows` of `envs` environments are.
fn steps_of(rows: usize, envs: u32) -> Result<u32, GpuError> {
    let steps = (rows / envs as usize) as u64;
    let max = u32::MAX.into();
    let fits = u32::try_from(steps).ok().filter(|steps| *steps > 0);
    fits.ok_or(GpuError::Range { what: "the number of steps", found: steps, min: 1, max })
}
