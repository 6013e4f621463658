//! Calls of an actor on a node.

use super::daemons::Cluster;
use crate::metric::{Metric, rates, times};
use anyhow::Result;
use rayline::prelude::*;
use std::collections::VecDeque;

#[derive(Actor)]
struct Counter {
    count: u64,
}

#[methods]
impl Counter {
    pub fn new() -> Self {
        Self { count: 0 }
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.count += n;
        self.count
    }
}

fn value(object: &ObjectRef<u64>) -> u64 {
    object.get().expect("a call that can't fail")
}

/// Calls from one driver thread to one actor, 1,000 outstanding, each then got.
pub fn throughput(reps: usize) -> Result<Metric> {
    const CALLS: usize = 100_000;
    let cluster = Cluster::start(&[1])?;
    let _runtime = cluster.join()?;
    let counter = Counter::remote();
    counter.add(0).get()?;
    let values = rates(reps, CALLS, || {
        let mut window = VecDeque::with_capacity(1000);
        for _ in 0..CALLS {
            if window.len() == 1000 {
                assert!(window.pop_front().is_some_and(|object| value(&object) > 0));
            }
            window.push_back(counter.add(1));
        }
        window.iter().for_each(|object| assert!(value(object) > 0));
    });
    Ok(Metric::of("actor_throughput", "calls/s", values).with("outstanding", 1000))
}

/// One call at a time, sent and got.
pub fn latency(_: usize) -> Result<Metric> {
    let cluster = Cluster::start(&[1])?;
    let _runtime = cluster.join()?;
    let counter = Counter::remote();
    counter.add(0).get()?;
    let times = times(5_000, || assert!(value(&counter.add(1)) > 0));
    Ok(Metric::latency("actor_latency", &times))
}
