//! Policies with memory: what only they can learn, and states that rollouts, learners and evaluation agree on.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::ops::ControlFlow;

use rayline_rl::env::{Actions, Env, EnvError, Space, Step, SyncVec, VecEnv, make_vec};
use rayline_rl::nn::{LstmState, LstmWorkspace, Workspace};
use rayline_rl::ppo::{
    Checkpoint, Collector, CollectorSeed, Minibatches, PpoConfig, PpoError, PpoLearner, RolloutBatch, Schedule,
    Trainer, evaluate, train,
};

/// Episodes of four steps. The first observation says `1` or `-1`, the others nothing; the last action is to say which
/// it was.
struct Recall {
    spaces: [Space; 2],
    sign: f32,
    time: u32,
    draws: u32,
    /// Whether episodes are cut short at their end in place of terminating.
    truncates: bool,
}

impl Recall {
    fn new(env: usize) -> Self {
        let spaces = [Space::uniform(-1.0, 1.0, 2), Space::Discrete { n: 2 }];
        Self { spaces, sign: 0.0, time: 0, draws: env as u32 * 1_000, truncates: false }
    }

    fn observe(&self, obs: &mut [f32]) {
        obs[0] = if self.time == 0 { self.sign } else { 0.0 };
        obs[1] = if self.time == 3 { 1.0 } else { 0.0 };
    }
}

impl Env for Recall {
    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }

    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }

    fn reset(&mut self, _: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        (self.draws, self.time) = (self.draws + 1, 0);
        self.sign = if (self.draws as f32 * 0.618_034).fract() < 0.5 { 1.0 } else { -1.0 };
        self.observe(obs);
        Ok(())
    }

    fn step(&mut self, action: Actions<'_>, obs: &mut [f32]) -> Result<Step, EnvError> {
        let is_right = action.choice(&self.spaces[1])? == u32::from(self.sign > 0.0);
        let is_last = self.time == 3;
        let reward = f64::from(u8::from(is_last && is_right));
        self.time += 1;
        self.observe(obs);
        Ok(Step { reward, terminated: is_last && !self.truncates, truncated: is_last && self.truncates })
    }
}

fn recall() -> Box<dyn VecEnv> {
    Box::new(SyncVec::from_fn(16, |env| Box::new(Recall::new(env))).unwrap())
}

fn config(lstm_units: Option<usize>) -> PpoConfig {
    PpoConfig {
        total_steps: 60_000,
        n_envs: 16,
        n_steps: 16,
        minibatches: Minibatches::Count(4),
        learning_rate: Schedule::LinearToZero(5e-3),
        hidden: vec![16],
        lstm_units,
        ..PpoConfig::cleanrl()
    }
}

/// Mean return of greedy episodes after training.
fn score(lstm_units: Option<usize>) -> f64 {
    let learner = train(&config(lstm_units), recall(), |_| ControlFlow::Continue(())).unwrap().learner;
    let ends = evaluate(learner.model(), &learner.snapshot().parameters, recall().as_mut(), 320, 0).unwrap();
    ends.iter().map(|end| end.total_reward).sum::<f64>() / ends.len() as f64
}

#[test]
fn only_a_memory_recalls_what_was_seen_at_first() {
    let (with, without) = (score(Some(16)), score(None));
    assert!(with > 0.98, "{with} with memory");
    assert!(without < 0.7, "{without} without memory: half is luck");
}

/// A learner and a collector on CartPole with episodes that end by termination and by truncation.
fn cartpole(config: &PpoConfig) -> (PpoLearner, Collector) {
    let envs = make_vec("CartPole-v1", 4).unwrap();
    let spec = config.model_spec(envs.observation_space(), envs.action_space());
    let seed = CollectorSeed { seed: 1, index: 0, first_env: 0 };
    let collector = Collector::from_config(config, envs, seed).unwrap();
    (PpoLearner::new(config.clone(), spec).unwrap(), collector)
}

#[test]
fn the_learner_makes_the_states_of_the_rollout_again() {
    let config = PpoConfig {
        n_envs: 4,
        n_steps: 40,
        epochs: 1,
        minibatches: Minibatches::Count(1),
        learning_rate: Schedule::Constant(0.02),
        lstm_units: Some(8),
        ..PpoConfig::cleanrl()
    };
    let (mut learner, mut collector) = cartpole(&config);
    for update in 0..4 {
        let batch = collector.collect(&learner.snapshot()).unwrap();
        assert!(batch.terminated.contains(&true), "some episode ends within the rollout");
        let is_new = batch.memory.as_ref().unwrap().hidden.iter().all(|x| *x == 0.0);
        assert_eq!(is_new, update == 0, "episodes go on over the end of a rollout");
        let stats = learner.update(&[batch]).unwrap();
        assert!(stats.approx_kl.abs() < 1e-6 && stats.clip_fraction == 0.0, "update {update}: {stats:?}");
    }
}

