//! Several learners: the same weights on all, the same as one learner where that can be, and what happens when one dies.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::ops::ControlFlow;

use rayline_rl::ppo::{Checkpoint, Minibatches, PpoConfig, PpoError, Trainer};

fn config(total_steps: u64) -> PpoConfig {
    PpoConfig { total_steps, seed: 7, ..PpoConfig::cartpole() }
}

fn trainer(config: PpoConfig, simulators: usize, learners: usize) -> Trainer {
    Trainer::new("CartPole-v1", config, simulators).unwrap().with_learners(learners).unwrap()
}

/// Parameters after some updates, which all learners agree on after each.
fn parameters(config: PpoConfig, simulators: usize, learners: usize, updates: usize) -> Vec<f32> {
    let mut trainer = trainer(config, simulators, learners);
    for _ in 0..updates {
        trainer.step().unwrap();
        let own = trainer.learner().snapshot().parameters;
        let others = trainer.replica_parameters().unwrap();
        assert_eq!(others.len(), learners - 1);
        assert!(others.iter().all(|other| **other == *own), "learners disagree");
    }
    trainer.learner().snapshot().parameters.to_vec()
}

#[test]
fn all_learners_have_the_same_weights_and_runs_repeat() {
    let normalized = |config: PpoConfig| PpoConfig { normalize_obs: true, normalize_reward: true, ..config };
    for learners in [1, 2, 4] {
        let run = || parameters(normalized(config(10_000)), 4, learners, 4);
        assert_eq!(run(), run(), "{learners} learners");
    }
    let stopped = PpoConfig { target_kl: Some(0.001), ..config(10_000) };
    parameters(stopped, 2, 2, 4);
    let behind = PpoConfig { max_lag: 1, ..config(10_000) };
    parameters(behind, 2, 2, 4);
}

#[test]
fn where_shares_don_t_matter_several_learners_do_what_one_does() {
    let whole = PpoConfig {
        minibatches: Minibatches::Count(1),
        normalize_advantage: false,
        epochs: 3,
        normalize_obs: true,
        ..config(10_000)
    };
    let [one, two, four] = [1, 2, 4].map(|learners| parameters(whole.clone(), 4, learners, 1));
    let moved = parameters(whole, 4, 1, 2);
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let step = distance(&one, &moved);
    for others in [two, four] {
        assert!(distance(&one, &others) < 0.02 * step, "{} against {step}", distance(&one, &others));
    }
}

#[test]
fn two_learners_learn_cart_pole() {
    let mut trainer = trainer(config(100_000), 2, 2);
    let mut best: f64 = 0.0;
    let done = trainer.run(|progress| {
        best = best.max(progress.episodes.mean_return().unwrap_or(0.0));
        if best >= 475.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    done.unwrap();
    assert!(best >= 475.0, "a mean of {best} after {} steps", trainer.learner().env_steps());
    assert_eq!(trainer.replica_parameters().unwrap()[0][..], *trainer.learner().snapshot().parameters);
}

#[test]
fn a_dead_learner_is_an_error_and_the_run_goes_on_with_another() {
    let mut trainer = trainer(PpoConfig { n_envs: 9, ..config(100_000) }, 3, 3);
    trainer.step().unwrap();
    trainer.replicas()[1].kill();
    let error = trainer.step().unwrap_err();
    assert!(matches!(error, PpoError::Learner { rank: 2, .. }), "{error:?}");
    let stats = trainer.step().unwrap();
    assert_eq!((stats.rows, trainer.learner().updates()), (9 * 32, 2));
    let own = trainer.learner().snapshot().parameters;
    assert!(trainer.replica_parameters().unwrap().iter().all(|other| **other == *own));
}

#[test]
fn a_checkpoint_goes_on_with_another_number_of_learners() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two");
    let mut two = trainer(config(10_000), 2, 2);
    two.step().unwrap();
    two.learner().checkpoint().save(&path).unwrap();
    let one = Trainer::resume("CartPole-v1", Checkpoint::load(&path).unwrap(), 4).unwrap();
    let mut four = one.with_learners(4).unwrap();
    four.step().unwrap();
    assert_eq!((four.learner().updates(), four.learner().env_steps()), (2, 512));
}

#[test]
fn learners_that_can_t_have_equal_shares_are_refused() {
    for (simulators, learners) in [(2, 0), (2, 3), (3, 3)] {
        let refused = Trainer::new("CartPole-v1", config(1_000), simulators).unwrap().with_learners(learners);
        assert!(matches!(refused, Err(PpoError::Config { field: "learners", .. })), "{simulators} and {learners}");
    }
}
