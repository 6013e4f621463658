//! Policies of every kind learn what they can express: masked choices, several choices at once, squashed values, and
//! deviations by state.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::ops::ControlFlow;

use rayline_rl::env::{Actions, Env, EnvError, Space, Step, SyncVec, VecEnv};
use rayline_rl::nn::{ActionHead, StdSource};
use rayline_rl::ppo::{
    Checkpoint, Collector, CollectorSeed, Minibatches, PpoConfig, PpoError, PpoLearner, Schedule, Trained, evaluate,
    train,
};

/// One-step episodes. The observation is a number `x` in [-1, 1]; two choices are to be made, and the best allowed one
/// of the first depends on `x`. What is forbidden is an error, so that only masks make it playable.
struct Masked {
    spaces: [Space; 2],
    x: f32,
    draws: u32,
    allows_nothing: bool,
}

impl Masked {
    fn new(env: usize) -> Self {
        let spaces = [Space::uniform(-1.0, 1.0, 1), Space::MultiDiscrete { nvec: vec![3, 2] }];
        Self { spaces, x: 0.0, draws: env as u32 * 1_000, allows_nothing: false }
    }

    /// The first component's choice 2 is always forbidden, its choice 0 where `x` is above 0.5.
    fn is_allowed(&self, choice: usize) -> bool {
        choice == 1 || choice == 0 && self.x <= 0.5
    }
}

impl Env for Masked {
    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }

    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }

    fn reset(&mut self, _: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.draws += 1;
        self.x = (self.draws as f32 * 0.618_034).fract() * 2.0 - 1.0;
        obs[0] = self.x;
        Ok(())
    }

    fn step(&mut self, action: Actions<'_>, obs: &mut [f32]) -> Result<Step, EnvError> {
        let choices = action.choices(&self.spaces[1])?;
        if !self.is_allowed(choices[0] as usize) {
            return Err(EnvError::Failed { env: 0, source: "that is forbidden".into() });
        }
        let best = [u32::from(self.x > 0.0), u32::from(self.x < 0.0)];
        let reward = f64::from(u8::from(choices[0] == best[0]) + u8::from(choices[1] == best[1]));
        obs[0] = self.x;
        Ok(Step { reward, terminated: true, truncated: false })
    }

    fn has_action_mask(&self) -> bool {
        true
    }

    fn action_mask(&self, mask: &mut [bool]) {
        let first = (0..3).map(|choice| self.is_allowed(choice) && !self.allows_nothing);
        mask.iter_mut().zip(first.chain([true, true])).for_each(|(flag, allowed)| *flag = allowed);
    }
}

fn masked(envs: usize) -> Box<dyn VecEnv> {
    Box::new(SyncVec::from_fn(envs, |env| Box::new(Masked::new(env))).unwrap())
}

fn config(total_steps: u64) -> PpoConfig {
    PpoConfig {
        total_steps,
        n_envs: 16,
        n_steps: 32,
        minibatches: Minibatches::Rows(64),
        epochs: 5,
        learning_rate: Schedule::LinearToZero(3e-3),
        entropy_coef: 0.0,
        hidden: vec![16, 16],
        ..PpoConfig::cleanrl()
    }
}

fn trained(config: &PpoConfig, envs: Box<dyn VecEnv>) -> Trained {
    train(config, envs, |_| ControlFlow::Continue(())).unwrap()
}

/// Mean return of greedy episodes.
fn greedy(learner: &PpoLearner, envs: &mut dyn VecEnv) -> f64 {
    let ends = evaluate(learner.model(), &learner.snapshot().parameters, envs, 320, 0).unwrap();
    ends.iter().map(|end| end.total_reward).sum::<f64>() / ends.len() as f64
}

#[test]
fn choices_under_masks_are_learned_and_never_broken() {
    let trained = trained(&PpoConfig { entropy_coef: 0.01, ..config(30_000) }, masked(16));
    let score = greedy(&trained.learner, masked(16).as_mut());
    assert!(score > 1.9, "{score} of 2");
}

