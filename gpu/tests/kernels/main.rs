//! Each kernel on the fake driver, against its reference on the CPU.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod adam;
mod envs;
mod gae;
mod linear;
mod noise;
mod philox;
mod sources;

/// Floats by their bits, so that NaN and the sign of zero count.
fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}
