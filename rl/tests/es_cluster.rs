//! Evolution strategies on a cluster of two nodes give what they give in one process.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

mod daemons;

use std::ops::ControlFlow;

use rayline::Config;
use rayline_rl::es::{EsConfig, EsTrainer};

/// Parameters and evaluations of a whole run.
fn run() -> (Vec<f32>, Vec<Option<f64>>) {
    let config = EsConfig { seed: 5, total_steps: 60_000, pairs_per_call: 4, ..EsConfig::cartpole() };
    let mut trainer = EsTrainer::new("CartPole-v1", config, 2).unwrap();
    let mut curve = Vec::new();
    let noted = trainer.run(|progress| {
        assert_eq!(progress.stats.lost_pairs, 0, "a call has failed");
        curve.push(progress.evaluation.and_then(|evaluation| evaluation.mean_return()));
        ControlFlow::Continue(())
    });
    noted.unwrap();
    (trainer.learner().parameters().to_vec(), curve)
}

#[test]
fn the_same_seed_gives_the_same_run_on_a_cluster() {
    let embedded = {
        let _runtime = rayline::init_with(Config::default().cpus(2).embedded()).unwrap();
        run()
    };
    let folder = tempfile::tempdir().unwrap();
    let _runtime = rayline::init_with(daemons::two_nodes(folder.path())).unwrap();
    assert_eq!(run(), embedded);
}
