//! Suite `sim`: the simulator of whole clusters.

use crate::Bench;
use crate::metric::{Metric, rates};
use anyhow::{Context, Result};
use rayline_sim::{Options, run};
use std::time::Duration;

/// The metrics of the suite.
pub const BENCHES: &[Bench] = &[
    Bench { suite: "sim", name: "nodes_1000_cpu", run: nodes_1000_cpu },
    Bench { suite: "sim", name: "seeds_per_s", run: seeds_per_s },
];

/// A seed whose load and faults are in the middle of what seeds draw.
const SEED: u64 = 1;
const SEEDS: u64 = 200;

/// CPU time of a cluster of 1,000 nodes over 60 simulated seconds of faults, and until it has settled and given all back.
fn nodes_1000_cpu(reps: usize) -> Result<Metric> {
    let options = Options { nodes: Some(1_000), ..Options::default() };
    let summary = run(SEED, options);
    let mut seconds = Vec::new();
    for _ in 0..reps.min(5) {
        let begin = cpu_time()?;
        run(SEED, options);
        seconds.push((cpu_time()? - begin).as_secs_f64());
    }
    Ok(Metric::of("nodes_1000_cpu", "s", seconds)
        .with("events", summary.events)
        .with("simulated_s", summary.simulated.as_secs_f64()))
}

/// Seeds of the usual mix of sizes, one after the other.
fn seeds_per_s(reps: usize) -> Result<Metric> {
    let play = || {
        for seed in 0..SEEDS {
            run(seed, Options::default());
        }
    };
    Ok(Metric::of("seeds_per_s", "seeds/s", rates(reps, SEEDS as usize, play)).with("seeds", SEEDS))
}

/// How long this thread has run on a CPU.
fn cpu_time() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").context("no CPU time: this needs Linux")?;
    let nanos = text.split_whitespace().next().context("no CPU time in schedstat")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}
