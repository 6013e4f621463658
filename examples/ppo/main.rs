//! PPO on parallel simulators, embedded, no daemon: `cargo run --release --example ppo`.
//!
//! The driver learns; simulators are actors that step their environments with the policy of the round. See
//! `rayline_rl::ppo::Trainer` for the loop itself: this file is its command line.

mod args;
mod plot;
mod report;

use anyhow::{Context, Result};
use args::Args;
use clap::Parser;
use rayline_rl::env::make_vec;
use rayline_rl::nn::ActorCritic;
use rayline_rl::ppo::{Checkpoint, PpoConfig, Trainer, evaluate_snapshot};
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
    let (env, mut trainer) = match &args.resume {
        Some(path) => {
            let mut checkpoint = load(path)?;
            args.override_settings(checkpoint.config_mut());
            let env = args.env.clone().unwrap_or_else(|| args::DEFAULT_ENV.to_owned());
            (env.clone(), Trainer::resume(&env, checkpoint, args.simulators)?)
        }
        None => {
            let env = args.env.clone().unwrap_or_else(|| args::DEFAULT_ENV.to_owned());
            let config = args.config(&env);
            (env.clone(), Trainer::new(&env, config, args.simulators)?)
        }
    };
    let target = args.target.or_else(|| args::default_target(&env));
    let mut report = Report::new(args, &env, trainer.learner().config(), trainer.learner().env_steps());
    let mut reached = false;
    trainer.run(|progress| {
        report.update(&progress);
        reached = target.is_some_and(|target| {
            progress.episodes.is_full() && progress.episodes.mean_return().is_some_and(|mean| mean >= target)
        });
        if reached { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let saved = args.checkpoint_path();
    if let Some(path) = &saved {
        trainer.learner().checkpoint().save(path)?;
    }
    let steps = trainer.learner().env_steps();
    let summary = Summary {
        env,
        seed: trainer.learner().config().seed,
        seconds: begin.elapsed().as_secs_f64(),
        steps,
        mean_return: trainer.episodes().mean_return(),
        target,
        reached,
        checkpoint: saved,
    };
    report.finish(&summary)
}

/// Plays the policy of a checkpoint without exploration.
fn play(args: &Args, path: &Path) -> Result<()> {
    let checkpoint = load(path)?;
    let env = args.env.as_deref().unwrap_or(args::DEFAULT_ENV);
    let mut envs = make_vec(env, args.episodes.clamp(1, 64))?;
    let spec = checkpoint.config().model_spec(envs.observation_space(), envs.action_space());
    anyhow::ensure!(
        spec == *checkpoint.model_spec(),
        "the policy in {} was trained for other spaces than those of {env}: say which environment with --env\n  \
         trained for: {:?}\n  {env} has: {spec:?}",
        path.display(),
        checkpoint.model_spec(),
    );
    let model = ActorCritic::new(spec);
    let seed = args.seed.unwrap_or(1);
    let ends = evaluate_snapshot(&model, &checkpoint.snapshot(), envs.as_mut(), args.episodes, seed)?;
    report::print_evaluation(args, env, path, &ends)
}

fn load(path: &Path) -> Result<Checkpoint> {
    Checkpoint::load(path).with_context(|| format!("can't take up {}", path.display()))
}

/// The preset that suits an environment.
fn preset(env: &str) -> PpoConfig {
    match env {
        "CartPole-v1" => PpoConfig::cartpole(),
        "Pendulum-v1" => PpoConfig::pendulum(),
        _ => PpoConfig::cleanrl(),
    }
}
