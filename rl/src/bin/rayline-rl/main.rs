//! The command `rayline-rl`: trains policies, plays and exports them, and searches over settings.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or settings.

mod evaluate;
mod export;
mod folder;
mod output;
mod run;
mod run_es;
mod run_ppo;
mod search;
mod settings;
mod train;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rayline_rl::settings::SettingsError;
use rayline_rl::with_causes;
use tracing::Level;

/// Trains policies, plays and exports them: in this process, or on the cluster that RAYLINE_ADDRESS names.
#[derive(Debug, Parser)]
#[command(name = "rayline-rl", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a policy, and keep its record, its checkpoints and the best of it in a folder.
    Train(Box<train::Train>),
    /// Play a trained policy without exploration.
    Evaluate(evaluate::Evaluate),
    /// Search over PPO's settings: at random, or by population-based training.
    Search(Box<search::Search>),
    /// Write a trained policy for other tools: plain safetensors, and its architecture as JSON.
    Export(export::Export),
}

/// What a command says at its end, or what went wrong.
type Done = Result<(), Box<dyn Error>>;

#[rayline::main]
fn main() -> ExitCode {
    tracing_subscriber::fmt().with_max_level(Level::WARN).with_writer(io::stderr).with_target(false).init();
    let done = match Arguments::parse().command {
        Command::Train(train) => train.run(),
        Command::Evaluate(evaluate) => evaluate.run(),
        Command::Search(search) => search.run(),
        Command::Export(export) => export.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(error.as_ref()));
            ExitCode::from(if error.is::<SettingsError>() { 2 } else { 1 })
        }
    }
}

/// A whole number of at least 1, for arguments.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number, at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_make_sense() {
        Arguments::command().debug_assert();
    }
}
