//! Environments on the device.

use std::marker::PhantomData;

use super::sources;
use crate::error::GpuError;
use crate::memory::{DeviceBuffer, Element, Lease};
use crate::module::{Kernel, KernelSource, Launch, ModuleCache, Shape};
use crate::stream::Stream;

/// Environments that are stepped together, one a thread, with time limit and autoreset; `A` is an action: `u32` for a
/// choice, `f32` for a value.
///
/// They are the same as those that `rayline-rl` steps in batches on the CPU, with the same random numbers: each episode's
/// start is a function of seed, index of the environment and number of the episode. Actions are not checked.
#[derive(Debug)]
pub struct DeviceEnvs<A> {
    reset: Kernel,
    step: Kernel,
    options: EnvOptions,
    obs_len: usize,
    state: DeviceBuffer<f32>,
    episodes: DeviceBuffer<u64>,
    lengths: DeviceBuffer<u32>,
    totals: DeviceBuffer<f32>,
    out: EnvsOut,
    of: PhantomData<A>,
}

/// How many environments, and how they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvOptions {
    /// How many.
    pub env_count: u32,
    /// Of their random numbers.
    pub seed: u64,
    /// The index of the first of them, where there are others besides.
    pub first_index: u64,
    /// After how many steps an episode is truncated; at least 1.
    pub length_max: u32,
}

/// What the last step gave.
#[derive(Debug)]
pub struct EnvsOut {
    /// `[envs, obs]`: where an episode ended, the first of the next.
    pub obs: DeviceBuffer<f32>,
    /// `[envs]`.
    pub rewards: DeviceBuffer<f32>,
    /// `[envs]`: 1 where an episode terminated, else 0.
    pub terminated: DeviceBuffer<u8>,
    /// `[envs]`: 1 where an episode was truncated, else 0.
    pub truncated: DeviceBuffer<u8>,
    /// `[envs, obs]`: the last of the episode that ended last.
    pub final_obs: DeviceBuffer<f32>,
    /// `[envs]`: the rewards of the episode that ended last, summed.
    pub final_totals: DeviceBuffer<f32>,
    /// `[envs]`: the steps of the episode that ended last.
    pub final_lengths: DeviceBuffer<u32>,
}

/// Sizes of a task.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    state_len: usize,
    obs_len: usize,
}

impl DeviceEnvs<u32> {
    /// CartPole-v1. State and observation: cart position (m), cart velocity (m/s), pole angle (rad), pole angular velocity
    /// (rad/s). Action 1 pushes to the right, all others to the left.
    ///
    /// Source: Barto, Sutton & Anderson 1983; Gymnasium, CartPole-v1.
    ///
    /// # Errors
    /// As of [`ModuleCache::kernel`] and [`Lease::zeros`]; [`GpuError::Range`] for no environments.
    pub fn cart_pole(
        modules: &ModuleCache,
        lease: &Lease,
        stream: &Stream,
        options: EnvOptions,
    ) -> Result<Self, GpuError> {
        let sizes = Sizes { state_len: 4, obs_len: 4 };
        Self::new(
            modules,
            (&sources::CART_POLE, ["cart_pole_reset", "cart_pole_step"]),
            (lease, stream),
            options,
            sizes,
        )
    }
}

impl DeviceEnvs<f32> {
    /// Pendulum-v1. State: angle from upright (rad), wrapped; angular velocity (rad/s). Observation: cosine and sine of the
    /// angle, angular velocity. The action is a torque (N m), clipped to `[-2, 2]`.
    ///
    /// Source: Gymnasium, Pendulum-v1.
    ///
    /// # Errors
    /// As of [`ModuleCache::kernel`] and [`Lease::zeros`]; [`GpuError::Range`] for no environments.
    pub fn pendulum(
        modules: &ModuleCache,
        lease: &Lease,
        stream: &Stream,
        options: EnvOptions,
    ) -> Result<Self, GpuError> {
        let sizes = Sizes { state_len: 2, obs_len: 3 };
        Self::new(modules, (&sources::PENDULUM, ["pendulum_reset", "pendulum_step"]), (lease, stream), options, sizes)
    }
}

