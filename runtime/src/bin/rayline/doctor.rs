//! `rayline doctor`: what Rayline needs of this machine, and what it can use of it.

use crate::failure::Failure;
use clap::Args;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use std::fs::read_to_string;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

/// Looks at what Rayline needs of this machine. It fails where something is missing that it can't do without.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// What was looked at.
#[derive(Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// It isn't there, and need not be.
    Absent,
    /// It works, and may cause trouble.
    Poor,
    Bad,
}

/// Fewer descriptors may run out: each peer takes some.
const DESCRIPTORS_WANTED: u64 = 4096;

impl Doctor {
    pub fn run(&self) -> Result<(), Failure> {
        let findings = [
            shared_memory(),
            locked_memory(),
            control_group(),
            library("gpu", "libcuda.so.1", "the NVIDIA driver"),
            library("rdma", "libibverbs.so.1", "RDMA's user library"),
            ports(),
            descriptors(),
            clock(),
        ];
        if self.json {
            crate::write_json(&findings)?;
        } else {
            let lines =
                findings.iter().map(|found| format!("{:<15}{:<8}{}\n", found.what, found.state.word(), found.text));
            crate::write(lines.collect::<String>().as_bytes())?;
        }
        let bad: Vec<&str> =
            findings.iter().filter(|found| found.state == State::Bad).map(|found| found.what).collect();
        if bad.is_empty() { Ok(()) } else { Err(Failure::said(format!("Rayline can't run here: {}", bad.join(", ")))) }
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Absent => "absent",
            State::Poor => "poor",
            State::Bad => "bad",
        }
    }
}

fn found(what: &'static str, state: State, text: impl Into<String>) -> Finding {
    Finding { what, state, text: text.into() }
}

fn shared_memory() -> Finding {
    let made = memfd_create("rayline-doctor", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    match made.and_then(|file| ftruncate(&file, 1 << 20)) {
        Ok(()) => found("shared memory", State::Good, "memfd works, with seals"),
        Err(errno) => {
            found("shared memory", State::Bad, format!("memfd_create fails: {errno}; a seccomp filter may forbid it"))
        }
    }
}

fn locked_memory() -> Finding {
    match getrlimit(Resource::Memlock).current {
        None => found("locked memory", State::Good, "unlimited"),
        Some(bytes) => {
            let text = format!("at most {} KiB: enough without RDMA, which wants `ulimit -l unlimited`", bytes >> 10);
            found("locked memory", State::Good, text)
        }
    }
}

fn control_group() -> Finding {
    let read = |name: &str| read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let shown = |name| read(name).map(|text| text.trim().to_owned());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let text = match (shown("memory.max"), shown("cpu.max")) {
        (None, None) => format!("no limits found; {cpus} CPUs may be used"),
        (memory, cpu) => format!(
            "memory.max {}, cpu.max {}; {cpus} CPUs may be used",
            memory.as_deref().unwrap_or("unknown"),
            cpu.as_deref().unwrap_or("unknown")
        ),
    };
    found("control group", State::Good, text)
}

/// Loads a library in a process of its own: its initialisers may do anything.
fn library(what: &'static str, name: &str, meaning: &str) -> Finding {
    let this = std::env::current_exe().and_then(|path| {
        let mut command = Command::new(path);
        command.arg("--version").env("LD_PRELOAD", name).env_remove("LD_DEBUG").stdin(Stdio::null()).output()
    });
    match this {
        Err(error) => found(what, State::Poor, format!("can't try {name}: {error}")),
        Ok(output) if !output.status.success() => found(
            what,
            State::Poor,
            format!("{name} is there, and a process that loads it ends with {}", output.status),
        ),
        // The dynamic linker says so, and goes on without it.
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains(name) => {
            found(what, State::Absent, format!("{name} does not load: {meaning} is not installed"))
        }
        Ok(_) => found(what, State::Good, format!("{name} loads")),
    }
}

fn ports() -> Finding {
    let range = read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let range = range.split_whitespace().collect::<Vec<_>>().join(" to ");
    match (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:7741")) {
        (Err(error), _) => found("ports", State::Bad, format!("can't listen on loopback: {error}")),
        (Ok(_), Ok(_)) => found("ports", State::Good, format!("7741 is free for a head; others from {range}")),
        (Ok(_), Err(_)) => {
            found("ports", State::Good, format!("7741 is taken, perhaps by a head here; others from {range}"))
        }
    }
}

fn descriptors() -> Finding {
    let limit = getrlimit(Resource::Nofile).current;
    match limit {
        Some(limit) if limit < DESCRIPTORS_WANTED => found(
            "descriptors",
            State::Poor,
            format!("{limit}: raise it with `ulimit -n {DESCRIPTORS_WANTED}` or more"),
        ),
        Some(limit) => found("descriptors", State::Good, format!("{limit}")),
        None => found("descriptors", State::Good, "unlimited"),
    }
}

/// How finely the monotonic clock counts, and whether the date is set: certificates and logs need it.
fn clock() -> Finding {
    let begin = Instant::now();
    let mut step = begin.elapsed();
    while step.is_zero() {
        step = begin.elapsed();
    }
    let source = read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let source = source.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
    let is_set =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|age| age.as_secs() > 1_700_000_000);
    let (state, date) =
        if is_set { (State::Good, "the date is set") } else { (State::Poor, "the date is wrong: run NTP") };
    found("clock", state, format!("source {source}, steps of {step:?} or less; {date}"))
}
