//! Suite `cluster`: a driver and nodes on one machine, over loopback; and suite `faults`: what deaths cost there.

mod actors;
mod daemons;
mod deaths;
mod lineage;
mod spans;
mod tasks;

use crate::Bench;
use crate::metric::Metric;
use anyhow::Result;
pub use daemons::daemon;

/// The metrics of the suite `cluster`.
pub const BENCHES: &[Bench] = &[
    bench("cluster", "task_throughput", tasks::throughput),
    bench("cluster", "task_latency", tasks::latency),
    bench("cluster", "actor_throughput", actors::throughput),
    bench("cluster", "actor_latency", actors::latency),
    bench("cluster", "start", tasks::start),
    bench("cluster", "idle_rss", tasks::idle_rss),
    bench("cluster", "transfer", spans::transfer),
    bench("cluster", "broadcast", spans::broadcast),
    bench("cluster", "locality", lineage::locality),
];

/// The metrics of the suite `faults`.
pub const FAULTS: &[Bench] = &[
    bench("faults", "worker_kill", deaths::worker_kill),
    bench("faults", "node_kill_tasks", deaths::node_kill),
    bench("faults", "node_kill", lineage::node_kill),
    bench("faults", "actor_restart", deaths::actor_restart),
];

const fn bench(suite: &'static str, name: &'static str, run: fn(usize) -> Result<Metric>) -> Bench {
    Bench { suite, name, run }
}
