//! A process of its own: how soon it has its first result, and what it holds when idle.

use crate::metric::Metric;
use anyhow::{Context, Result, ensure};
use rayline::prelude::*;
use std::fs;
use std::io::{BufRead, BufReader, Write, stdout};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The hidden argument that makes the program be that process.
pub const PROBE: &str = "probe-process";
/// How long the process rests after its first result.
const REST: Duration = Duration::from_millis(300);

#[task]
fn noop(x: i64) -> i64 {
    x + 1
}

/// The body of the process. Prints the milliseconds from `init` to the first result, rests, then prints the kilobytes
/// that it holds and the nanoseconds of CPU that the second half of the rest took.
pub fn probe() -> Result<()> {
    let begin = Instant::now();
    let _runtime = rayline::init()?;
    noop::remote(1).get()?;
    println!("{}", begin.elapsed().as_secs_f64() * 1e3);
    stdout().flush()?;
    std::thread::sleep(REST / 2);
    let before = cpu_nanos()?;
    std::thread::sleep(REST / 2);
    println!("{}\n{}", resident_kilobytes()?, cpu_nanos()? - before);
    Ok(())
}

fn resident_kilobytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("needs /proc")?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/self/status")?;
    Ok(rss.trim().trim_end_matches("kB").trim().parse()?)
}

/// The time on a CPU of all threads that live.
fn cpu_nanos() -> Result<u64> {
    let mut nanos = 0;
    for thread in fs::read_dir("/proc/self/task").context("needs /proc")? {
        let stat = fs::read_to_string(thread?.path().join("schedstat")).context("needs schedstat")?;
        nanos += stat.split(' ').next().context("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(nanos)
}

/// What one process told, and when.
struct Probed {
    startup_ms: f64,
    /// From before it was started until its first result was heard of.
    process_ms: f64,
    rss_mb: f64,
    idle_cores: f64,
}

impl Probed {
    fn once() -> Result<Self> {
        let program = std::env::current_exe()?;
        let begin = Instant::now();
        let mut child =
            Command::new(program).arg(PROBE).stdout(Stdio::piped()).spawn().context("can't start the probe")?;
        let mut lines = BufReader::new(child.stdout.take().context("the output is a pipe")?).lines();
        let mut number = || -> Result<f64> { Ok(lines.next().context("the probe ended early")??.parse()?) };
        let startup_ms = number()?;
        let process_ms = begin.elapsed().as_secs_f64() * 1e3;
        let (kilobytes, nanos) = (number()?, number()?);
        ensure!(child.wait()?.success(), "the probe failed");
        let idle_cores = nanos / (REST / 2).as_nanos() as f64;
        Ok(Self { startup_ms, process_ms, rss_mb: kilobytes * 1024.0 / 1e6, idle_cores })
    }
}

/// Starts a process `reps` times, after one to warm the page cache.
fn probe_often(reps: usize) -> Result<Vec<Probed>> {
    Probed::once()?;
    (0..reps).map(|_| Probed::once()).collect()
}

/// From `init` to the first result, in a new process; beside it from the start of the process.
pub fn startup(reps: usize) -> Result<Metric> {
    let probed = probe_often(reps)?;
    let process = Metric::of("", "ms", probed.iter().map(|probed| probed.process_ms).collect());
    let values = probed.iter().map(|probed| probed.startup_ms).collect();
    Ok(Metric::of("startup", "ms", values).with("process_ms", process.value))
}

/// Resident memory of an idle process with a runtime; beside it the cores that it keeps busy.
pub fn idle_rss(reps: usize) -> Result<Metric> {
    let probed = probe_often(reps)?;
    let cores = Metric::of("", "cores", probed.iter().map(|probed| probed.idle_cores).collect());
    let values = probed.iter().map(|probed| probed.rss_mb).collect();
    Ok(Metric::of("idle_rss", "MB", values).with("idle_cores", cores.value))
}
