//! What the user sees: progress, summary, evaluation.

use anyhow::{Context, Result};
use rayline_rl::env::make_vec;
use rayline_rl::policy::TrainedPolicy;
use rayline_rl::view::{ProgressView, Verbosity, short};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Common;

/// Progress, and the learning curve behind it.
pub struct Report<'a> {
    args: &'a Common,
    view: ProgressView,
    begin: Instant,
    first_step: u64,
}

/// How a run went.
#[derive(Serialize)]
pub struct Summary {
    /// The environment.
    pub env: String,
    /// The seed of the run.
    pub seed: u64,
    /// Of training, without the start of the process.
    pub seconds: f64,
    /// Updates or rounds, those before a resumed checkpoint included.
    pub updates: u64,
    /// Environment steps, those before a resumed checkpoint included.
    pub steps: u64,
    /// What counts for the target, once it is known.
    pub mean_return: Option<f64>,
    /// Mean return at which to stop.
    pub target: Option<f64>,
    /// Whether that was reached.
    pub reached: bool,
    /// Where the policy was written to.
    pub checkpoint: Option<PathBuf>,
}

impl<'a> Report<'a> {
    /// Of a run from `first_step` to `total_steps`; `title` is said first.
    pub fn new(args: &'a Common, [first_step, total_steps]: [u64; 2], title: &str) -> Self {
        let verbosity = if args.quiet || args.json { Verbosity::Silent } else { Verbosity::Live };
        if verbosity == Verbosity::Live {
            println!("{}: {title}", args.env());
        }
        let view = ProgressView::new(first_step, total_steps, verbosity);
        Self { args, view, begin: Instant::now(), first_step }
    }

    /// Notes an update, with the return that it is known to have.
    pub fn update(&mut self, step: u64, mean_return: Option<f64>, details: impl FnOnce() -> String) {
        self.view.update(step, mean_return, details);
    }

    /// Seconds since it began.
    pub fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// Prints how it went.
    ///
    /// # Errors
    /// If the summary has no JSON form.
    pub fn finish(self, summary: &Summary) -> Result<()> {
        let curve = self.view.finish();
        if self.args.json {
            println!("{}", serde_json::to_string(summary)?);
            return Ok(());
        }
        println!("\nmean return\n{curve}");
        let mean = summary.mean_return.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.1}"));
        let verdict = match (summary.reached, summary.target) {
            (true, Some(target)) => format!("solved: a mean return of {mean} (target {target})"),
            (false, Some(target)) => format!("not solved: a mean return of {mean} (target {target})"),
            (_, None) => format!("done: a mean return of {mean}"),
        };
        let steps = summary.steps - self.first_step;
        let rate = short(steps as f64 / summary.seconds.max(1e-9));
        println!(
            "{verdict} after {} updates\n{steps} steps in {:.3} s, {rate} steps/s",
            summary.updates, summary.seconds
        );
        if let Some(path) = &summary.checkpoint {
            let path = path.display();
            println!("policy in {path}; play it with --evaluate {path}, learn on with --resume {path}");
        }
        Ok(())
    }
}

/// Plays the policy of a checkpoint without exploration, and prints how it did.
///
/// # Errors
/// If it can't be loaded, or isn't for the environment.
pub fn play(args: &Common, path: &Path) -> Result<()> {
    let policy = TrainedPolicy::load(path).with_context(|| format!("can't take up {}", path.display()))?;
    let (env, episodes) = (args.env(), args.episodes);
    let mut envs = make_vec(env, episodes.min(64))?;
    let ends = policy.play(envs.as_mut(), episodes, args.seed.unwrap_or(1), |_| {})?;
    let returns: Vec<f64> = ends.iter().take(episodes).map(|end| end.total_reward).collect();
    let mean = returns.iter().sum::<f64>() / returns.len() as f64;
    let deviation = (returns.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / returns.len() as f64).sqrt();
    if args.json {
        let line = serde_json::json!({
            "env": env, "checkpoint": path, "episodes": returns.len(), "mean_return": mean, "std": deviation,
        });
        println!("{line}");
        return Ok(());
    }
    println!("{env}, {} episodes without exploration with {}:", returns.len(), path.display());
    println!("return {mean:.1} ± {deviation:.1}");
    Ok(())
}
