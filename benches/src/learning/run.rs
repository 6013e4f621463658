//! One training run.

use super::Goal;
use super::goal::Settings;
use anyhow::{Context, Result};
use rayline_rl::env::make_vec;
use rayline_rl::es::{EsConfig, EsTrainer};
use rayline_rl::policy::{TrainedPolicy, evaluation_seed};
use rayline_rl::ppo::{PpoConfig, train};
use serde::{Deserialize, Serialize};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// Points of a curve at the most.
const POINTS_MAX: usize = 100;
/// Episodes by which the trained policy is judged.
const EPISODES: usize = 100;

/// How one run went: a line of the file of results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LearningRun {
    /// The environment.
    pub env: String,
    /// `ppo` or `es`.
    pub algorithm: String,
    /// Whose figures it is compared with.
    pub source: String,
    /// Its seed.
    pub seed: u64,
    /// Environment steps.
    pub steps: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Mean return of 100 episodes without exploration after training.
    pub score: f64,
    /// Steps, and the mean return of the last 100 episodes of training (PPO) or of an evaluation (evolution strategies).
    pub curve: Vec<(u64, f64)>,
}

/// Trains for the goal with `seed`.
///
/// # Errors
/// If training fails.
pub fn run(goal: &Goal, seed: u64) -> Result<LearningRun> {
    let begin = Instant::now();
    let mut curve = Vec::new();
    let (policy, steps) = match goal.settings {
        Settings::Ppo(settings) => {
            let config = PpoConfig { seed, total_steps: goal.steps, ..settings() };
            let trained = train(&config, make_vec(goal.env, config.n_envs)?, |progress| {
                curve.extend(progress.episodes.mean_return().map(|mean| (progress.env_steps, mean)));
                ControlFlow::Continue(())
            })?;
            (TrainedPolicy::Ppo(Box::new(trained.learner.checkpoint())), trained.learner.env_steps())
        }
        Settings::Es(settings) => {
            let mut trainer = EsTrainer::new(goal.env, EsConfig { seed, total_steps: goal.steps, ..settings() }, 2)?;
            trainer.run(|progress| {
                let mean = progress.evaluation.and_then(|evaluation| evaluation.mean_return());
                curve.extend(mean.map(|mean| (progress.env_steps, mean)));
                ControlFlow::Continue(())
            })?;
            (TrainedPolicy::Es(Box::new(trainer.learner().checkpoint())), trainer.learner().env_steps())
        }
    };
    let seconds = begin.elapsed().as_secs_f64();
    let ends = policy.play(make_vec(goal.env, EPISODES)?.as_mut(), EPISODES, evaluation_seed(seed), |_| {})?;
    let score = ends.iter().map(|end| end.total_reward).sum::<f64>() / ends.len() as f64;
    let (env, algorithm, source) = (goal.env.to_owned(), goal.algorithm().to_owned(), goal.source.to_owned());
    Ok(LearningRun { env, algorithm, source, seed, steps, seconds, score, curve: thinned(&curve) })
}

/// The runs of a file.
///
/// # Errors
/// If it can't be read.
pub fn read(path: &Path) -> Result<Vec<LearningRun>> {
    let text = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    let lines = text.lines().enumerate();
    lines.map(|(at, line)| serde_json::from_str(line).with_context(|| format!("line {} is no run", at + 1))).collect()
}

/// At most so many points, evenly, the last among them.
fn thinned(curve: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let count = curve.len().min(POINTS_MAX);
    (1..=count).map(|at| curve[at * curve.len() / count - 1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_curve_keeps_its_end() {
        let curve: Vec<_> = (1..=250).map(|step| (step, 0.0)).collect();
        let thin = thinned(&curve);
        assert_eq!((thin.len(), thin[0].0, thin[99].0), (100, 2, 250));
        assert!(thin.is_sorted_by_key(|(step, _)| *step));
        assert_eq!((thinned(&curve[..3]), thinned(&[])), (curve[..3].to_vec(), vec![]));
    }
}
