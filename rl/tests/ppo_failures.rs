//! What can't be trained is told early, and what goes wrong can be looked at.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use rayline_rl::env::{Actions, EnvError, Space, StepOut, VecEnv, make_vec, register};
use rayline_rl::es::{EsConfig, EsTrainer};
use rayline_rl::ppo::{FailedUpdate, PpoConfig, PpoError, Trainer};

/// CartPole whose reward is no number from some step on, or that says to have other spaces.
struct Odd {
    envs: Box<dyn VecEnv>,
    steps_left: u32,
    observation: Space,
}

impl Odd {
    fn boxed(envs: usize, steps_left: u32, observation: Option<Space>) -> Result<Box<dyn VecEnv>, EnvError> {
        let envs = make_vec("CartPole-v1", envs)?;
        let observation = observation.unwrap_or_else(|| envs.observation_space().clone());
        Ok(Box::new(Self { envs, steps_left, observation }))
    }
}

impl VecEnv for Odd {
    fn env_count(&self) -> usize {
        self.envs.env_count()
    }

    fn observation_space(&self) -> &Space {
        &self.observation
    }

    fn action_space(&self) -> &Space {
        self.envs.action_space()
    }

    fn reset_from(&mut self, seed: u64, first: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.envs.reset_from(seed, first, obs)
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.envs.restart(env, obs)
    }

    fn step(&mut self, actions: Actions<'_>, mut out: StepOut<'_>) -> Result<(), EnvError> {
        self.envs.step(actions, out.reborrow())?;
        self.steps_left = self.steps_left.saturating_sub(1);
        if self.steps_left == 0 {
            out.rewards[0] = f32::NAN;
        }
        Ok(())
    }
}

fn config() -> PpoConfig {
    PpoConfig { total_steps: 5_000, ..PpoConfig::cartpole() }
}

#[test]
fn a_loss_that_is_no_number_names_the_step_and_its_batch_can_be_loaded_and_tried_again() {
    register("Odd-reward", |envs| Odd::boxed(envs, 70, None)).unwrap();
    let mut trainer = Trainer::new("Odd-reward", config(), 2).unwrap();
    for _ in 0..2 {
        trainer.step().unwrap();
        assert_eq!(trainer.failed_update(), None);
    }
    let error = trainer.step().unwrap_err();
    let PpoError::NotFinite { update, env_steps, value, .. } = error else { panic!("{error}") };
    assert_eq!((update, env_steps, value.is_finite()), (2, 512, false));
    let folder = tempfile::tempdir().unwrap();
    trainer.failed_update().unwrap().save(&folder.path().join("failed")).unwrap();
    let failed = FailedUpdate::load(&folder.path().join("failed")).unwrap();
    assert_eq!(failed.rollouts.len(), 2);
    // The third batch of 32 steps; from its sixth on, each simulator's first environment earns what is no number.
    let bad = failed.rollouts[0].rewards.iter().position(|reward| reward.is_nan());
    assert_eq!(bad, Some(5 * failed.rollouts[0].envs));
    let again = failed.replay().unwrap_err();
    assert!(matches!(again, PpoError::NotFinite { update: 2, env_steps: 512, .. }), "{again}");
    let mut mended = failed.clone();
    for rollout in &mut mended.rollouts {
        rollout.rewards.iter_mut().filter(|reward| reward.is_nan()).for_each(|reward| *reward = 1.0);
    }
    mended.replay().unwrap();
}

#[test]
fn environments_that_do_not_fit_are_refused_before_training_with_both_shapes() {
    let checkpoint = Trainer::new("CartPole-v1", config(), 1).unwrap().learner().checkpoint();
    let said = Trainer::resume("Acrobot-v1", checkpoint, 1).err().unwrap().to_string();
    assert!(said.contains("expected width 4") && said.contains("(6,)"), "{said}");
    let checkpoint = EsTrainer::new("CartPole-v1", EsConfig::cartpole(), 1).unwrap().learner().checkpoint();
    let said = EsTrainer::resume("Acrobot-v1", checkpoint, 1).err().unwrap().to_string();
    assert!(said.contains("expected width 4") && said.contains("(6,)"), "{said}");
    register("Odd-choice", |envs| Odd::boxed(envs, u32::MAX, Some(Space::Discrete { n: 4 }))).unwrap();
    for said in [
        Trainer::new("Odd-choice", config(), 1).err().unwrap().to_string(),
        EsTrainer::new("Odd-choice", EsConfig::cartpole(), 1).err().unwrap().to_string(),
    ] {
        assert!(said.contains("FlattenObs") && said.contains("Discrete(4)"), "{said}");
    }
}
