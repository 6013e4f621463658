//! The command `rayline`: starts and ends the daemons of a cluster, and shows how it stands.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no cluster to talk to.

mod connect;
mod doctor;
mod failure;
mod jobs;
mod kv;
mod show;
mod start;
mod stop;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Starts, shows and ends Rayline clusters.
#[derive(Debug, Parser)]
#[command(name = "rayline", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the daemon of this machine: with --head a new cluster, with --address in one that runs.
    Start(Box<start::Start>),
    /// End the daemon of this folder; its node leaves the cluster.
    Stop(stop::Stop),
    /// Show nodes, resources, and demand that waits and why.
    Status(show::Status),
    /// List nodes, actors or placement groups.
    List(show::List),
    /// List jobs, or stop one.
    Jobs(jobs::Jobs),
    /// Keep small values by key, durably, for all of the cluster.
    Kv(kv::Kv),
    /// Look at what Rayline needs of this machine.
    Doctor(doctor::Doctor),
    /// Write completions for a shell: `rayline completions bash > /etc/bash_completion.d/rayline`.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Start(start) => start.run(),
        Command::Stop(stop) => stop.run(),
        Command::Status(status) => status.run(),
        Command::List(list) => list.run(),
        Command::Jobs(jobs) => jobs.run(),
        Command::Kv(kv) => kv.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Completions { shell } => completions(shell),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let red = if io::stderr().is_terminal() { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
            eprintln!("{}error:{} {failure}", red.0, red.1);
            failure.code()
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "rayline", &mut script);
    write(&script)
}

/// Writes to stdout. That nobody reads on, as with `| head`, is no failure.
fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(&error)),
        _ => Ok(()),
    }
}

/// Writes a value for programs.
fn write_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(&error))?;
    text.push('\n');
    write(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_make_sense() {
        Arguments::command().debug_assert();
    }
}
