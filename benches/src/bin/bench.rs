//! Runs benchmark suites: `cargo run --release -p rayline-benches --bin bench -- core`.

use anyhow::{Result, anyhow, ensure};
use clap::{Parser, Subcommand};
use rayline_benches::cluster::{self, BENCHES as CLUSTER, FAULTS};
use rayline_benches::core::BENCHES as CORE;
use rayline_benches::learning::{self, GOALS, Goal};
use rayline_benches::process::BENCHES as PROCESS;
use rayline_benches::rl::BENCHES as RL;
use rayline_benches::sim::BENCHES as SIM;
use rayline_benches::store::BENCHES as STORE;
use rayline_benches::transport::BENCHES as TRANSPORT;
use rayline_benches::{Bench, all, compare, probe, store};
use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures Rayline, and prints one line of JSON a metric.
#[derive(Parser)]
#[command(name = "bench", version, after_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Repetitions of each metric that is measured by repetition
    #[arg(long, global = true, value_name = "N", default_value_t = 9, value_parser = at_least_one)]
    reps: usize,
}

const EXAMPLES: &str = "Examples:
  bench core > before.jsonl                    the whole suite
  bench core task_throughput --reps 21         one metric, more often
  bench learn > runs.jsonl                     train, against published returns
  bench compare before.jsonl after.jsonl       what changed";

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "needs a number of at least 1".to_owned())
}

#[derive(Subcommand)]
enum Command {
    /// The embedded engine
    Core {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// A driver and worker processes on one machine
    Process {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// A driver and nodes on one machine, over loopback
    Cluster {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// What deaths of workers and nodes cost
    Faults {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// Simulators and training
    Rl {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// The simulator of whole clusters
    Sim {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// The shared-memory object store
    Store {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// Objects between peers
    Transport {
        /// Metrics to measure; all where none is named
        metrics: Vec<String>,
    },
    /// Whether training reaches what others have published: one line of JSON a run
    Learn {
        /// Environments; all goals where none is named
        envs: Vec<String>,
        /// Seeds of each goal: 1 and on
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
        seeds: usize,
    },
    /// Judge lines of `bench learn`, and draw their curves
    Curves {
        /// The lines
        runs: PathBuf,
        /// Folder for the pictures
        folder: PathBuf,
    },
    /// The names of all metrics
    List,
    /// How much better one file of metrics is than another
    Compare {
        /// The base
        first: PathBuf,
        /// What is compared with it
        second: PathBuf,
    },
    #[command(hide = true, name = "probe-process")]
    Probe,
    #[command(hide = true, name = "probe-store")]
    ProbeStore { socket: PathBuf },
    #[command(hide = true, name = "probe-daemon")]
    ProbeDaemon { folder: PathBuf, cpus: u32, head: Option<SocketAddr>, secret: Option<PathBuf> },
}

fn main() -> ExitCode {
    match obey(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(args: Args) -> Result<()> {
    match args.command {
        Command::Core { metrics } => run(CORE, &metrics, args.reps),
        Command::Process { metrics } => run(PROCESS, &metrics, args.reps),
        Command::Cluster { metrics } => run(CLUSTER, &metrics, args.reps),
        Command::Faults { metrics } => run(FAULTS, &metrics, args.reps),
        Command::Rl { metrics } => run(RL, &metrics, args.reps),
        Command::Sim { metrics } => run(SIM, &metrics, args.reps),
        Command::Store { metrics } => run(STORE, &metrics, args.reps),
        Command::Transport { metrics } => run(TRANSPORT, &metrics, args.reps),
        Command::Learn { envs, seeds } => learn(&envs, seeds),
        Command::Curves { runs, folder } => curves(&runs, &folder),
        Command::List => {
            all().iter().for_each(|bench| println!("{}.{}", bench.suite, bench.name));
            Ok(())
        }
        Command::Compare { first, second } => {
            print!("{}", compare::table(&compare::read(&first)?, &compare::read(&second)?));
            Ok(())
        }
        Command::Probe => probe(),
        Command::ProbeStore { socket } => store::probe(&socket),
        Command::ProbeDaemon { folder, cpus, head, secret } => cluster::daemon(&folder, cpus, head.zip(secret)),
    }
}

fn learn(envs: &[String], seeds: usize) -> Result<()> {
    let known: Vec<&str> = GOALS.iter().map(|goal| goal.env).collect();
    for env in envs {
        ensure!(known.contains(&env.as_str()), "there is no goal for {env}; there are some for {}", known.join(", "));
    }
    let wanted = |goal: &&Goal| envs.is_empty() || envs.iter().any(|env| env == goal.env);
    let mut runs = Vec::new();
    for goal in GOALS.iter().filter(wanted) {
        for seed in 1..=seeds as u64 {
            let run = learning::run(goal, seed)?;
            println!("{}", serde_json::to_string(&run)?);
            runs.push(run);
        }
    }
    eprint!("{}", learning::table(&learning::judge(&runs)));
    Ok(())
}

fn curves(runs: &Path, folder: &Path) -> Result<()> {
    let runs = learning::read(runs)?;
    std::fs::create_dir_all(folder)?;
    for goal in GOALS {
        let name = format!("{}-{}-{}k.svg", goal.env, goal.algorithm(), goal.steps / 1_000);
        if let Some(picture) = learning::svg(goal, &runs) {
            std::fs::write(folder.join(&name), picture)?;
        }
    }
    print!("{}", learning::table(&learning::judge(&runs)));
    Ok(())
}

fn run(suite: &[Bench], metrics: &[String], reps: usize) -> Result<()> {
    let known: Vec<&str> = suite.iter().map(|bench| bench.name).collect();
    for metric in metrics {
        ensure!(known.contains(&metric.as_str()), "no metric is called {metric}; there are {}", known.join(", "));
    }
    let wanted = |bench: &&Bench| metrics.is_empty() || metrics.iter().any(|name| name == bench.name);
    let mut failed = Vec::new();
    for bench in suite.iter().filter(wanted) {
        if let Err(error) = measure(bench, reps) {
            eprintln!("{}.{}: {error:#}", bench.suite, bench.name);
            failed.push(bench.name);
        }
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

fn measure(bench: &Bench, reps: usize) -> Result<()> {
    let load = load();
    let measured = catch_unwind(|| (bench.run)(reps)).unwrap_or_else(|_| Err(anyhow!("it panicked")));
    let mut metric = measured?;
    bench.suite.clone_into(&mut metric.suite);
    if let Some(load) = load {
        metric = metric.with("load_before", load);
    }
    println!("{}", serde_json::to_string(&metric)?);
    Ok(())
}

/// How many processes ran or waited in the last minute, as the system tells: a figure of a busy machine says so.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}
