//! Values that stay on nodes: what it is worth that calls go to them, and how soon they are made again.

use super::daemons::Cluster;
use super::tasks::warm_up;
use crate::metric::Metric;
use anyhow::{Context, Result, ensure};
use rayline::Buf;
use rayline::prelude::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A value of a node: where it was made, and its bytes.
type Made = (u32, Tensor<u8>);

#[task(retries = 5)]
fn make(bytes: usize, fill: u8) -> Made {
    (rayline::context().node().0, Tensor::from(Buf::from(vec![fill; bytes])))
}

/// One more in each byte.
#[task(retries = 5)]
fn next(before: &Made) -> Made {
    let bytes: Buf<u8> = before.1.data().iter().map(|byte| byte.wrapping_add(1)).collect();
    (rayline::context().node().0, Tensor::from(bytes))
}

/// Where it was made, its last byte, and whether it is looked at where it was made.
#[task(retries = 5)]
fn look(of: &Made) -> (u32, Option<u8>, bool) {
    (of.0, black_box(of.1.data().last().copied()), of.0 == rayline::context().node().0)
}

/// 1,000 calls on two nodes, each of which takes one of 100 values of 10 MB that are there: placed by the runtime, and beside
/// it each in a bundle on a node that is drawn. How many times as long the second takes.
pub fn locality(reps: usize) -> Result<Metric> {
    const CALLS: usize = 1000;
    const VALUES: usize = 100;
    const BYTES: usize = 10_000_000;
    let cluster = Cluster::start(&[1, 1])?;
    let _runtime = cluster.join()?;
    warm_up(2)?;
    let values: Vec<_> = (0..VALUES).map(|value| make::remote(BYTES, value as u8)).collect();
    let (values, late) = wait(values, VALUES, Some(Duration::from_secs(60)));
    ensure!(late.is_empty(), "{} values were not made in a minute", late.len());
    let (mut ratios, mut aware_s, mut unaware_s, mut locals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for rep in 0..reps.min(5) {
        // Its CPUs are the nodes' only ones: it goes before the plain calls begin.
        let group = PlacementGroup::reserve(Strategy::StrictSpread, [Bundle::cpu(1), Bundle::cpu(1)])?;
        let begin = Instant::now();
        let unaware = |call: usize| look::call(&values[call % VALUES]).place(group.bundle(drawn(rep, call))).remote();
        finish((0..CALLS).map(unaware).collect())?;
        let unaware = begin.elapsed().as_secs_f64();
        drop(group);
        warm_up(2)?;
        // How long calls take is known from those before.
        finish((0..CALLS / 5).map(|call| look::remote(&values[call % VALUES])).collect())?;
        let begin = Instant::now();
        let local = finish((0..CALLS).map(|call| look::remote(&values[call % VALUES])).collect())?;
        let aware = begin.elapsed().as_secs_f64();
        locals.push(local as f64 / CALLS as f64);
        aware_s.push(aware);
        unaware_s.push(unaware);
        ratios.push(unaware / aware);
    }
    let (aware, unaware) = (Metric::of("", "s", aware_s), Metric::of("", "s", unaware_s));
    let metric = Metric::of("locality", "ratio", ratios).with("bytes", BYTES).with("calls", CALLS);
    let local = Metric::of("", "ratio", locals).value;
    Ok(metric.with("aware_s", aware.value).with("unaware_s", unaware.value).with("local", local))
}

/// One of two nodes, evenly.
fn drawn(rep: usize, call: usize) -> u32 {
    let mixed = ((rep * 7919 + call) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 63) as u32
}

/// How many of them were looked at where they were made.
fn finish(looks: Vec<ObjectRef<(u32, Option<u8>, bool)>>) -> Result<usize> {
    let looks = looks.iter().map(ObjectRef::get).collect::<rayline::Result<Vec<_>>>()?;
    Ok(looks.iter().filter(|(_, _, is_local)| *is_local).count())
}

/// From `kill -9` of the daemon of a node that has a chain of 100 values of 1 MB, all of them needed, to when the last has been
/// made again and looked at on another node.
pub fn node_kill(reps: usize) -> Result<Metric> {
    const LINKS: usize = 100;
    const BYTES: usize = 1 << 20;
    let mut values = Vec::new();
    for _ in 0..reps.min(7) {
        let mut cluster = Cluster::start(&[1, 1, 1])?;
        let _runtime = cluster.join()?;
        warm_up(3)?;
        let (mut chain, node) = begun_on_a_node(BYTES)?;
        while chain.len() < LINKS {
            chain.push(next::remote(chain.last().context("it is begun")?));
        }
        let last = chain.last().context("it is long")?;
        let (holder, before, _) = look::remote(last).get()?;
        ensure!(holder == node, "the chain has gone from n{node} to n{holder}");
        let begin = Instant::now();
        cluster.kill(node as usize - 1)?;
        // It may be answered by one who has read it already, as long as the node's worker lives.
        loop {
            let (made_on, after, _) = look::remote(last).get()?;
            ensure!(after == before, "another value was made");
            if made_on != node {
                break;
            }
            ensure!(begin.elapsed() < Duration::from_secs(20), "the chain isn't made again");
        }
        values.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Metric::of("node_kill", "ms", values).with("links", LINKS).with("bytes", BYTES))
}

/// The first link of a chain, on a node that isn't the head's.
fn begun_on_a_node(bytes: usize) -> Result<(Vec<ObjectRef<Made>>, u32)> {
    for _ in 0..100 {
        // As many as there are nodes, so that all have one.
        let firsts: Vec<_> = (0..3).map(|_| make::remote(bytes, 1)).collect();
        for first in firsts {
            let (node, ..) = look::remote(&first).get()?;
            if node != 1 {
                return Ok((vec![first], node));
            }
        }
    }
    anyhow::bail!("all tasks run on the head's node")
}
