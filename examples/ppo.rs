//! PPO on parallel simulators, embedded, no daemon: `cargo run --release --example ppo`.
//!
//! The driver learns; simulators are actors that step their environments with the policy of the round. See
//! `rayline_rl::ppo::Trainer` for the loop itself: this file is its command line. `rayline-rl train ppo` keeps records
//! and checkpoints besides.

use anyhow::{Context, Result};
use clap::Parser;
use rayline_examples::{Common, Report, Summary, exit, play};
use rayline_rl::ppo::{Checkpoint, PpoConfig, Schedule, Trainer};
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Trains a policy with PPO on parallel simulators, in this process: no daemon, no configuration.
///
/// Stops when the mean return of the last 100 episodes reaches the target (475 for CartPole-v1), or after the given
/// number of steps; prints the learning curve and writes a checkpoint. The same seed and simulators give the same run.
#[derive(Parser, Debug)]
#[command(name = "ppo", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    common: Common,

    /// Environments over all simulators
    #[arg(long, value_name = "N")]
    envs: Option<usize>,

    /// Adam's step size at the start
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f32>,
}

const EXAMPLES: &str = "Examples:
  ppo                                          CartPole-v1 to a mean return of 475
  ppo --env Pendulum-v1 --steps 200000         another environment
  ppo --evaluate policy.safetensors            play what was learned
  ppo --resume policy.safetensors --steps 200000  learn on";

#[rayline::main]
fn main() -> ExitCode {
    let args = Args::parse();
    exit(match &args.common.evaluate {
        Some(path) => play(&args.common, path),
        None => train(&args),
    })
}

fn train(args: &Args) -> Result<()> {
    let common = &args.common;
    let mut trainer = trainer(args)?;
    let (learner, target) = (trainer.learner(), common.target(475.0));
    let PpoConfig { n_envs, n_steps, seed, total_steps, .. } = *learner.config();
    let title = format!("{n_envs} environments on {} simulators, {n_steps} steps a round, seed {seed}", common.workers);
    let mut report = Report::new(common, [learner.env_steps(), total_steps], &title);
    let mut reached = false;
    trainer.run(|progress| {
        let (stats, mean) = (progress.stats, progress.episodes.mean_return());
        let loss = stats.policy_loss + stats.value_loss;
        report.update(progress.env_steps, mean, || format!("loss {loss:+.3}  entropy {:.3}", stats.entropy));
        reached = progress.episodes.is_full() && mean.zip(target).is_some_and(|(mean, target)| mean >= target);
        if reached { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let (learner, checkpoint) = (trainer.learner(), common.checkpoint());
    if let Some(path) = &checkpoint {
        learner.checkpoint().save(path)?;
    }
    let summary = Summary {
        env: common.env().to_owned(),
        seed,
        seconds: report.seconds(),
        updates: learner.updates(),
        steps: learner.env_steps(),
        mean_return: trainer.episodes().mean_return(),
        target,
        reached,
        checkpoint,
    };
    report.finish(&summary)
}

/// A run from the start, or from a checkpoint.
fn trainer(args: &Args) -> Result<Trainer> {
    let Common { workers, .. } = args.common;
    Ok(match &args.common.resume {
        Some(path) => {
            let mut checkpoint = Checkpoint::load(path)?;
            override_settings(args, checkpoint.config_mut());
            Trainer::resume(args.common.env(), checkpoint, workers)?
        }
        None => {
            let mut config = match &args.common.preset {
                Some(name) => PpoConfig::preset(name).with_context(|| format!("no preset is called {name}"))?,
                None => PpoConfig::for_env(args.common.env()),
            };
            override_settings(args, &mut config);
            Trainer::new(args.common.env(), config, workers)?
        }
    })
}

/// Changes what the command line says.
fn override_settings(args: &Args, config: &mut PpoConfig) {
    config.seed = args.common.seed.unwrap_or(config.seed);
    config.total_steps = args.common.steps.unwrap_or(config.total_steps);
    config.n_envs = args.envs.unwrap_or(config.n_envs);
    if let Some(rate) = args.learning_rate {
        config.learning_rate = match config.learning_rate {
            Schedule::Constant(_) => Schedule::Constant(rate),
            Schedule::LinearToZero(_) => Schedule::LinearToZero(rate),
        };
    }
}
