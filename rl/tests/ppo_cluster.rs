//! Training on a cluster of two nodes gives what it gives in one process.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

mod daemons;

use std::ops::ControlFlow;

use rayline::Config;
use rayline_rl::ppo::{PpoConfig, Trainer};

/// Parameters and curve after a whole run.
fn run() -> (Vec<f32>, Vec<Option<f64>>) {
    let config = PpoConfig { seed: 5, total_steps: 5_000, ..PpoConfig::cartpole() };
    let mut trainer = Trainer::new("CartPole-v1", config, 2).unwrap();
    let mut curve = Vec::new();
    let noted = trainer.run(|progress| {
        curve.push(progress.episodes.mean_return());
        ControlFlow::Continue(())
    });
    noted.unwrap();
    (trainer.learner().snapshot().parameters.to_vec(), curve)
}

#[test]
fn the_same_seed_gives_the_same_curve_on_a_cluster() {
    let embedded = {
        let _runtime = rayline::init_with(Config::default().cpus(2).embedded()).unwrap();
        run()
    };
    let folder = tempfile::tempdir().unwrap();
    let _runtime = rayline::init_with(daemons::two_nodes(folder.path())).unwrap();
    assert_eq!(run(), embedded);
}
