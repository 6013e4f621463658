//! Evolution strategies on parallel evaluators, embedded or on a cluster: `cargo run --release --example es`.
//!
//! The driver learns; evaluators are actors that try perturbed policies in environments of their own. See
//! `rayline_rl::es::EsTrainer` for the loop itself: this file is its command line. `rayline-rl train es` keeps records
//! and checkpoints besides.

use anyhow::{Context, Result};
use clap::Parser;
use rayline_examples::{Common, Report, Summary, exit, play};
use rayline_rl::es::{EsCheckpoint, EsConfig, EsTrainer};
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Trains a policy with evolution strategies on parallel evaluators, in this process or on the cluster that
/// RAYLINE_ADDRESS names.
///
/// Stops when the mean return of an evaluation reaches the target (500 for CartPole-v1), or after the given number of
/// steps; prints the learning curve and writes a checkpoint. The same seed gives the same run, for any number of
/// evaluators.
#[derive(Parser, Debug)]
#[command(name = "es", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    common: Common,

    /// Directions tried in a round, each on either side
    #[arg(long, value_name = "N")]
    pairs: Option<u32>,

    /// Standard deviation of the perturbations
    #[arg(long, value_name = "SIGMA")]
    sigma: Option<f32>,

    /// Adam's step size
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f32>,

    /// Share of a round's calls to wait for before late ones are cut off
    #[arg(long, value_name = "SHARE")]
    enough: Option<f32>,
}

const EXAMPLES: &str = "Examples:
  es                                              CartPole-v1 to a mean return of 500
  es --env Pendulum-v1 --target -200              another environment
  es --evaluate policy.safetensors                play what was learned
  es --resume policy.safetensors --steps 9000000  learn on
  RAYLINE_ADDRESS=head:6380 es --evaluators 64    the same on a cluster";

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
    let (learner, target) = (trainer.learner(), common.target(500.0));
    let EsConfig { pairs, sigma, seed, total_steps, .. } = *learner.config();
    let parameters = learner.net().parameter_count();
    let title = format!(
        "{parameters} parameters, {pairs} pairs a round on {} evaluators, sigma {sigma}, seed {seed}",
        common.workers
    );
    let mut report = Report::new(common, [learner.env_steps(), total_steps], &title);
    let (mut reached, mut mean_return) = (false, None);
    trainer.run(|progress| {
        let (stats, mean) = (progress.stats, progress.evaluation.and_then(|evaluation| evaluation.mean_return()));
        report.update(progress.env_steps, mean, || {
            format!("perturbed {:.1}, best {:.1}  {} lost", stats.mean_return, stats.max_return, stats.lost_pairs)
        });
        mean_return = mean.or(mean_return);
        reached = mean.zip(target).is_some_and(|(mean, target)| mean >= target);
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
        updates: learner.rounds(),
        steps: learner.env_steps(),
        mean_return,
        target,
        reached,
        checkpoint,
    };
    report.finish(&summary)
}

/// A run from the start, or from a checkpoint.
fn trainer(args: &Args) -> Result<EsTrainer> {
    let Common { workers, .. } = args.common;
    Ok(match &args.common.resume {
        Some(path) => {
            let mut checkpoint = EsCheckpoint::load(path)?;
            override_settings(args, checkpoint.config_mut());
            EsTrainer::resume(args.common.env(), checkpoint, workers)?
        }
        None => {
            let mut config = match &args.common.preset {
                Some(name) => EsConfig::preset(name).with_context(|| format!("no preset is called {name}"))?,
                None => EsConfig::for_env(args.common.env()),
            };
            override_settings(args, &mut config);
            EsTrainer::new(args.common.env(), config, workers)?
        }
    })
}

/// Changes what the command line says.
fn override_settings(args: &Args, config: &mut EsConfig) {
    config.seed = args.common.seed.unwrap_or(config.seed);
    config.total_steps = args.common.steps.unwrap_or(config.total_steps);
    config.pairs = args.pairs.unwrap_or(config.pairs);
    config.sigma = args.sigma.unwrap_or(config.sigma);
    config.learning_rate = args.learning_rate.unwrap_or(config.learning_rate);
    config.enough = args.enough.unwrap_or(config.enough);
}
