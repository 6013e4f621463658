//! Dense layers.

use super::sources;
use crate::error::GpuError;
use crate::memory::DeviceBuffer;
use crate::module::{Kernel, Launch, ModuleCache, Shape};
use crate::stream::Stream;

/// Rows and columns of the result that a block computes.
const TILE: u32 = 64;
/// Threads of a block along each axis.
const SIDE: u32 = 16;
/// Blocks along the second axis, at most.
const BLOCKS_MAX: u64 = 65_535;

/// A dense layer: `activation(input weights + bias)`, as a tiled matrix product in shared memory. For small networks; it
/// uses no tensor cores.
#[derive(Clone, Debug)]
pub struct Linear {
    kernel: Kernel,
}

/// What a layer does with its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// The hyperbolic tangent, within 4e-7.
    Tanh,
}

/// Sizes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Rows of input and output.
    pub rows: u32,
    /// Width of the input.
    pub inputs: u32,
    /// Width of the output.
    pub outputs: u32,
}

/// What a layer is computed from.
#[derive(Clone, Copy, Debug)]
pub struct LinearInputs<'a> {
    /// `[rows, inputs]`.
    pub input: &'a DeviceBuffer<f32>,
    /// `[inputs, outputs]`.
    pub weights: &'a DeviceBuffer<f32>,
    /// `[outputs]`.
    pub bias: &'a DeviceBuffer<f32>,
}

impl Linear {
    /// Loads the kernel.
    ///
    /// # Errors
    /// As of [`ModuleCache::kernel`].
    pub fn new(modules: &ModuleCache) -> Result<Self, GpuError> {
        Ok(Self { kernel: modules.kernel(&sources::LINEAR, "linear")? })
    }

    /// Writes the output, `[rows, outputs]`.
    ///
    /// # Errors
    /// [`GpuError::Length`] if an array has another shape; [`GpuError::Range`] for a size of 0 or too many rows;
    /// [`GpuError::OtherStream`]; [`GpuError::Driver`].
    pub fn run(
        &self,
        stream: &Stream,
        layer: &LinearInputs<'_>,
        shape: LinearShape,
        activation: Activation,
        out: &mut DeviceBuffer<f32>,
    ) -> Result<(), GpuError> {
        let launched = shape.launched()?;
        let LinearShape { rows, inputs, outputs } = shape;
        let LinearInputs { input, weights, bias } = *layer;
        input.check_len("input", product(rows, inputs))?;
        weights.check_len("weights", product(inputs, outputs))?;
        bias.check_len("bias", outputs as usize)?;
        out.check_len("output", product(rows, outputs))?;
        let launch = Launch::new(stream, &self.kernel).buffer(input).buffer(weights).buffer(bias).buffer_mut(out);
        let launch = launch.value(rows).value(inputs).value(outputs).value(u32::from(activation == Activation::Tanh));
        // SAFETY: the arguments of `linear` in kernels/linear.cu, which accesses arrays of these shapes (checked) within
        // them, and writes the output alone.
        unsafe { launch.run(launched) }
    }
}

impl LinearShape {
    fn launched(self) -> Result<Shape, GpuError> {
        let sizes = [
            ("the number of rows", self.rows, BLOCKS_MAX * u64::from(TILE)),
            ("the width of the input", self.inputs, (u32::MAX - TILE).into()),
            ("the width of the output", self.outputs, (u32::MAX - TILE).into()),
        ];
        for (what, found, max) in sizes {
            if found == 0 || u64::from(found) > max {
                return Err(GpuError::Range { what, found: found.into(), min: 1, max });
            }
        }
        let blocks = [self.outputs.div_ceil(TILE), self.rows.div_ceil(TILE), 1];
        Ok(Shape { blocks, threads: [SIDE, SIDE, 1] })
    }
}

fn product(rows: u32, columns: u32) -> usize {
    rows as usize * columns as usize
}
