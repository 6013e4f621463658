//! Proximal policy optimisation (Schulman et al. 2017), with the implementation details of Huang et al. 2022, "The 37
//! Implementation Details of Proximal Policy Optimization".
//!
//! ```text
//!   PolicySnapshot (version, parameters)
//!  ┌──────────────────────────────────────┐
//!  │                                      v
//! PpoLearner <──── RolloutBatch ──── Collector (one per actor: environments, random stream)
//!   update                            collect
//! ```
//!
//! Both arrows are plain values (serde, `Clone`, `Send`, `Sync`), so the two ends may be one thread ([`train`]), or a
//! driver and [`Simulator`] actors ([`Trainer`]). Everything is deterministic from [`PpoConfig::seed`] for a given number of collectors.

mod batch;
mod checkpoint;
mod collector;
mod config;
mod error;
mod evaluate;
mod failed_update;
mod gae;
mod learner;
mod loss;
mod passes;
mod presets;
mod rollout;
mod rollout_file;
mod schedule;
mod simulator;
mod stats;
mod train;
mod trainer;

pub use checkpoint::Checkpoint;
pub use collector::{Collector, CollectorSeed};
pub use config::{Minibatches, PpoConfig};
pub use error::PpoError;
pub use evaluate::evaluate;
pub use failed_update::FailedUpdate;
pub use gae::generalized_advantages;
pub use learner::PpoLearner;
pub use rollout::{EpisodeEnd, PolicySnapshot, RolloutBatch};
pub use schedule::Schedule;
pub use simulator::{Simulator, SimulatorRef};
pub use stats::{EpisodeWindow, UpdateStats};
pub use train::{Progress, Trained, train};
pub use trainer::Trainer;
