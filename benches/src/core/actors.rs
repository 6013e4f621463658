//! Actors: throughput, latency, creation, a synchronous step over several.

use crate::metric::{Metric, rates, times};
use anyhow::Result;
use rayline::prelude::*;
use std::collections::VecDeque;

#[derive(Actor)]
struct Counter {
    sum: i64,
}

#[methods]
impl Counter {
    pub fn new() -> Self {
        Self { sum: 0 }
    }

    pub fn add(&mut self, n: i64) -> i64 {
        self.sum += n;
        self.sum
    }
}

fn value(object: &ObjectRef<i64>) -> i64 {
    object.get().expect("a method that can't fail")
}

/// Calls of one actor from one driver thread, 1,000 outstanding, each then got.
pub fn throughput(reps: usize) -> Result<Metric> {
    const CALLS: usize = 1_000_000;
    let values = rates(reps, CALLS, || {
        let (counter, mut window) = (Counter::remote(), VecDeque::with_capacity(1000));
        let mut last = 0;
        for _ in 0..CALLS {
            if window.len() == 1000 {
                last = window.pop_front().map_or(0, |object| value(&object));
            }
            window.push_back(counter.add(1));
        }
        last = window.iter().map(value).fold(last, |_, sum| sum);
        assert_eq!(last, CALLS as i64);
    });
    Ok(Metric::of("actor_throughput", "calls/s", values).with("outstanding", 1000))
}

/// One call at a time, sent and got.
pub fn latency(_: usize) -> Result<Metric> {
    let counter = Counter::remote();
    let times = times(100_000, || assert!(value(&counter.add(1)) > 0));
    Ok(Metric::latency("actor_latency", &times))
}

/// Actors made, each with one call that was answered, then dropped.
pub fn create(reps: usize) -> Result<Metric> {
    const ACTORS: usize = 20_000;
    let values = rates(reps, ACTORS, || {
        let counters: Vec<_> = (0..ACTORS).map(|_| Counter::remote()).collect();
        let calls: Vec<_> = counters.iter().map(|counter| counter.add(1)).collect();
        assert!(calls.iter().all(|call| value(call) == 1));
    });
    Ok(Metric::of("actor_create", "actors/s", values).with("actors", ACTORS))
}

/// One synchronous step over 8 actors, the loop of a simulator; beside it over 2 and 4.
pub fn step(_: usize) -> Result<Metric> {
    let step = |actors: usize| {
        let counters: Vec<_> = (0..actors).map(|_| Counter::remote()).collect();
        let times = times(20_000, || {
            let calls: Vec<_> = counters.iter().map(|counter| counter.add(1)).collect();
            calls.iter().for_each(|call| assert!(value(call) > 0));
        });
        Metric::latency("step_8_actors", &times)
    };
    let (two, four) = (step(2).value, step(4).value);
    Ok(step(8).with("actors_2_us", two).with("actors_4_us", four))
}