impl<A: Element> DeviceEnvs<A> {
    /// Begins the first episode of each environment.
    ///
    /// # Errors
    /// [`GpuError::OtherStream`]; [`GpuError::Driver`].
    pub fn reset(&mut self, stream: &Stream) -> Result<(), GpuError> {
        let EnvOptions { env_count, seed, first_index, .. } = self.options;
        let launch = Launch::new(stream, &self.reset).buffer_mut(&mut self.state).buffer_mut(&mut self.episodes);
        let launch = launch.buffer_mut(&mut self.lengths).buffer_mut(&mut self.totals).buffer_mut(&mut self.out.obs);
        let launch = launch.value(env_count).value(seed).value(first_index);
        // SAFETY: the arguments of the kernels that begin with a task's name and end with `_reset`; thread `env` of
        // `env_count` writes its part of arrays that `new` made as long.
        unsafe { launch.run(Shape::linear("the number of environments", env_count.into())?) }
    }

    /// Steps all environments by `actions`, `[envs]`.
    ///
    /// # Errors
    /// [`GpuError::Length`] unless there is one action for each; [`GpuError::OtherStream`]; [`GpuError::Driver`].
    pub fn step(&mut self, stream: &Stream, actions: &DeviceBuffer<A>) -> Result<(), GpuError> {
        let EnvOptions { env_count, seed, first_index, length_max } = self.options;
        actions.check_len("actions", env_count as usize)?;
        let out = &mut self.out;
        let launch = Launch::new(stream, &self.step).buffer_mut(&mut self.state).buffer_mut(&mut self.episodes);
        let launch = launch.buffer_mut(&mut self.lengths).buffer_mut(&mut self.totals).buffer(actions);
        let launch = launch.buffer_mut(&mut out.obs).buffer_mut(&mut out.rewards).buffer_mut(&mut out.terminated);
        let launch = launch.buffer_mut(&mut out.truncated).buffer_mut(&mut out.final_obs);
        let launch = launch.buffer_mut(&mut out.final_totals).buffer_mut(&mut out.final_lengths);
        let launch = launch.value(env_count).value(seed).value(first_index).value(length_max);
        // SAFETY: the arguments of the kernels that end with `_step`, whose `actions` are of type `A`; thread `env` of
        // `env_count` accesses its part of arrays that are as long (checked, or made so), and reads `actions` alone.
        unsafe { launch.run(Shape::linear("the number of environments", env_count.into())?) }
    }

    /// What the last reset or step gave; after a reset only the observations mean anything.
    pub fn out(&self) -> &EnvsOut {
        &self.out
    }

    /// How many numbers an observation has.
    pub fn obs_len(&self) -> usize {
        self.obs_len
    }

    /// The states of all environments, `[state, envs]`.
    pub fn state(&self) -> &DeviceBuffer<f32> {
        &self.state
    }

    /// The same, to put environments into other states; their episodes go on.
    pub fn state_mut(&mut self) -> &mut DeviceBuffer<f32> {
        &mut self.state
    }

    fn new(
        modules: &ModuleCache,
        (source, [reset, step]): (&KernelSource, [&str; 2]),
        (lease, stream): (&Lease, &Stream),
        options: EnvOptions,
        Sizes { state_len, obs_len }: Sizes,
    ) -> Result<Self, GpuError> {
        Shape::linear("the number of environments", options.env_count.into())?;
        Shape::linear("the length of episodes", options.length_max.into())?;
        let envs = options.env_count as usize;
        let numbers = |len| lease.zeros::<f32>(stream, len);
        let mut all = Self {
            reset: modules.kernel(source, reset)?,
            step: modules.kernel(source, step)?,
            options,
            obs_len,
            state: numbers(state_len * envs)?,
            episodes: lease.zeros(stream, envs)?,
            lengths: lease.zeros(stream, envs)?,
            totals: numbers(envs)?,
            out: EnvsOut {
                obs: numbers(obs_len * envs)?,
                rewards: numbers(envs)?,
                terminated: lease.zeros(stream, envs)?,
                truncated: lease.zeros(stream, envs)?,
                final_obs: numbers(obs_len * envs)?,
                final_totals: numbers(envs)?,
                final_lengths: lease.zeros(stream, envs)?,
            },
            of: PhantomData,
        };
        all.reset(stream)?;
        Ok(all)
    }
}
