//! Search over PPO's settings, with trials as tasks of the engine: on all CPUs, or on a cluster.
//!
//! Two methods: random search (Bergstra & Bengio 2012), whose trials are independent, and population-based training
//! (Jaderberg et al. 2017), whose members train in rounds, between which the worst take over the policies of the best
//! (*exploit*) and change their settings a little (*explore*).
//!
//! ```text
//!           Member 0   Member 1   Member 2   Member 3
//! round 0    train      train      train      train        a task each
//!              │          │          │          │          sorted by the returns of an evaluation
//! round 1      │          │ ╭────────┼───> takes over 1    policy, Adam's state and settings, then changed
//!             train      train     train      train
//! ```
//!
//! What a trial does depends on the seed and its place alone, not on which is done first: the same seed gives the same
//! table. A trial that fails, by an error or a panic or the death of its worker, is a row with its error.

mod domain;
mod error;
mod plan;
mod space;
mod table;
mod train;
mod trial;

pub use domain::Domain;
pub use error::SearchError;
pub use plan::{Found, Method, SearchPlan, search};
pub use space::SearchSpace;
pub use table::{to_csv, to_text};
pub use trial::Trial;
