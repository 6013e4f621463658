//! Runs benchmark suites: `cargo run --release -p rayline-benches --bin bench -- core`.

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use rayline_benches::core::BENCHES as CORE;
use rayline_benches::rl::BENCHES as RL;
use rayline_benches::transport::BENCHES as TRANSPORT;
use rayline_benches::{Bench, all, compare, probe};
use std::path::PathBuf;

/// Measures Rayline, and prints one line of JSON a metric.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Repetitions of each metric that is measured by repetition
    #[arg(long, global = true, default_value_t = 9)]
    reps: usize,
}

#[derive(Subcommand)]
enum Command {
    /// The embedded engine
    Core {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// Simulators and training
    Rl {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// Objects between peers
    Transport {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// The names of all metrics
    List,
    /// Ratios of two files of metrics
    Compare {
        /// The base
        first: PathBuf,
        /// What is compared with it
        second: PathBuf,
    },
    #[command(hide = true, name = "probe-process")]
    Probe,
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.command {
        Command::Core { metrics } => run(CORE, &metrics, args.reps),
        Command::Rl { metrics } => run(RL, &metrics, args.reps),
        Command::Transport { metrics } => run(TRANSPORT, &metrics, args.reps),
        Command::List => {
            all().iter().for_each(|bench| println!("{}.{}", bench.suite, bench.name));
            Ok(())
        }
        Command::Compare { first, second } => {
            print!("{}", compare::table(&compare::read(&first)?, &compare::read(&second)?));
            Ok(())
        }
        Command::Probe => probe(),
    }
}

fn run(suite: &[Bench], metrics: &[String], reps: usize) -> Result<()> {
    let known: Vec<&str> = suite.iter().map(|bench| bench.name).collect();
    for metric in metrics {
        ensure!(known.contains(&metric.as_str()), "no metric is called {metric}; there are {}", known.join(", "));
    }
    for bench in suite.iter().filter(|bench| metrics.is_empty() || metrics.iter().any(|name| name == bench.name)) {
        let mut metric = (bench.run)(reps.max(1))?;
        bench.suite.clone_into(&mut metric.suite);
        println!("{}", serde_json::to_string(&metric)?);
    }
    Ok(())
}
