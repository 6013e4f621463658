//! PPO: steps a second in training, and the time of a whole training program.

use crate::metric::Metric;
use anyhow::{Context, Result, ensure};
use rayline_rl::ppo::{PpoConfig, Trainer};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// Environment steps a second in training, with CleanRL's settings: 4 environments of 128 steps, 4 epochs of 4
/// minibatches, two networks of 2 x 64.
pub fn throughput(reps: usize) -> Result<Metric> {
    const STEPS: u64 = 200_000;
    let run = |seed: u64| -> Result<f64> {
        let config = PpoConfig { total_steps: STEPS, seed, ..PpoConfig::cleanrl() };
        let mut trainer = Trainer::new("CartPole-v1", config, 1)?;
        let begin = Instant::now();
        while !trainer.is_done() {
            trainer.step()?;
        }
        Ok(trainer.learner().env_steps() as f64 / begin.elapsed().as_secs_f64())
    };
    run(0)?;
    let values = (1..=reps as u64).map(run).collect::<Result<Vec<_>>>()?;
    Ok(Metric::of("ppo_throughput", "steps/s", values).with("settings", "cleanrl").with("simulators", 1))
}

/// Seconds of the whole program until `CartPole-v1` has a mean return of 475 over 100 episodes, over 5 seeds; the
/// environment steps beside.
pub fn cartpole_475(_: usize) -> Result<Metric> {
    let program = example()?;
    let (mut seconds, mut steps) = (Vec::new(), Vec::new());
    for seed in 1..=5 {
        let begin = Instant::now();
        let output = Command::new(&program)
            .args(["--json", "--no-checkpoint", "--seed", &seed.to_string()])
            .output()
            .with_context(|| format!("can't start {}", program.display()))?;
        seconds.push(begin.elapsed().as_secs_f64());
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).context("no summary")?;
        ensure!(summary["reached"] == true, "seed {seed} didn't reach 475: {summary}");
        steps.push(summary["steps"].as_f64().context("a summary without steps")?);
    }
    let steps = Metric::of("", "steps", steps);
    let metric = Metric::of("ppo_cartpole_475", "s", seconds).with("seeds", 5).with("settings", "cartpole");
    Ok(metric.with("steps", steps.value).with("steps_min", steps.min).with("steps_max", steps.max))
}

/// The example program, which is built beside this one.
fn example() -> Result<PathBuf> {
    let program = std::env::current_exe()?.parent().context("no folder")?.join("examples").join("ppo");
    ensure!(program.exists(), "build it first: cargo build --release --example ppo");
    Ok(program)
}
