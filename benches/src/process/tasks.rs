//! Tasks between processes: throughput, latency while work flows, and out of sleep.

use crate::metric::{Metric, rates, times};
use anyhow::Result;
use rayline::prelude::*;
use rayline::{Config, Runtime};
use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

#[task]
fn noop(x: i64) -> i64 {
    black_box(x) + 1
}

#[task(isolated)]
fn isolated(x: i64) -> i64 {
    black_box(x) + 1
}

fn value(object: &ObjectRef<i64>) -> i64 {
    object.get().expect("a task that can't fail")
}

/// A driver with one worker process, which has answered once.
pub(super) fn one_worker() -> Result<Runtime> {
    let runtime = rayline::init_with(Config::default().processes(1))?;
    noop::remote(1).get()?;
    Ok(runtime)
}

/// No-op tasks from one driver thread to one worker process, 1,000 outstanding, each then got.
pub fn throughput(reps: usize) -> Result<Metric> {
    const TASKS: usize = 200_000;
    let _runtime = one_worker()?;
    let values = rates(reps, TASKS, || {
        let (mut window, mut sum) = (VecDeque::with_capacity(1000), 0);
        for i in 0..TASKS as i64 {
            if window.len() == 1000 {
                sum += window.pop_front().map_or(0, |object| value(&object));
            }
            window.push_back(noop::remote(i));
        }
        sum += window.iter().map(value).sum::<i64>();
        assert_eq!(sum, (TASKS * (TASKS + 1) / 2) as i64);
    });
    Ok(Metric::of("task_throughput", "tasks/s", values).with("outstanding", 1000).with("processes", 1))
}

/// One task at a time, submitted and got.
pub fn latency(_: usize) -> Result<Metric> {
    let _runtime = one_worker()?;
    let times = times(20_000, || assert_eq!(value(&noop::remote(1)), 2));
    Ok(Metric::latency("task_latency", &times).with("processes", 1))
}

/// One task after 5 ms in which driver and worker sleep.
pub fn wake(_: usize) -> Result<Metric> {
    let _runtime = one_worker()?;
    let timed = (0..200).map(|_| {
        std::thread::sleep(Duration::from_millis(5));
        let begin = Instant::now();
        assert_eq!(value(&noop::remote(1)), 2);
        begin.elapsed()
    });
    Ok(Metric::latency("task_wake", &timed.collect::<Vec<_>>()).with("processes", 1))
}

/// One isolated task at a time: its lease, its process (used again), its value.
pub fn isolated_latency(_: usize) -> Result<Metric> {
    let _runtime = rayline::init()?;
    let times = times(2_000, || assert_eq!(value(&isolated::remote(1)), 2));
    Ok(Metric::latency("isolated_latency", &times))
}
