//! Evolution strategies (Salimans et al. 2017, "Evolution Strategies as a Scalable Alternative to Reinforcement
//! Learning"), on any number of evaluators, which may come and go.
//!
//! ```text
//!              EsPolicy (round, parameters, observation statistics)
//!   ┌────────────────────────────────────────────────────────────────┐
//!   │                                                                v
//! EsLearner <── Harvest <── tree of joins <── Harvest ──── Evaluator (one per actor: environments)
//!   │  directions                                    run: some pairs  ^
//!   └──> tree of sums ──> gradient, Adam                              │
//!             ^                                                       │
//!             └──────────── one noise table, read in place ───────────┘
//! ```
//!
//! A *pair* is one direction of the noise table, tried on either side of the parameters. Which direction it is, how its
//! episodes begin and what noise its actions get are functions of the seed, the round and its place in the round alone,
//! and all sums are made in an order that depends on nothing else. So a run is the same, bit for bit, for any number of
//! evaluators; only where evaluators fail or are cut off for being late do results depend on time.
//!
//! The parts work without the engine too: [`PairRunner`] tries pairs, [`EsLearner`] learns from what it found.

mod checkpoint;
mod config;
mod error;
mod evaluator;
mod gather;
mod gradient;
mod harvest;
mod learner;
mod noise;
mod policy;
mod presets;
mod ranks;
mod rows;
mod runner;
mod stats;
mod trainer;
mod tree;

pub use checkpoint::EsCheckpoint;
pub use config::EsConfig;
pub use error::EsError;
pub use evaluator::{Evaluator, EvaluatorRef};
pub use gather::{join_all, sum_all};
pub use gradient::Directions;
pub use harvest::{Harvest, Sample};
pub use learner::EsLearner;
pub use noise::noise_table;
pub use policy::{EsPolicy, PolicyNet, PolicySpec};
pub use ranks::centered_ranks;
pub use runner::{PairRange, PairRunner};
pub use stats::{EsProgress, EsStats, Evaluation};
pub use trainer::EsTrainer;
