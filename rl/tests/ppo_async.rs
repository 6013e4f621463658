//! Rollouts that overlap learning: bounded lag, repeatable runs, and CartPole learned none the less.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::ops::ControlFlow;

use rayline_rl::env::make_vec;
use rayline_rl::ppo::{Collector, CollectorSeed, PpoConfig, PpoError, PpoLearner, Trainer};

fn config(max_lag: u64) -> PpoConfig {
    PpoConfig { max_lag, seed: 3, total_steps: 100_000, ..PpoConfig::cartpole() }
}

/// Parameters and lags of a run over `total_steps`.
fn run(max_lag: u64, simulators: usize, total_steps: u64) -> (Vec<f32>, Vec<u64>) {
    let mut trainer = Trainer::new("CartPole-v1", PpoConfig { total_steps, ..config(max_lag) }, simulators).unwrap();
    let mut lags = Vec::new();
    let noted = trainer.run(|progress| {
        lags.push(progress.stats.lag);
        ControlFlow::Continue(())
    });
    noted.unwrap();
    (trainer.learner().snapshot().parameters.to_vec(), lags)
}

#[test]
fn lag_is_told_and_never_exceeds_the_bound() {
    for simulators in [1, 2, 3, 5] {
        for max_lag in [1, 2, 4] {
            let (_, lags) = run(max_lag, simulators, 4_000);
            assert_eq!(lags[0], 0, "the first round has nothing to be behind of");
            let worst = *lags.iter().max().unwrap();
            assert!((1..=max_lag).contains(&worst), "{simulators} simulators, bound {max_lag}: {lags:?}");
        }
        assert!(run(0, simulators, 2_000).1.iter().all(|lag| *lag == 0));
    }
}

#[test]
fn the_same_seed_gives_the_same_run_also_where_rollouts_overlap_learning() {
    for max_lag in [1, 3] {
        assert_eq!(run(max_lag, 3, 4_000), run(max_lag, 3, 4_000), "bound {max_lag}");
    }
    assert_ne!(run(0, 3, 4_000).0, run(1, 3, 4_000).0);
}

#[test]
fn it_learns_cart_pole_behind_by_one_and_by_more() {
    for max_lag in [1, 2] {
        let mut trainer = Trainer::new("CartPole-v1", config(max_lag), 2).unwrap();
        let mut best: f64 = 0.0;
        let done = trainer.run(|progress| {
            assert!(progress.stats.lag <= max_lag);
            best = best.max(progress.episodes.mean_return().unwrap_or(0.0));
            if best >= 475.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        done.unwrap();
        assert!(best >= 475.0, "a mean of {best} after {} steps, bound {max_lag}", trainer.learner().env_steps());
    }
}

#[test]
fn a_learner_refuses_what_is_older_than_the_bound() {
    let config = config(1);
    let envs = make_vec("CartPole-v1", 8).unwrap();
    let spec = config.model_spec(envs.observation_space(), envs.action_space());
    let mut learner = PpoLearner::new(config.clone(), spec).unwrap();
    let seed = CollectorSeed { seed: 1, index: 0, first_env: 0 };
    let old = Collector::from_config(&config, envs, seed).unwrap().collect(&learner.snapshot()).unwrap();
    let old = std::slice::from_ref(&old);
    let lags: Vec<u64> = (0..2).map(|_| learner.update(old).unwrap().lag).collect();
    assert_eq!(lags, [0, 1]);
    let before = learner.snapshot();
    let error = learner.update(old).unwrap_err();
    assert!(matches!(error, PpoError::Stale { lag: 2, max_lag: 1 }), "{error}");
    assert_eq!(learner.snapshot(), before);
}

/// Mean ratio of the present policy to the one that acted, as the first minibatch's divergence tells: where the present
/// policy counts as the old one, an update begins without any.
#[test]
fn the_surrogate_starts_from_the_present_policy() {
    let config = PpoConfig { epochs: 1, minibatches: rayline_rl::ppo::Minibatches::Count(1), ..config(1) };
    let envs = make_vec("CartPole-v1", 8).unwrap();
    let spec = config.model_spec(envs.observation_space(), envs.action_space());
    let mut learner = PpoLearner::new(config.clone(), spec).unwrap();
    let seed = CollectorSeed { seed: 1, index: 0, first_env: 0 };
    let old = Collector::from_config(&config, envs, seed).unwrap().collect(&learner.snapshot()).unwrap();
    let old = std::slice::from_ref(&old);
    learner.update(old).unwrap();
    let mut uncorrected = learner.clone();
    let stats = learner.update(old).unwrap();
    assert!(stats.approx_kl.abs() < 1e-6 && stats.clip_fraction == 0.0, "{stats:?}");
    let mut checkpoint = uncorrected.checkpoint();
    checkpoint.config_mut().max_lag = 0;
    uncorrected = PpoLearner::from_checkpoint(checkpoint).unwrap();
    assert!(uncorrected.update(old).unwrap().approx_kl > 1e-5);
}
