//! Reinforcement learning on Rayline: environments, parallel simulators, learners.

pub mod env;
pub mod nn;
pub mod ppo;

pub use env::gym::gym;
