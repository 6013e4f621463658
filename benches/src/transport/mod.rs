//! Suite `transport`: objects between peers.

mod rdma;
mod tcp;

use crate::Bench;

/// The metrics of the suite.
pub const BENCHES: &[Bench] = &[
    bench("tcp_read", tcp::read),
    bench("tcp_small_read", tcp::small_read),
    bench("broadcast_4", tcp::broadcast_4),
    // Last: what these need isn't everywhere.
    bench("rdma_read", rdma::read),
    bench("rdma_of_ib_read_bw", rdma::of_ib_read_bw),
    bench("tcp_of_iperf3", tcp::of_iperf3),
];

const fn bench(name: &'static str, run: fn(usize) -> anyhow::Result<crate::metric::Metric>) -> Bench {
    Bench { suite: "transport", name, run }
}
