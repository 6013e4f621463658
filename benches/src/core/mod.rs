//! Suite `core`: the embedded engine.

mod actors;
mod grain;
mod process;
mod tasks;

pub use process::probe;

use crate::Bench;

/// The metrics of the suite.
pub const BENCHES: &[Bench] = &[
    bench("task_throughput", tasks::throughput),
    bench("task_leased", tasks::leased_throughput),
    bench("task_latency", tasks::latency),
    bench("chain_hop", tasks::chain_hop),
    bench("tree_reduce", tasks::tree_reduce),
    bench("wait_drain", tasks::wait_drain),
    bench("fib", tasks::fib_tasks),
    bench("stream_items", tasks::stream_items),
    bench("actor_throughput", actors::throughput),
    bench("actor_latency", actors::latency),
    bench("actor_create", actors::create),
    bench("step_8_actors", actors::step),
    bench("metg_50", grain::metg_50),
    bench("startup", process::startup),
    bench("idle_rss", process::idle_rss),
];

const fn bench(name: &'static str, run: fn(usize) -> anyhow::Result<crate::metric::Metric>) -> Bench {
    Bench { suite: "core", name, run }
}
