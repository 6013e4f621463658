//! What the user sees: progress, summary, evaluation.

use crate::args::Args;
use crate::plot;
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use rayline_rl::es::{EsLearner, EsProgress};
use rayline_rl::ppo::EpisodeEnd;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The progress bar, and the learning curve behind it.
pub struct Report {
    bar: ProgressBar,
    json: bool,
    begin: Instant,
    first_step: u64,
    next_draw: Duration,
    lost_pairs: usize,
    curve: Vec<(u64, f64)>,
}

/// How a run went.
#[derive(Serialize)]
pub struct Summary {
    pub env: String,
    pub seed: u64,
    /// Of the whole run, without the start of the process.
    pub seconds: f64,
    /// Rounds, those before a resumed checkpoint included.
    pub rounds: u64,
    /// Environment steps, those before a resumed checkpoint included, those of evaluations not.
    pub steps: u64,
    /// Of the last evaluation.
    pub mean_return: Option<f64>,
    pub target: Option<f64>,
    pub reached: bool,
    pub checkpoint: Option<PathBuf>,
}

impl Report {
    pub fn new(args: &Args, env: &str, learner: &EsLearner) -> Self {
        let config = learner.config();
        let bar = if args.quiet || args.json { ProgressBar::hidden() } else { ProgressBar::new(config.total_steps) };
        let template = "{bar:24} {pos:>7}/{len} steps {msg}";
        bar.set_style(ProgressStyle::with_template(template).expect("a sound template").progress_chars("━╸─"));
        if !args.json && !args.quiet {
            println!(
                "{env}: {} parameters, {} pairs a round on {} evaluators, sigma {}, seed {}",
                learner.net().parameter_count(),
                config.pairs,
                args.evaluators,
                config.sigma,
                config.seed
            );
        }
        let (begin, first_step) = (Instant::now(), learner.env_steps());
        let (next_draw, lost_pairs, curve) = (Duration::ZERO, 0, Vec::new());
        Self { bar, json: args.json, begin, first_step, next_draw, lost_pairs, curve }
    }

    /// Notes a round, and draws it where the last drawing is old enough.
    pub fn update(&mut self, progress: &EsProgress<'_>) {
        let mean = progress.evaluation.and_then(|evaluation| evaluation.mean_return());
        self.curve.extend(mean.map(|mean| (progress.env_steps, mean)));
        self.lost_pairs += progress.stats.lost_pairs;
        let elapsed = self.begin.elapsed();
        if elapsed < self.next_draw {
            return;
        }
        self.next_draw = elapsed + Duration::from_millis(50);
        let rate = (progress.env_steps - self.first_step) as f64 / elapsed.as_secs_f64().max(1e-9);
        let (stats, last) = (progress.stats, self.curve.last());
        self.bar.set_position(progress.env_steps);
        self.bar.set_message(format!(
            "{:>7}/s  return {:>7}  perturbed {:.1}, best {:.1}  |w| {:.2}",
            short(rate),
            last.map_or_else(|| "-".to_owned(), |(_, mean)| format!("{mean:.1}")),
            stats.mean_return,
            stats.max_return,
            stats.parameter_norm,
        ));
    }

    pub fn finish(self, summary: &Summary) -> Result<()> {
        self.bar.finish();
        if self.json {
            println!("{}", serde_json::to_string(summary)?);
            return Ok(());
        }
        println!("\nmean return of the evaluations\n{}", plot::curve(&self.curve));
        let mean = summary.mean_return.map_or_else(|| "not evaluated".to_owned(), |mean| format!("{mean:.1}"));
        let (steps, rounds) = (summary.steps - self.first_step, summary.rounds);
        match (summary.reached, summary.target) {
            (true, Some(target)) => println!("solved: a mean return of {mean} (target {target}) after {rounds} rounds"),
            (false, Some(target)) => {
                println!("not solved: a mean return of {mean} (target {target}) after {rounds} rounds");
            }
            (_, None) => println!("done: a mean return of {mean} after {rounds} rounds"),
        }
        let rate = short(steps as f64 / summary.seconds.max(1e-9));
        println!("{steps} steps in {:.3} s, {rate} steps/s", summary.seconds);
        if self.lost_pairs > 0 {
            println!("{} pairs were lost to evaluators that failed or were late", self.lost_pairs);
        }
        if let Some(path) = &summary.checkpoint {
            let path = path.display();
            println!("policy in {path}; play it with --evaluate {path}, learn on with --resume {path}");
        }
        Ok(())
    }
}

/// Prints how a policy did in `ends`.
pub fn print_evaluation(args: &Args, env: &str, path: &Path, ends: &[EpisodeEnd]) -> Result<()> {
    let returns: Vec<f64> = ends.iter().map(|end| end.total_reward).collect();
    let mean = returns.iter().sum::<f64>() / returns.len() as f64;
    let low = returns.iter().copied().fold(f64::INFINITY, f64::min);
    let high = returns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if args.json {
        let line = serde_json::json!({
            "env": env, "checkpoint": path, "episodes": returns.len(), "mean_return": mean, "min": low, "max": high,
        });
        println!("{line}");
        return Ok(());
    }
    println!("{env}, {} episodes without perturbation with {}:", returns.len(), path.display());
    println!("return {mean:.1} (from {low:.1} to {high:.1})");
    Ok(())
}

/// `12.3k`, `1.20M`.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2}M", value / 1e6),
        value if value >= 1e3 => format!("{:.1}k", value / 1e3),
        value => format!("{value:.0}"),
    }
}
