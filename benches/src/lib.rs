//! The benchmark suites: each metric is measured as `docs/src/measuring.md` says, and printed as one line of JSON.

pub mod compare;
pub mod core;
pub mod metric;
pub mod rl;
pub mod store;

pub use core::probe;
use metric::Metric;

/// A metric that can be measured.
#[derive(Clone, Copy)]
pub struct Bench {
    /// The suite that it belongs to.
    pub suite: &'static str,
    /// Its name within the suite.
    pub name: &'static str,
    /// Measures it, `reps` times or as often as its kind needs.
    pub run: fn(reps: usize) -> anyhow::Result<Metric>,
}

/// All metrics, in the order in which they are measured.
pub fn all() -> Vec<Bench> {
    core::BENCHES.iter().chain(rl::BENCHES).chain(store::BENCHES).copied().collect()
}
