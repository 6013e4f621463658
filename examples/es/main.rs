//! Evolution strategies on parallel evaluators, embedded or on a cluster: `cargo run --release --example es`.
//!
//! The driver learns; evaluators are actors that try perturbed policies in environments of their own. See
//! `rayline_rl::es::EsTrainer` for the loop itself: this file is its command line.

mod args;
#[path = "../ppo/plot.rs"]
mod plot;
mod report;

use anyhow::{Context, Result};
use args::Args;
use clap::Parser;
use rayline_rl::env::make_vec;
use rayline_rl::es::{EsCheckpoint, EsConfig, EsTrainer, PairRange, PairRunner};
use report::{Report, Summary};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

#[rayline::main]
fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.evaluate {
        Some(path) => play(&args, path),
        None => train(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn train(args: &Args) -> Result<()> {
    let begin = Instant::now();
    let env = args.env.as_deref().unwrap_or(args::DEFAULT_ENV);
    let mut trainer = match &args.resume {
        Some(path) => {
            let mut checkpoint = load(path)?;
            args.override_settings(checkpoint.config_mut());
            EsTrainer::resume(env, checkpoint, args.evaluators)?
        }
        None => EsTrainer::new(env, args.config(env), args.evaluators)?,
    };
    let target = args.target.or_else(|| args::default_target(env));
    let mut report = Report::new(args, env, trainer.learner());
    let (mut reached, mut mean_return) = (false, None);
    trainer.run(|progress| {
        report.update(&progress);
        let mean = progress.evaluation.and_then(|evaluation| evaluation.mean_return());
        mean_return = mean.or(mean_return);
        reached = mean.zip(target).is_some_and(|(mean, target)| mean >= target);
        if reached { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let saved = args.checkpoint_path();
    if let Some(path) = &saved {
        trainer.learner().checkpoint().save(path)?;
    }
    let learner = trainer.learner();
    report.finish(&Summary {
        env: env.to_owned(),
        seed: learner.config().seed,
        seconds: begin.elapsed().as_secs_f64(),
        rounds: learner.rounds(),
        steps: learner.env_steps(),
        mean_return,
        target,
        reached,
        checkpoint: saved,
    })
}

/// Plays the policy of a checkpoint without perturbation and noise.
fn play(args: &Args, path: &Path) -> Result<()> {
    let checkpoint = load(path)?;
    let env = args.env.as_deref().unwrap_or(args::DEFAULT_ENV);
    let config = EsConfig { seed: args.seed.unwrap_or(1), ..checkpoint.config().clone() };
    let envs = make_vec(env, args.episodes as usize)?;
    let mut runner = PairRunner::new(config, checkpoint.policy_spec().clone(), envs)
        .with_context(|| format!("the policy in {} isn't for {env}: say which with --env", path.display()))?;
    let ends = runner.play(&checkpoint.policy()?, PairRange { first: 0, count: args.episodes }, &|| false)?;
    report::print_evaluation(args, env, path, &ends)
}

fn load(path: &Path) -> Result<EsCheckpoint> {
    EsCheckpoint::load(path).with_context(|| format!("can't take up {}", path.display()))
}
