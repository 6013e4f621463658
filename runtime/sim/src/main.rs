//! `cargo sim`: plays seeds, and says how to play a broken one again.

use std::fmt::Arguments;
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use rayline_sim::{Options, Plan, run_caught};

/// Simulates whole clusters: the machines that decide, under a seeded clock, network and faults.
#[derive(Parser)]
#[command(name = "cargo sim", version)]
struct Args {
    /// Plays one seed
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Plays a range of seeds: 0..1000
    #[arg(long, value_parser = range, default_value = "0..1000")]
    seeds: Range<u64>,
    /// Stops after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// So many machines, instead of as many as the seed says
    #[arg(long)]
    nodes: Option<usize>,
    /// Plays each seed twice, and compares
    #[arg(long)]
    twice: bool,
    /// Prints all that happens
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Goes on after a broken seed
    #[arg(long)]
    keep_going: bool,
}

fn range(text: &str) -> Result<Range<u64>> {
    let (from, to) = text.split_once("..").context("a range is written 0..1000")?;
    Ok(from.parse()?..to.parse()?)
}

fn print(line: Arguments<'_>) {
    println!("{line}");
}

fn main() -> ExitCode {
    let args = Args::parse();
    let seeds = args.seed.map_or(args.seeds.clone(), |seed| seed..seed + 1);
    let options =
        Options { nodes: args.nodes, mutation: None, trace: args.trace.then_some(print as fn(Arguments<'_>)) };
    if args.trace {
        println!("{:#?}", Plan::of_seed(seeds.start, args.nodes));
    }
    let begin = Instant::now();
    let (mut played, mut broken, mut events, mut simulated) = (0u64, 0u64, 0u64, Duration::ZERO);
    for seed in seeds {
        if args.seconds.is_some_and(|seconds| begin.elapsed().as_secs() >= seconds) {
            break;
        }
        played += 1;
        match play(seed, options, args.twice) {
            Ok((more, time)) => {
                events += more;
                simulated += time;
            }
            Err(message) => {
                broken += 1;
                let nodes = args.nodes.map_or(String::new(), |nodes| format!(" --nodes {nodes}"));
                println!("{message}\nto reproduce: cargo sim --seed {seed}{nodes} --trace");
                if !args.keep_going {
                    break;
                }
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{played} seeds, {broken} broken, {events} events, {:.0} simulated seconds in {seconds:.1} s ({:.1} seeds/s)",
        simulated.as_secs_f64(),
        played as f64 / seconds
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays one seed, twice where asked; events and simulated time.
fn play(seed: u64, options: Options, twice: bool) -> Result<(u64, Duration), String> {
    let first = run_caught(seed, options).map_err(|broken| broken.to_string())?;
    if twice {
        let second = run_caught(seed, options).map_err(|broken| broken.to_string())?;
        if first != second {
            return Err(format!("seed {seed}: two runs differ: {first:?} and {second:?}"));
        }
    }
    Ok((first.events, first.simulated))
}
