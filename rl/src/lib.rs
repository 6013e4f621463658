//! Reinforcement learning on Rayline: environments, parallel simulators, learners.

pub mod env;
pub mod es;
pub mod nn;
pub mod ppo;
pub mod record;
mod state_file;

pub use env::gym::gym;
pub use state_file::CheckpointError;
