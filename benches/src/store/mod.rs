//! Suite `store`: the object store in shared memory.

mod gets;
mod puts;

pub use gets::probe;

use crate::Bench;

/// The metrics of the suite.
pub const BENCHES: &[Bench] = &[
    bench("put", puts::put),
    bench("put_of_memcpy", puts::put_of_memcpy),
    bench("small_put", puts::small_put),
    bench("small_put_1k", puts::small_put_1k),
    bench("get", gets::get),
];

const fn bench(name: &'static str, run: fn(usize) -> anyhow::Result<crate::metric::Metric>) -> Bench {
    Bench { suite: "store", name, run }
}
