//! The smallest task that still pays: METG(50 %), the mean duration of a task at which half of the machine does work.
//!
//! Source: Slaughter et al., "Task Bench: A Parameterized Benchmark for Evaluating Parallel Runtime Performance", SC'20.

use crate::metric::Metric;
use anyhow::{Context, Result};
use rayline::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// Tasks beside each other in a step.
const WIDTH: usize = 64;
/// Steps.
const STEPS: usize = 200;

/// Busy for `rounds` rounds.
fn work(rounds: u64) -> u64 {
    (0..rounds).fold(1u64, |x, i| black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i)))
}

#[task]
fn alone(rounds: u64) -> u64 {
    work(rounds)
}

#[task]
fn after_1(rounds: u64, a: &u64) -> u64 {
    work(rounds) ^ a
}

#[task]
fn after_3(rounds: u64, a: &u64, b: &u64, c: &u64) -> u64 {
    work(rounds) ^ a ^ b ^ c
}

#[task]
fn after_5(rounds: u64, a: &u64, b: &u64, c: &u64, d: &u64, e: &u64) -> u64 {
    work(rounds) ^ a ^ b ^ c ^ d ^ e
}

/// A stencil of `WIDTH` by `STEPS` tasks, each after `dependencies` neighbours of the step before; seconds.
fn run(dependencies: usize, rounds: u64) -> f64 {
    let begin = Instant::now();
    let mut row: Vec<ObjectRef<u64>> = (0..WIDTH).map(|_| alone::remote(rounds)).collect();
    let mut unawaited = Vec::new();
    for _ in 1..STEPS {
        let at = |i: usize, offset: usize| &row[(i + WIDTH + offset - dependencies / 2) % WIDTH];
        let next = |i: usize| match dependencies {
            0 => alone::remote(rounds),
            1 => after_1::remote(rounds, at(i, 0)),
            3 => after_3::remote(rounds, at(i, 0), at(i, 1), at(i, 2)),
            _ => after_5::remote(rounds, at(i, 0), at(i, 1), at(i, 2), at(i, 3), at(i, 4)),
        };
        let above = (0..WIDTH).map(next).collect();
        let below = std::mem::replace(&mut row, above);
        if dependencies == 0 {
            // Nothing else makes sure that these have run.
            unawaited.extend(below);
        }
    }
    unawaited.iter().chain(&row).for_each(|object| object.wait());
    begin.elapsed().as_secs_f64()
}

/// Seconds of one round of work, on all cores at once: what the machine does at its best.
fn round_seconds(cores: usize) -> f64 {
    const ROUNDS: u64 = 2_000_000;
    let begin = Instant::now();
    std::thread::scope(|scope| {
        (0..cores).for_each(|_| drop(scope.spawn(|| black_box(work(ROUNDS)))));
    });
    begin.elapsed().as_secs_f64() / ROUNDS as f64
}

/// Efficiency and mean duration of a task in seconds (cores x time / tasks, as Task Bench reckons), each the median of
/// `REPS` runs. Each run is compared with plain loops right beside it, as the machine's speed may change.
fn efficiency(dependencies: usize, cores: usize, rounds: u64) -> (f64, f64) {
    const REPS: usize = 3;
    let once = |_| {
        let round = round_seconds(cores);
        let duration = run(dependencies, rounds) * cores as f64 / (WIDTH * STEPS) as f64;
        (rounds as f64 * round / duration, duration)
    };
    let mut runs: Vec<(f64, f64)> = (0..REPS).map(once).collect();
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    runs[REPS / 2]
}

/// The smallest mean duration of a task, in microseconds, at which half of the cores' time is work.
fn metg(dependencies: usize, cores: usize) -> Result<f64> {
    let (mut low, mut high, mut least) = (1u64, 1u64 << 16, None);
    while high - low > low / 16 + 1 {
        let middle = ((low as f64 * high as f64).sqrt() as u64).clamp(low + 1, high - 1);
        let (efficiency, duration) = efficiency(dependencies, cores, middle);
        if efficiency >= 0.5 {
            (high, least) = (middle, Some(duration));
        } else {
            low = middle;
        }
    }
    Ok(least.context("no task was long enough")? * 1e6)
}

/// METG(50 %) without dependencies; with 1, 3 and 5 beside it.
pub fn metg_50(reps: usize) -> Result<Metric> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let search = |dependencies: usize| -> Result<Metric> {
        let found = (0..reps).map(|_| metg(dependencies, cores)).collect::<Result<_>>()?;
        Ok(Metric::of("metg_50", "us", found))
    };
    let mut metric = search(0)?.with("dependencies", 0).with("cores", cores).with("width", WIDTH).with("steps", STEPS);
    for dependencies in [1, 3, 5] {
        metric = metric.with(&format!("dependencies_{dependencies}_us"), search(dependencies)?.value);
    }
    Ok(metric)
}
