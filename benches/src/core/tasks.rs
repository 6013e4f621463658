//! Tasks: throughput, latency, dependencies, waits, streams.

use crate::metric::{Metric, rates, seconds, times};
use anyhow::Result;
use rayline::prelude::*;
use std::collections::VecDeque;
use std::hint::black_box;

const MILLION: usize = 1_000_000;

#[task]
fn noop(x: i64) -> i64 {
    black_box(x) + 1
}

#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = (fib::remote(n - 1), fib::remote(n - 2));
    value(&b) + value(&a)
}

#[task]
fn count(n: u64) -> impl Iterator<Item = u64> + Send {
    0..n
}

fn value<T: Data>(object: &ObjectRef<T>) -> T {
    object.get().expect("a task that can't fail")
}

/// No-op tasks from one driver thread, 1,000 outstanding, each then got.
pub fn throughput(reps: usize) -> Result<Metric> {
    let values = rates(reps, MILLION, || {
        let (mut window, mut sum) = (VecDeque::with_capacity(1000), 0);
        for i in 0..MILLION as i64 {
            if window.len() == 1000 {
                sum += window.pop_front().map_or(0, |object| value(&object));
            }
            window.push_back(noop::remote(i));
        }
        sum += window.iter().map(value).sum::<i64>();
        assert_eq!(sum, (MILLION * (MILLION + 1) / 2) as i64);
    });
    Ok(Metric::of("task_throughput", "tasks/s", values).with("outstanding", 1000))
}

#[task(cpu = 0.5)]
fn leased(x: i64) -> i64 {
    black_box(x) + 1
}

/// As `throughput`, with tasks that ask for half a CPU: each goes through the owner's and the node's machines.
pub fn leased_throughput(reps: usize) -> Result<Metric> {
    const TASKS: usize = 50_000;
    let values = rates(reps, TASKS, || {
        let (mut window, mut sum) = (VecDeque::with_capacity(1000), 0);
        for i in 0..TASKS as i64 {
            if window.len() == 1000 {
                sum += window.pop_front().map_or(0, |object| value(&object));
            }
            window.push_back(leased::remote(i));
        }
        sum += window.iter().map(value).sum::<i64>();
        assert_eq!(sum, (TASKS * (TASKS + 1) / 2) as i64);
    });
    Ok(Metric::of("task_leased", "tasks/s", values).with("outstanding", 1000).with("cpu", "0.5"))
}

/// One task at a time, submitted and got.
pub fn latency(_: usize) -> Result<Metric> {
    let times = times(100_000, || assert_eq!(value(&noop::remote(1)), 2));
    Ok(Metric::latency("task_latency", &times))
}

/// A chain of 100,000 tasks, each with the one before as argument.
pub fn chain_hop(reps: usize) -> Result<Metric> {
    const HOPS: usize = 100_000;
    let values = seconds(reps, || {
        let mut last = noop::remote(0);
        for _ in 1..HOPS {
            last = noop::remote(last);
        }
        assert_eq!(value(&last), HOPS as i64);
    });
    let values = values.into_iter().map(|seconds| seconds * 1e6 / HOPS as f64).collect();
    Ok(Metric::of("chain_hop", "us", values).with("hops", HOPS))
}

/// A million leaves, added up in pairs.
pub fn tree_reduce(reps: usize) -> Result<Metric> {
    let values = seconds(reps, || {
        let mut level: Vec<_> = (0..MILLION as i64).map(noop::remote).collect();
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len().div_ceil(2));
            let mut pairs = level.into_iter();
            while let Some(a) = pairs.next() {
                above.push(match pairs.next() {
                    Some(b) => add::remote(a, b),
                    None => a,
                });
            }
            level = above;
        }
        assert_eq!(value(&level[0]), (MILLION * (MILLION + 1) / 2) as i64);
    });
    let values = values.into_iter().map(|seconds| seconds * 1e3).collect();
    Ok(Metric::of("tree_reduce", "ms", values).with("leaves", MILLION))
}

/// 10,000 references taken one by one as they get ready; beside it the same by `wait(refs, 1)` in a loop.
pub fn wait_drain(reps: usize) -> Result<Metric> {
    const REFS: i64 = 10_000;
    let submit = || (0..REFS).map(noop::remote).collect::<Vec<_>>();
    let drained = seconds(reps, || {
        let sum: i64 = as_completed(submit()).map(|object| value(&object)).sum();
        assert_eq!(sum, REFS * (REFS + 1) / 2);
    });
    let by_wait = seconds(reps, || {
        let (mut late, mut sum) = (submit(), 0);
        while !late.is_empty() {
            let (ready, rest) = wait(late, 1, None);
            sum += ready.iter().map(value).sum::<i64>();
            late = rest;
        }
        assert_eq!(sum, REFS * (REFS + 1) / 2);
    });
    let ms = |seconds: Vec<f64>| seconds.into_iter().map(|seconds| seconds * 1e3).collect();
    let by_wait = Metric::of("", "ms", ms(by_wait)).value;
    Ok(Metric::of("wait_drain", "ms", ms(drained)).with("refs", REFS).with("by_wait_ms", by_wait))
}

/// fib(25) by tasks that block on tasks.
pub fn fib_tasks(reps: usize) -> Result<Metric> {
    // Calls of the naive recursion: 2 fib(n + 1) - 1.
    const TASKS: usize = 2 * 121_393 - 1;
    let values = rates(reps, TASKS, || assert_eq!(value(&fib::remote(25)), 75_025));
    Ok(Metric::of("fib", "tasks/s", values).with("n", 25))
}

/// Items of one stream, each a reference that is got.
pub fn stream_items(reps: usize) -> Result<Metric> {
    const ITEMS: usize = 300_000;
    let values = rates(reps, ITEMS, || {
        let sum: u64 = count::remote(ITEMS as u64).map(|item| value(&item)).sum();
        assert_eq!(sum, (ITEMS * (ITEMS - 1) / 2) as u64);
    });
    Ok(Metric::of("stream_items", "items/s", values))
}
