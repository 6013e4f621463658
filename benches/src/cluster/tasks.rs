//! Tasks over two nodes.

use super::daemons::Cluster;
use crate::metric::{Metric, rates, times};
use anyhow::{Result, ensure};
use rayline::prelude::*;
use std::collections::{BTreeSet, VecDeque};
use std::hint::black_box;
use std::time::{Duration, Instant};

#[task]
fn noop(x: i64) -> i64 {
    black_box(x) + 1
}

#[task]
fn place() -> u32 {
    std::thread::sleep(Duration::from_millis(1));
    rayline::context().node().0
}

fn value(object: &ObjectRef<i64>) -> i64 {
    object.get().expect("a task that can't fail")
}

/// Waits until tasks run on so many nodes.
pub(super) fn warm_up(nodes: usize) -> Result<()> {
    let begin = Instant::now();
    loop {
        let places: Vec<_> = (0..50).map(|_| place::remote()).collect();
        let seen = places.iter().map(ObjectRef::get).collect::<Result<BTreeSet<_>, _>>()?;
        if seen.len() >= nodes {
            return Ok(());
        }
        ensure!(begin.elapsed() < Duration::from_secs(10), "tasks run on {} of {nodes} nodes", seen.len());
    }
}

/// No-op tasks from one driver thread to two nodes of one CPU each, 4,000 outstanding, each then got.
pub fn throughput(reps: usize) -> Result<Metric> {
    const TASKS: usize = 200_000;
    const OUTSTANDING: usize = 4_000;
    let cluster = Cluster::start(&[1, 1])?;
    let _runtime = cluster.join()?;
    warm_up(2)?;
    let values = rates(reps, TASKS, || {
        let (mut window, mut sum) = (VecDeque::with_capacity(OUTSTANDING), 0);
        for i in 0..TASKS as i64 {
            if window.len() == OUTSTANDING {
                sum += window.pop_front().map_or(0, |object| value(&object));
            }
            window.push_back(noop::remote(i));
        }
        sum += window.iter().map(value).sum::<i64>();
        assert_eq!(sum, (TASKS * (TASKS + 1) / 2) as i64);
    });
    Ok(Metric::of("task_throughput", "tasks/s", values).with("outstanding", OUTSTANDING).with("nodes", 2))
}

/// One task at a time, submitted and got.
pub fn latency(_: usize) -> Result<Metric> {
    let cluster = Cluster::start(&[1, 1])?;
    let _runtime = cluster.join()?;
    warm_up(2)?;
    let times = times(5_000, || assert_eq!(value(&noop::remote(1)), 2));
    Ok(Metric::latency("task_latency", &times).with("nodes", 2))
}

/// From the start of the head's process to a driver's first result.
pub fn start(reps: usize) -> Result<Metric> {
    let mut values = Vec::new();
    for _ in 0..reps {
        let begin = Instant::now();
        let cluster = Cluster::start(&[1])?;
        let runtime = cluster.join()?;
        assert_eq!(value(&noop::remote(1)), 2);
        values.push(begin.elapsed().as_secs_f64() * 1e3);
        drop(runtime);
    }
    Ok(Metric::of("start", "ms", values))
}

/// Memory of a node's daemon that has nothing to do, after a driver has been there.
pub fn idle_rss(_: usize) -> Result<Metric> {
    let cluster = Cluster::start(&[1, 1])?;
    let runtime = cluster.join()?;
    warm_up(2)?;
    drop(runtime);
    std::thread::sleep(Duration::from_secs(1));
    Ok(Metric::of("idle_rss", "MB", vec![cluster.resident_bytes()? as f64 / 1e6]))
}
