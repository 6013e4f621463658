//! A process of its own: how soon it has its first result, and what it holds when idle.

use crate::metric::Metric;
use anyhow::{Context, Result};
use rayline::prelude::*;
use std::process::Command;
use std::time::{Duration, Instant};

/// The hidden argument that makes the program be that process.
pub const PROBE: &str = "probe-process";

#[task]
fn noop(x: i64) -> i64 {
    x + 1
}

/// The body of the process: prints milliseconds to the first result, and kilobytes held after a rest.
pub fn probe() -> Result<()> {
    let begin = Instant::now();
    let _runtime = rayline::init()?;
    noop::remote(1).get()?;
    let startup_ms = begin.elapsed().as_secs_f64() * 1e3;
    std::thread::sleep(Duration::from_millis(200));
    let status = std::fs::read_to_string("/proc/self/status").context("needs /proc")?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/self/status")?;
    let kilobytes = rss.trim().trim_end_matches("kB").trim();
    println!("{startup_ms} {kilobytes}");
    Ok(())
}

fn measure(reps: usize) -> Result<Vec<(f64, f64)>> {
    let program = std::env::current_exe()?;
    let run = |_| {
        let output = Command::new(&program).arg(PROBE).output().context("can't start the probe")?;
        let text = String::from_utf8(output.stdout)?;
        let (startup, rss) = text.trim().split_once(' ').context("the probe printed something else")?;
        Ok((startup.parse()?, rss.parse::<f64>()? * 1024.0 / 1e6))
    };
    (0..reps).map(run).collect()
}

/// From `init` to the first result, in a new process.
pub fn startup(reps: usize) -> Result<Metric> {
    let values = measure(reps)?.into_iter().map(|(startup, _)| startup).collect();
    Ok(Metric::of("startup", "ms", values))
}

/// Resident memory of an idle process with a runtime.
pub fn idle_rss(reps: usize) -> Result<Metric> {
    let values = measure(reps)?.into_iter().map(|(_, rss)| rss).collect();
    Ok(Metric::of("idle_rss", "MB", values))
}
