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
//! driver and [`Simulator`] actors ([`Trainer`]). Everything is deterministic from [`PpoConfig::seed`] for a given number
//! of collectors, also where they gather while the learner learns ([`PpoConfig::max_lag`]).

mod batch;
mod callbacks;
mod checkpoint;
mod collector;
mod config;
mod error;
mod evaluate;
mod evaluation;
mod evaluator;
mod failed_update;
mod gae;
mod learner;
mod learners;
mod loss;
mod mask;
mod memory;
mod passes;
mod pipeline;
mod presets;
mod replica;
mod rollout;
mod rollout_file;
mod scaling;
mod schedule;
mod simulator;
mod stats;
mod train;
mod trainer;
mod vtrace;

pub use callbacks::{Callback, SaveBest, SaveEvery, StopAtReturn};
pub use checkpoint::Checkpoint;
pub use collector::{Collector, CollectorSeed};
pub use config::{Minibatches, PpoConfig};
pub use error::PpoError;
pub(crate) use evaluate::play_watched;
pub use evaluate::{evaluate, evaluate_snapshot};
pub use evaluation::{EvaluationPlan, PolicyEvaluation};
pub use evaluator::{PolicyEvaluator, PolicyEvaluatorRef};
pub use failed_update::FailedUpdate;
pub use gae::generalized_advantages;
pub use learner::PpoLearner;
pub use replica::{Replica, ReplicaRef};
pub use rollout::{EpisodeEnd, PolicySnapshot, RolloutBatch};
pub use scaling::{ObsScaling, SeenStats};
pub use schedule::Schedule;
pub use simulator::{Simulator, SimulatorRef};
pub use stats::{EpisodeWindow, UpdateStats};
pub use train::{Progress, Trained, train};
pub use trainer::Trainer;
