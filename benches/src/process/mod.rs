//! Suite `process`: a driver, and worker processes that run its tasks on the same machine.

mod args;
mod tasks;

use crate::Bench;

/// The metrics of the suite.
pub const BENCHES: &[Bench] = &[
    bench("task_throughput", tasks::throughput),
    bench("task_latency", tasks::latency),
    bench("task_wake", tasks::wake),
    bench("isolated_latency", tasks::isolated_latency),
    bench("ref_arg_100MB", args::by_reference),
];

const fn bench(name: &'static str, run: fn(usize) -> anyhow::Result<crate::metric::Metric>) -> Bench {
    Bench { suite: "process", name, run }
}
