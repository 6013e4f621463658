//! The benchmark suites: each metric is measured as `docs/src/measuring.md` says, and printed as one line of JSON.

pub mod cluster;
pub mod compare;
pub mod core;
pub mod learning;
pub mod metric;
pub mod process;
pub mod rl;
pub mod sim;
pub mod store;
pub mod transport;

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
    let suites = [
        core::BENCHES,
        process::BENCHES,
        cluster::BENCHES,
        cluster::FAULTS,
        rl::BENCHES,
        sim::BENCHES,
        store::BENCHES,
        transport::BENCHES,
    ];
    suites.into_iter().flatten().copied().collect()
}
