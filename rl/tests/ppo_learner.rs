//! One learner's updates: determinism, several collectors, early stopping, and numbers that are not finite.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use rayline_rl::env::make_vec;
use rayline_rl::nn::ActionRows;
use rayline_rl::ppo::{
    Collector, CollectorSeed, Minibatches, PpoConfig, PpoError, PpoLearner, RolloutBatch, Schedule, UpdateStats,
};

fn small(seed: u64) -> PpoConfig {
    PpoConfig {
        seed,
        n_envs: 4,
        n_steps: 16,
        minibatches: Minibatches::Count(2),
        hidden: vec![16, 16],
        ..PpoConfig::cleanrl()
    }
}

/// A learner and `collectors` collectors that share its environments evenly.
fn setup(config: &PpoConfig, collectors: usize) -> (PpoLearner, Vec<Collector>) {
    let each = config.n_envs / collectors;
    let made = || make_vec("CartPole-v1", each).unwrap();
    let spec = config.model_spec(made().observation_space(), made().action_space());
    let learner = PpoLearner::new(config.clone(), spec.clone()).unwrap();
    let collector = |index: usize| {
        let seed = CollectorSeed { seed: config.seed, index: index as u64, first_env: (index * each) as u64 };
        Collector::new(spec.clone(), made(), config.n_steps, seed).unwrap()
    };
    (learner, (0..collectors).map(collector).collect())
}

fn rollouts(learner: &PpoLearner, collectors: &mut [Collector]) -> Vec<RolloutBatch> {
    let snapshot = learner.snapshot();
    collectors.iter_mut().map(|collector| collector.collect(&snapshot).unwrap()).collect()
}

