//! Normalised observations and rewards: what is counted, what is learned, what checkpoints keep.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::ops::ControlFlow;

use rayline_rl::env::{Actions, Env, EnvError, Space, Step, SyncVec, VecEnv, make_vec};
use rayline_rl::nn::{Activation, ActorCritic};
use rayline_rl::ppo::{
    Checkpoint, Collector, CollectorSeed, Minibatches, PpoConfig, PpoLearner, RolloutBatch, Schedule, evaluate,
    evaluate_snapshot, train,
};

/// One-step episodes of awkward sizes: the observation is `5000 + 10 x` of a number `x` in [-1, 1], the reward
/// `-10000 (action - x)^2`.
struct Awkward {
    spaces: [Space; 2],
    x: f32,
    draws: u32,
}

impl Env for Awkward {
    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }

    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }

    fn reset(&mut self, _: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.draws += 1;
        self.x = (self.draws as f32 * 0.618_034).fract() * 2.0 - 1.0;
        obs[0] = 5_000.0 + 10.0 * self.x;
        Ok(())
    }

    fn step(&mut self, action: Actions<'_>, obs: &mut [f32]) -> Result<Step, EnvError> {
        let action = action.value(&self.spaces[1])?;
        obs[0] = 5_000.0 + 10.0 * self.x;
        Ok(Step { reward: -10_000.0 * f64::from(action - self.x).powi(2), terminated: true, truncated: false })
    }
}

fn awkward() -> Box<dyn VecEnv> {
    let spaces = || [Space::uniform(0.0, 1e4, 1), Space::uniform(-2.0, 2.0, 1)];
    let env =
        |env: usize| -> Box<dyn Env> { Box::new(Awkward { spaces: spaces(), x: 0.0, draws: env as u32 * 1_000 }) };
    Box::new(SyncVec::from_fn(16, env).unwrap())
}

fn config(normalizes: bool) -> PpoConfig {
    PpoConfig {
        total_steps: 40_000,
        n_envs: 16,
        n_steps: 32,
        minibatches: Minibatches::Rows(64),
        epochs: 5,
        learning_rate: Schedule::LinearToZero(3e-3),
        entropy_coef: 0.0,
        hidden: vec![16, 16],
        activation: Activation::Tanh,
        normalize_obs: normalizes,
        normalize_reward: normalizes,
        ..PpoConfig::cleanrl()
    }
}

/// The learner after a run, and the mean return of greedy episodes.
fn trained(config: &PpoConfig) -> (PpoLearner, f64) {
    let learner = train(config, awkward(), |_| ControlFlow::Continue(())).unwrap().learner;
    let ends = evaluate_snapshot(learner.model(), &learner.snapshot(), awkward().as_mut(), 320, 0).unwrap();
    let mean = ends.iter().map(|end| end.total_reward).sum::<f64>() / ends.len() as f64;
    (learner, mean)
}

#[test]
fn awkward_sizes_are_learned_where_they_are_normalised() {
    let (learner, with) = trained(&config(true));
    let (_, without) = trained(&config(false));
    assert!(with > -100.0 && without < -1_000.0, "{with} and {without}; standing still earns -3333");
    let obs = learner.seen().obs.as_ref().unwrap();
    // The first guess, mean 0 with the weight of a ten-thousandth of an observation, is all that is off.
    assert!((obs.mean()[0] - 5_000.0).abs() < 0.5 && (obs.variance()[0].sqrt() - 5.77).abs() < 0.1, "{obs:?}");
    let raw = evaluate(learner.model(), &learner.snapshot().parameters, awkward().as_mut(), 320, 0).unwrap();
    assert!(raw.iter().map(|end| end.total_reward).sum::<f64>() / 320.0 < 5.0 * with, "the scaling is part of it");
}

/// A learner on CartPole that normalises, after `updates` updates, and the next batches.
fn cartpole(updates: usize) -> (PpoLearner, Vec<RolloutBatch>) {
    let config = PpoConfig {
        n_envs: 2,
        n_steps: 16,
        hidden: vec![8],
        normalize_obs: true,
        normalize_reward: true,
        ..PpoConfig::cleanrl()
    };
    let envs = make_vec("CartPole-v1", 2).unwrap();
    let spec = config.model_spec(envs.observation_space(), envs.action_space());
    let mut learner = PpoLearner::new(config.clone(), spec).unwrap();
    let seed = CollectorSeed { seed: 1, index: 0, first_env: 0 };
    let mut collector = Collector::from_config(&config, envs, seed).unwrap();
    for _ in 0..updates {
        let batch = collector.collect(&learner.snapshot()).unwrap();
        learner.update(&[batch]).unwrap();
    }
    let snapshot = learner.snapshot();
    (learner, (0..2).map(|_| collector.collect(&snapshot).unwrap()).collect())
}

#[test]
fn rollouts_are_seen_as_scaled_and_counted_as_they_were() {
    let (learner, batches) = cartpole(3);
    let scaling = learner.snapshot().scaling.unwrap();
    let stats = batches[0].seen.obs.as_ref().unwrap();
    assert!((stats.count() - 32.0).abs() < 1e-3);
    // Rows from the second step on, and the first of the next batch, undone: what the first batch has counted.
    let counted = batches[0].obs[8..].iter().chain(&batches[1].obs[..8]);
    let raw = |at: usize, x: f32| x / scaling.scale[at % 4] + scaling.mean[at % 4];
    let raw: Vec<f32> = counted.enumerate().map(|(at, x)| raw(at, *x)).collect();
    for column in 0..4 {
        let mean = raw.iter().skip(column).step_by(4).sum::<f32>() / 32.0;
        assert!((f64::from(mean) - stats.mean()[column]).abs() < 1e-3, "column {column}");
    }
    assert!(batches[0].rewards.iter().all(|reward| *reward == 1.0), "rewards are scaled by the learner");
    assert!(batches[0].seen.returns.as_ref().unwrap().mean()[0] > 1.0);
}

#[test]
fn checkpoints_keep_the_statistics_and_training_goes_on_to_the_bit() {
    let (mut stayed, batches) = cartpole(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("normalised");
    stayed.checkpoint().save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded.snapshot(), stayed.snapshot());
    let mut resumed = PpoLearner::from_checkpoint(loaded).unwrap();
    for batch in &batches {
        let batch = std::slice::from_ref(batch);
        assert_eq!(stayed.update(batch).unwrap(), resumed.update(batch).unwrap());
    }
    assert_eq!((stayed.snapshot(), stayed.seen()), (resumed.snapshot(), resumed.seen()));
    let model = ActorCritic::new(resumed.model().spec().clone());
    let before = resumed.snapshot();
    evaluate_snapshot(&model, &before, make_vec("CartPole-v1", 2).unwrap().as_mut(), 4, 1).unwrap();
    assert_eq!(resumed.snapshot(), before, "evaluation changes no statistics");
}

#[test]
fn scaling_may_be_switched_on_when_a_run_goes_on() {
    let (learner, _) = cartpole(1);
    let mut checkpoint = learner.checkpoint();
    checkpoint.config_mut().normalize_obs = false;
    let without = PpoLearner::from_checkpoint(checkpoint).unwrap();
    assert_eq!((without.snapshot().scaling, &without.seen().obs), (None, &None));
    assert!(without.seen().returns.is_some());
    let mut checkpoint = without.checkpoint();
    checkpoint.config_mut().normalize_obs = true;
    assert!(PpoLearner::from_checkpoint(checkpoint).unwrap().snapshot().scaling.is_some());
}