#[test]
fn rollouts_keep_the_masks_and_learners_refuse_what_breaks_them() {
    let config = config(1_000);
    let envs = masked(4);
    let spec = config.model_spec(envs.observation_space(), envs.action_space());
    let mut learner = PpoLearner::new(config, spec.clone()).unwrap();
    let seed = CollectorSeed { seed: 1, index: 0, first_env: 0 };
    let mut collector = Collector::new(spec, envs, 8, seed).unwrap();
    let mut batch = collector.collect(&learner.snapshot()).unwrap();
    for (obs, mask) in batch.obs.iter().zip(batch.masks.chunks_exact(5)) {
        assert_eq!(mask, [*obs <= 0.5, true, false, true, true], "at {obs}");
    }
    let restored = serde_json::from_str(&serde_json::to_string(&batch).unwrap()).unwrap();
    assert_eq!(batch, restored);
    learner.update(std::slice::from_ref(&batch)).unwrap();
    batch.masks.fill(false);
    let error = learner.update(std::slice::from_ref(&batch)).unwrap_err().to_string();
    assert!(error.starts_with("masks of the batch don't fit the model: expected the choices done"), "{error}");
    batch.masks.truncate(3);
    let error = learner.update(std::slice::from_ref(&batch)).unwrap_err().to_string();
    assert!(error.contains("expected 160 flags, found 3"), "{error}");
}

#[test]
fn a_mask_that_allows_nothing_is_an_error_that_says_where() {
    let envs = SyncVec::from_fn(3, |env| Box::new(Masked { allows_nothing: env == 2, ..Masked::new(env) })).unwrap();
    let config = PpoConfig { n_envs: 3, ..config(1_000) };
    let error = train(&config, Box::new(envs), |_| ControlFlow::Continue(())).unwrap_err();
    let PpoError::Env(EnvError::NothingAllowed { env: 2, component: 0 }) = error else { panic!("{error}") };
}

/// One-step episodes: the observation is `x` in [-1, 1]. Where it is below 0, the reward is minus the square of the
/// distance of the action from `0.8 x`; else it is 0 whatever is done.
struct Reach {
    spaces: [Space; 2],
    x: f32,
    draws: u32,
}

impl Reach {
    fn new(env: usize, bound: f32) -> Self {
        let spaces = [Space::uniform(-1.0, 1.0, 1), Space::uniform(-bound, bound, 1)];
        Self { spaces, x: 0.0, draws: env as u32 * 1_000 }
    }
}

impl Env for Reach {
    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }

    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }

    fn reset(&mut self, _: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.draws += 1;
        self.x = (self.draws as f32 * 0.618_034).fract() * 2.0 - 1.0;
        obs[0] = self.x;
        Ok(())
    }

    fn step(&mut self, action: Actions<'_>, obs: &mut [f32]) -> Result<Step, EnvError> {
        let action = action.value(&self.spaces[1])?;
        if !self.spaces[1].contains(&[action][..]) {
            return Err(EnvError::Failed { env: 0, source: "out of bounds".into() });
        }
        let reward = if self.x < 0.0 { -f64::from(action - 0.8 * self.x).powi(2) } else { 0.0 };
        obs[0] = self.x;
        Ok(Step { reward, terminated: true, truncated: false })
    }
}

fn reach(bound: f32) -> Box<dyn VecEnv> {
    Box::new(SyncVec::from_fn(16, |env| Box::new(Reach::new(env, bound))).unwrap())
}

#[test]
fn squashed_values_stay_in_bounds_and_reach_the_target() {
    let config = PpoConfig { squash: true, initial_log_std: -0.5, ..config(40_000) };
    let trained = trained(&config, reach(1.0));
    let score = greedy(&trained.learner, reach(1.0).as_mut());
    assert!(score > -0.005, "{score}; standing still earns -0.1");
}

#[test]
fn a_deviation_by_state_narrows_only_where_it_pays() {
    let config = PpoConfig { std: StdSource::State, entropy_coef: 0.003, squash: true, ..config(40_000) };
    let learner = trained(&config, reach(1.0)).learner;
    let snapshot = learner.snapshot();
    let log_std = |x: f32| {
        let mut workspace = rayline_rl::nn::Workspace::default();
        let parameters = &snapshot.parameters[learner.model().policy_range()];
        learner.model().policy().forward(parameters, &[x], &mut workspace)[1]
    };
    assert!(log_std(-0.8) < log_std(0.8) - 0.5, "{} and {}", log_std(-0.8), log_std(0.8));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("squashed");
    learner.checkpoint().save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded, learner.checkpoint());
    assert!(matches!(&loaded.model_spec().head, ActionHead::Diagonal(head) if head.std == StdSource::State));
}

#[test]
fn a_squash_needs_finite_bounds() {
    let config = PpoConfig { squash: true, ..config(1_000) };
    let refused = train(&config, reach(f32::INFINITY), |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(refused, PpoError::Config { field: "squash", .. }), "{refused}");
}
