//! The sources of the kernels, and what they were compiled to by `kernels/build.py`.

use crate::module::KernelSource;

macro_rules! source {
    ($name:literal) => {
        KernelSource {
            name: $name,
            text: &[include_str!("../../kernels/common.cuh"), include_str!(concat!("../../kernels/", $name, ".cu"))],
            ptx: include_str!(concat!("../../kernels/ptx/", $name, ".ptx")),
        }
    };
}

pub(super) const ADAM: KernelSource = source!("adam");
pub(super) const CART_POLE: KernelSource = source!("cart_pole");
pub(super) const GAE: KernelSource = source!("gae");
pub(super) const LINEAR: KernelSource = source!("linear");
pub(super) const NOISE: KernelSource = source!("noise");
pub(super) const PENDULUM: KernelSource = source!("pendulum");

/// All of them.
pub const SOURCES: [KernelSource; 6] = [ADAM, CART_POLE, GAE, LINEAR, NOISE, PENDULUM];
