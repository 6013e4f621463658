//! What devices compute for reinforcement learning.
//!
//! Each kernel has a type that is loaded once and then run as often as one likes. Arrays have the shapes that are named
//! with them, row-major; the length of each is checked.

mod adam;
mod envs;
mod gae;
mod linear;
mod noise;
mod sources;

pub use self::{
    adam::{Adam, AdamOptions, AdamProgress, AdamState},
    envs::{DeviceEnvs, EnvOptions, EnvsOut},
    gae::{Gae, GaeInputs},
    linear::{Activation, Linear, LinearInputs, LinearShape},
    noise::{Noise, NoisePlace},
    sources::SOURCES,
};
