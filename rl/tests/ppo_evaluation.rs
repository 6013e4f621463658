//! Evaluation beside training, and callbacks.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::ops::ControlFlow;

use rayline_rl::env::{EnvError, make_vec, register};
use rayline_rl::ppo::{
    Callback, Checkpoint, EvaluationPlan, PpoConfig, PpoError, Progress, SaveBest, SaveEvery, StopAtReturn, Trainer,
};

const PLAN: EvaluationPlan = EvaluationPlan { every: 5, episodes: 8, envs: 4 };

fn trainer(total_steps: u64) -> Trainer {
    Trainer::new("CartPole-v1", PpoConfig { total_steps, seed: 11, ..PpoConfig::cartpole() }, 2).unwrap()
}

#[test]
fn evaluations_come_in_beside_training_and_change_nothing_of_it() {
    let mut plain = trainer(20_000);
    plain.run(|_| ControlFlow::Continue(())).unwrap();
    let mut evaluated = trainer(20_000).with_evaluation(PLAN).unwrap();
    let mut evaluations = Vec::new();
    let done = evaluated.run(|progress| {
        evaluations.extend(progress.evaluation.cloned());
        ControlFlow::Continue(())
    });
    done.unwrap();
    evaluations.extend(evaluated.finish_evaluation());
    assert_eq!(plain.learner().snapshot(), evaluated.learner().snapshot());
    let due = evaluated.learner().updates() / 5;
    assert_eq!(evaluations.len() as u64 + evaluated.evaluations_passed_over(), due, "each is made or passed over");
    assert!(!evaluations.is_empty() && evaluated.finish_evaluation().is_none());
    for evaluation in &evaluations {
        assert_eq!((evaluation.version % 5, evaluation.episodes.len()), (0, 8));
        assert_eq!(evaluation.env_steps, evaluation.version * 256);
        assert!(evaluation.mean_return().unwrap() > 5.0);
    }
    assert!(evaluations.windows(2).all(|pair| pair[0].version < pair[1].version));
}

#[test]
fn a_plan_without_episodes_is_refused() {
    let error = trainer(1_000).with_evaluation(EvaluationPlan { episodes: 0, ..PLAN }).err().unwrap();
    assert!(matches!(error, PpoError::Config { field: "episodes", .. }), "{error}");
}

#[test]
fn a_failing_evaluator_does_not_stop_training() {
    // Only the evaluator asks for seven environments at once.
    register("CartPole-no-seven", |envs| if envs == 7 { Err(EnvError::Empty) } else { make_vec("CartPole-v1", envs) })
        .unwrap();
    let config = PpoConfig { total_steps: 8_000, ..PpoConfig::cartpole() };
    let mut trainer = Trainer::new("CartPole-no-seven", config, 2).unwrap();
    trainer = trainer.with_evaluation(EvaluationPlan { envs: 7, ..PLAN }).unwrap();
    let mut evaluations = 0;
    let done = trainer.run(|progress| {
        evaluations += usize::from(progress.evaluation.is_some());
        ControlFlow::Continue(())
    });
    done.unwrap();
    assert_eq!((evaluations, trainer.finish_evaluation()), (0, None));
    assert!(trainer.is_done());
}

#[test]
fn callbacks_stop_and_save() {
    let folder = tempfile::tempdir().unwrap();
    let [best, last] = ["best", "last"].map(|name| folder.path().join(name));
    let (mut stop, mut save_best) = (StopAtReturn(60.0), SaveBest::new(&best));
    let (mut save, mut seen) = (SaveEvery { updates: 1, path: last.clone() }, 0);
    let mut trainer = trainer(100_000);
    let mut count = |_: &Progress<'_>| {
        seen += 1;
        ControlFlow::Continue(())
    };
    trainer.run_with(&mut [&mut stop, &mut save_best, &mut save, &mut count]).unwrap();
    assert!(trainer.episodes().mean_return().unwrap() >= 60.0 && trainer.learner().env_steps() < 50_000);
    assert_eq!(seen, trainer.learner().updates(), "a break lets the others see the last update");
    assert_eq!(Checkpoint::load(&last).unwrap(), trainer.learner().checkpoint());
    assert!(save_best.best().unwrap() >= 60.0 && Checkpoint::load(&best).unwrap().updates() <= seen);
}

#[test]
fn a_callback_that_fails_ends_the_run_with_its_error() {
    struct Fails;
    impl Callback for Fails {
        fn on_update(&mut self, _: &Progress<'_>) -> Result<ControlFlow<()>, PpoError> {
            Checkpoint::load("no such checkpoint").map(|_| ControlFlow::Continue(()))
        }
    }
    let mut trainer = trainer(10_000);
    let error = trainer.run_with(&mut [&mut Fails]).unwrap_err();
    assert!(matches!(error, PpoError::CheckpointIo { .. }));
    assert_eq!(trainer.learner().updates(), 1);
}
