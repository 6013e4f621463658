//! Reinforcement learning on Rayline: environments, parallel simulators, learners.

mod causes;
pub mod collective;
pub mod env;
pub mod es;
mod json_text;
mod misfit;
pub mod nn;
pub mod policy;
pub mod ppo;
pub mod record;
#[cfg(feature = "render")]
pub mod render;
#[cfg(feature = "settings")]
pub mod search;
#[cfg(feature = "settings")]
pub mod settings;
mod state_file;
#[cfg(feature = "view")]
pub mod view;

pub use causes::with_causes;
pub use env::gym::gym;
pub use state_file::CheckpointError;