#[test]
fn values_of_what_follows_are_those_of_the_next_step() {
    let config = PpoConfig { n_envs: 4, n_steps: 8, lstm_units: Some(8), ..PpoConfig::cleanrl() };
    let (learner, mut collector) = cartpole(&PpoConfig { minibatches: Minibatches::Count(2), ..config });
    let snapshot = learner.snapshot();
    let batches: [RolloutBatch; 3] = std::array::from_fn(|_| collector.collect(&snapshot).unwrap());
    let mut rows = 0;
    for (batch, next) in batches.iter().zip(&batches[1..]) {
        let following = batch.values[4..].iter().chain(&next.values[..4]);
        for ((row, found), want) in batch.next_values.iter().enumerate().zip(following) {
            if batch.terminated[row] {
                assert_eq!(*found, 0.0);
            } else {
                assert!((found - want).abs() < 1e-5, "row {row}: {found} against {want}");
                rows += 1;
            }
        }
    }
    assert!(rows > 50);
}

#[test]
fn a_truncated_episode_s_final_observation_is_seen_with_its_memory() {
    let envs = SyncVec::from_fn(3, |env| Box::new(Recall { truncates: true, ..Recall::new(env) })).unwrap();
    let config = PpoConfig { n_envs: 3, n_steps: 6, ..config(Some(8)) };
    let spec = config.model_spec(envs.observation_space(), envs.action_space());
    let config = PpoConfig { minibatches: Minibatches::Count(1), ..config };
    let learner = PpoLearner::new(config.clone(), spec).unwrap();
    let (model, parameters) = (learner.model(), learner.snapshot().parameters);
    let seed = CollectorSeed { seed: 1, index: 0, first_env: 0 };
    let mut collector = Collector::from_config(&config, Box::new(envs), seed).unwrap();
    let batch = collector.collect(&learner.snapshot()).unwrap();
    for env in 0..3 {
        // Four steps, and the final observation, which says nothing.
        let mut obs: Vec<f32> = (0..4).flat_map(|step| batch.obs[(step * 3 + env) * 2..][..2].to_vec()).collect();
        obs.extend([0.0; 2]);
        let (mut state, mut workspace) = (LstmState::zeros(1, 8), LstmWorkspace::default());
        let features = model.remember(&parameters, (&obs, &[false; 5]), &mut state, &mut workspace);
        let values = model.values(&parameters, features, &mut Workspace::default()).to_vec();
        let row = 3 * 3 + env;
        assert!(batch.truncated[row] && !batch.terminated[row]);
        assert!((batch.next_values[row] - values[4]).abs() < 1e-5, "{} against {}", batch.next_values[row], values[4]);
        assert!((batch.values[row] - values[3]).abs() < 1e-5);
    }
}

#[test]
fn checkpoints_keep_the_memory_s_parameters_and_runs_repeat_with_learners_and_lag() {
    let config = PpoConfig { total_steps: 4_000, seed: 2, n_envs: 8, max_lag: 1, lstm_units: Some(8), ..config(None) };
    let run = || {
        let mut trainer = Trainer::new("CartPole-v1", config.clone(), 4).unwrap().with_learners(2).unwrap();
        trainer.run(|_| ControlFlow::Continue(())).unwrap();
        let own = trainer.learner().snapshot().parameters.to_vec();
        assert_eq!(trainer.replica_parameters().unwrap(), [own]);
        trainer.learner().checkpoint()
    };
    let checkpoint = run();
    assert_eq!(checkpoint, run());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory");
    checkpoint.save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded, checkpoint);
    assert_eq!(loaded.model_spec().lstm_units, Some(8));
    assert!(Trainer::resume("CartPole-v1", loaded, 4).is_ok());
}

#[test]
fn rollouts_without_the_memory_are_refused() {
    let config = PpoConfig { n_envs: 4, n_steps: 8, lstm_units: Some(8), ..PpoConfig::cleanrl() };
    let (mut learner, mut collector) = cartpole(&config);
    let mut batch = collector.collect(&learner.snapshot()).unwrap();
    let restored: RolloutBatch = serde_json::from_str(&serde_json::to_string(&batch).unwrap()).unwrap();
    assert_eq!(restored, batch);
    batch.memory.as_mut().unwrap().cell.pop();
    let error = learner.update(std::slice::from_ref(&batch)).unwrap_err();
    assert!(error.to_string().starts_with("memories of the batch don't fit the model"), "{error}");
    batch.memory = None;
    assert!(matches!(learner.update(&[batch]), Err(PpoError::Mismatch { .. })));
}
