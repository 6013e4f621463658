//! Suite `transport`: objects between peers.

mod tcp;

use crate::Bench;

/// The metrics of the suite.
pub const BENCHES: &[Bench] = &[
    bench("tcp_read", tcp::read),
    bench("tcp_small_read", tcp::small_read),
    bench("broadcast_4", tcp::broadcast_4),
    // Last: without iperf3 it ends the run.
    bench("tcp_of_iperf3", tcp::of_iperf3),
];

const fn bench(name: &'static str, run: fn(usize) -> anyhow::Result<crate::metric::Metric>) -> Bench {
    Bench { suite: "transport", name, run }
}
