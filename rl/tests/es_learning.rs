//! Evolution strategies learn: a control task to its known score, and a continuous one above its start.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rayline_rl::es::{EsConfig, EsTrainer};

/// Environment steps until 20 episodes average `target`, and the best average.
fn steps_to(env: &str, config: EsConfig, target: f64) -> (Option<u64>, f64) {
    let (mut reached, mut best) = (None, f64::NEG_INFINITY);
    let mut trainer = EsTrainer::new(env, config, 2).unwrap();
    let learned = trainer.run(|progress| {
        let mean = progress.evaluation.and_then(|evaluation| evaluation.mean_return()).unwrap_or(f64::NEG_INFINITY);
        best = best.max(mean);
        if mean >= target {
            reached = Some(progress.env_steps);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    learned.unwrap();
    (reached, best)
}

#[test]
fn cartpole_reaches_475_on_three_seeds() {
    for seed in [1, 2, 3] {
        let begin = Instant::now();
        let (steps, best) = steps_to("CartPole-v1", EsConfig { seed, ..EsConfig::cartpole() }, 475.0);
        assert!(steps.is_some(), "seed {seed}: {best}");
        assert!(begin.elapsed() < Duration::from_secs(60), "seed {seed} took {:?}", begin.elapsed());
    }
}

#[test]
fn pendulum_improves() {
    let config = EsConfig { seed: 3, ..EsConfig::pendulum() };
    let mut trainer = EsTrainer::new("Pendulum-v1", config.clone(), 2).unwrap();
    let before = trainer.evaluate().unwrap().mean_return().unwrap();
    // Means of 30 episodes of an untrained policy differ by some 80.
    let (steps, best) = steps_to("Pendulum-v1", config, before + 300.0);
    assert!(steps.is_some(), "from {before} to {best}");
}