/// Parameters and statistics after `updates` updates.
fn run(config: &PpoConfig, collectors: usize, updates: usize) -> (Vec<f32>, Vec<UpdateStats>) {
    let (mut learner, mut collectors) = setup(config, collectors);
    let mut step = || {
        let rollouts = rollouts(&learner, &mut collectors);
        learner.update(&rollouts).unwrap()
    };
    let stats = (0..updates).map(|_| step()).collect();
    (learner.snapshot().parameters.to_vec(), stats)
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_does_not() {
    for collectors in [1, 2] {
        let (parameters, stats) = run(&small(5), collectors, 5);
        assert_eq!((parameters.clone(), stats.clone()), run(&small(5), collectors, 5));
        let (others, other_stats) = run(&small(6), collectors, 5);
        assert_ne!(parameters, others);
        assert_ne!(stats, other_stats);
    }
}

#[test]
fn two_threads_give_the_same_bits_as_one() {
    let large = |learner_threads| {
        let minibatches = Minibatches::Count(4);
        PpoConfig { n_steps: 128, minibatches, learner_threads, ..PpoConfig::cleanrl() }
    };
    assert_eq!(run(&large(1), 1, 3), run(&large(2), 1, 3));
}

#[test]
fn two_collectors_make_one_batch() {
    let (_, stats) = run(&small(1), 2, 3);
    assert!(stats.iter().all(|s| (s.rows, s.epochs, s.minibatches) == (64, 4, 8)), "{stats:?}");
    let (mut learner, mut collectors) = setup(&small(1), 2);
    let parts = rollouts(&learner, &mut collectors);
    let (mut swapped, mut twice) = (learner.clone(), learner.clone());
    learner.update(&parts).unwrap();
    swapped.update(&[parts[1].clone(), parts[0].clone()]).unwrap();
    twice.update(&parts[..1]).unwrap();
    assert_ne!(learner.snapshot(), twice.snapshot(), "the second part counts");
    assert_ne!(learner.snapshot(), swapped.snapshot(), "rows are shuffled by their place");
    assert_eq!((learner.env_steps(), twice.env_steps(), learner.updates()), (64, 32, 1));
}

#[test]
fn the_first_pass_over_fresh_experience_has_no_divergence() {
    let config = PpoConfig { epochs: 1, minibatches: Minibatches::Count(1), ..small(1) };
    let (_, stats) = run(&config, 1, 1);
    let first = stats[0];
    assert!(first.approx_kl.abs() < 1e-6 && first.clip_fraction == 0.0, "{first:?}");
    assert!((first.entropy - std::f32::consts::LN_2).abs() < 1e-3, "a new policy is almost uniform: {first:?}");
    assert!(first.grad_norm > 0.0 && first.explained_variance < 0.5, "{first:?}");
    assert_eq!(first.learning_rate, 2.5e-4);
}

#[test]
fn rates_fall_with_the_steps_done() {
    let config = PpoConfig { total_steps: 640, learning_rate: Schedule::LinearToZero(1e-3), ..small(1) };
    let rates: Vec<f32> = run(&config, 1, 11).1.iter().map(|stats| stats.learning_rate).collect();
    for (update, rate) in rates.iter().enumerate() {
        let want = 1e-3 * (1.0 - update as f32 / 10.0);
        assert!((rate - want).abs() < 1e-8, "update {update}: {rate} instead of {want}");
    }
}

#[test]
fn a_target_divergence_stops_the_update() {
    let fast = PpoConfig { learning_rate: Schedule::Constant(0.02), epochs: 50, ..small(1) };
    let free = run(&fast, 1, 1).1[0];
    let held = run(&PpoConfig { target_kl: Some(0.01), ..fast }, 1, 1).1[0];
    assert_eq!((free.epochs, free.minibatches), (50, 100));
    assert!(held.minibatches < 50 && held.minibatches > 0, "{held:?}");
    // The minibatch that broke off is part of what the last epoch reports.
    assert!(held.approx_kl > 0.0 && held.epochs == held.minibatches / 2 + 1, "{held:?}");
}

#[test]
fn nan_is_an_error_that_says_where_and_leaves_the_parameters() {
    let (mut learner, mut collectors) = setup(&small(1), 1);
    let good = rollouts(&learner, &mut collectors);
    learner.update(&good).unwrap();
    let mut bad = rollouts(&learner, &mut collectors);
    bad[0].rewards[5] = f32::NAN;
    let before = learner.snapshot();
    let error = learner.update(&bad).unwrap_err();
    assert!(matches!(error, PpoError::NotFinite { update: 1, epoch: 0, env_steps: 64, .. }), "{error:?}");
    assert!(error.to_string().contains("is NaN in update 1, epoch 0, minibatch"), "{error}");
    let after = learner.snapshot();
    assert!(after.parameters.iter().all(|p| p.is_finite()));
    let first_minibatch = matches!(error, PpoError::NotFinite { minibatch: 0, .. });
    assert_eq!(first_minibatch, before == after, "only minibatches before the bad one were stepped on");
    learner.update(&good).expect("the learner goes on with sound experience");
}

#[test]
fn batches_that_do_not_fit_are_refused_unchanged() {
    let (mut learner, mut collectors) = setup(&small(1), 1);
    let good = rollouts(&learner, &mut collectors).remove(0);
    let before = learner.snapshot();
    let mut refuse = |change: &dyn Fn(&mut RolloutBatch)| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = learner.update(&[bad]).unwrap_err();
        assert!(matches!(error, PpoError::Mismatch { .. }), "{error:?}");
        error.to_string()
    };
    assert_eq!(
        refuse(&|b| b.obs.truncate(3)),
        "observations of the batch don't fit the model: expected 256 numbers, found 3"
    );
    assert!(refuse(&|b| b.actions = ActionRows::Continuous(vec![0.0; 64])).contains("expected choices, found values"));
    assert!(refuse(&|b| b.next_values.clear()).contains("next values"));
    assert!(refuse(&|b| b.actions = ActionRows::Discrete(vec![2; 64])).contains("expected choices below 2"));
    assert!(learner.update(&[]).is_err());
    assert_eq!(before, learner.snapshot());
}

#[test]
fn snapshots_and_batches_survive_serialization() {
    let (learner, mut collectors) = setup(&small(1), 1);
    let batch = rollouts(&learner, &mut collectors).remove(0);
    let json = serde_json::to_string(&(learner.snapshot(), &batch)).unwrap();
    let back: (rayline_rl::ppo::PolicySnapshot, RolloutBatch) = serde_json::from_str(&json).unwrap();
    assert_eq!(back, (learner.snapshot(), batch));
}
