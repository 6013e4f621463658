//! Large buffers from a driver to nodes.

use super::daemons::Cluster;
use super::tasks::warm_up;
use crate::metric::Metric;
use anyhow::{Result, ensure};
use rayline::Buf;
use rayline::prelude::*;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

const GIB: usize = 1 << 30;

/// Looks at one element, and says where.
#[task]
fn look(tensor: &Tensor<u8>) -> u32 {
    black_box(tensor.data().last());
    rayline::context().node().0
}

fn tensor(bytes: usize, fill: u8) -> Tensor<u8> {
    Tensor::from(Buf::from(vec![fill; bytes]))
}

/// 1 GiB that the driver has put, to a task of a node on the same machine, which keeps nothing of it; and beside it what part
/// that is of the rate of a copy from heap to heap, made in turn with it.
pub fn transfer(reps: usize) -> Result<Metric> {
    let cluster = Cluster::start(&[1])?;
    let _runtime = cluster.join()?;
    warm_up(1)?;
    let large = tensor(GIB, 3);
    let object = put(large.clone());
    let mut heap = vec![1_u8; GIB];
    let (mut rates, mut copies, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for rep in 0..=reps {
        let begin = Instant::now();
        look::remote(&object).get()?;
        let transfer = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        heap.copy_from_slice(black_box(large.data()));
        black_box(&mut heap);
        let copy = begin.elapsed().as_secs_f64();
        if rep > 0 {
            rates.push(GIB as f64 / 1e9 / transfer);
            copies.push(GIB as f64 / 1e9 / copy);
            ratios.push(copy / transfer);
        }
    }
    let (copy, ratio) = (Metric::of("", "GB/s", copies), Metric::of("", "ratio", ratios));
    let metric = Metric::of("transfer", "GB/s", rates).with("bytes", GIB);
    Ok(metric.with("memcpy_gb_s", copy.value).with("transfer_of_memcpy", ratio.value))
}

/// 256 MB that are new each time, to a task on each of four nodes.
pub fn broadcast(reps: usize) -> Result<Metric> {
    const BYTES: usize = 256_000_000;
    const NODES: u32 = 4;
    let cluster = Cluster::start(&[1; NODES as usize])?;
    let _runtime = cluster.join()?;
    warm_up(NODES as usize)?;
    let group = PlacementGroup::reserve(Strategy::StrictSpread, (0..NODES).map(|_| Bundle::cpu(1)))?;
    let mut seconds = Vec::new();
    for rep in 0..=reps {
        let object = put(tensor(BYTES, rep as u8));
        let begin = Instant::now();
        let looks: Vec<_> = (0..NODES).map(|node| look::call(&object).place(group.bundle(node)).remote()).collect();
        let nodes = looks.iter().map(ObjectRef::get).collect::<Result<BTreeSet<_>, _>>()?;
        if rep > 0 {
            seconds.push(begin.elapsed().as_secs_f64());
        }
        ensure!(nodes.len() == NODES as usize, "{} of {NODES} nodes have looked", nodes.len());
    }
    Ok(Metric::of("broadcast", "s", seconds).with("bytes", BYTES).with("nodes", NODES))
}
