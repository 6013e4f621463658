//! Evolution strategies on evaluator actors: reproducible for any number of them, resumable, and unharmed by those that
//! fail or are late.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rayline_rl::CheckpointError;
use rayline_rl::env::{Actions, EnvError, Episode, Space, StepOut, VecEnv, make_vec, register};
use rayline_rl::es::{
    EsCheckpoint, EsConfig, EsError, EsLearner, EsStats, EsTrainer, Harvest, PairRange, PairRunner, noise_table,
};

/// Small, but with all that there is: statistics of observations, noise on actions, a last call that is not full.
fn config() -> EsConfig {
    EsConfig { seed: 5, pairs: 10, pairs_per_call: 4, episode_steps_max: Some(60), ..EsConfig::pendulum() }
}

fn steps(trainer: &mut EsTrainer, rounds: usize) -> Vec<EsStats> {
    (0..rounds).map(|_| trainer.step().unwrap()).collect()
}

#[test]
fn a_run_is_the_same_for_any_number_of_evaluators_even_if_it_changes() {
    let run = |evaluators: [usize; 3]| {
        let mut trainer = EsTrainer::new("Pendulum-v1", config(), evaluators[0]).unwrap();
        let mut all = Vec::new();
        for count in evaluators {
            trainer.set_evaluators(count).unwrap();
            assert_eq!(trainer.evaluators().len(), count);
            all.extend(steps(&mut trainer, 2));
        }
        (trainer.learner().parameters().to_vec(), all, trainer.evaluate().unwrap())
    };
    let one = run([1, 1, 1]);
    assert_eq!(one, run([3, 3, 3]));
    assert_eq!(one, run([1, 5, 2]));
    assert!(one.1.iter().all(|stats| stats.lost_pairs == 0 && stats.env_steps == 10 * 2 * 60), "{:?}", one.1);
}

#[test]
fn a_run_on_the_engine_is_that_of_a_plain_loop() {
    let mut trainer = EsTrainer::new("Pendulum-v1", config(), 2).unwrap();
    let engine = steps(&mut trainer, 3);
    let envs = make_vec("Pendulum-v1", 4).unwrap();
    let spec = config().policy_spec(envs.observation_space(), envs.action_space());
    let mut learner = EsLearner::new(config(), spec.clone()).unwrap();
    let mut runner = PairRunner::new(config(), spec, envs).unwrap();
    let noise = noise_table(5, config().noise_len);
    for stats in engine {
        let mut harvest = Harvest::default();
        for (first, count) in [(0, 4), (4, 4), (8, 2)] {
            let part = runner.run(noise.data(), &learner.policy(), PairRange { first, count }, &|| false).unwrap();
            harvest.join(&part);
        }
        let gradient = learner.directions(&harvest).unwrap().sum(noise.data());
        assert_eq!(learner.update(&harvest, &gradient).unwrap(), stats);
    }
    assert_eq!(learner.parameters(), trainer.learner().parameters());
    assert!(learner.obs_stats().count() > 100.0, "a quarter of the pairs is observed");
}

#[test]
fn a_resumed_run_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let mut first = EsTrainer::new("Pendulum-v1", config(), 2).unwrap();
    steps(&mut first, 3);
    first.learner().checkpoint().save(&path).unwrap();
    let loaded = EsCheckpoint::load(&path).unwrap();
    assert_eq!(loaded, first.learner().checkpoint());
    assert_eq!(loaded.policy().unwrap(), first.learner().policy());
    let mut second = EsTrainer::resume("Pendulum-v1", loaded, 3).unwrap();
    assert_eq!(steps(&mut second, 3), steps(&mut first, 3));
    assert_eq!(second.learner().checkpoint(), first.learner().checkpoint());
}

#[test]
fn damaged_checkpoints_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.safetensors");
    let refusal = || match EsCheckpoint::load(&path).unwrap_err() {
        EsError::Checkpoint(error) => error,
        other => panic!("{other}"),
    };
    assert!(matches!(refusal(), CheckpointError::Io { action: "reading", .. }));
    std::fs::write(&path, b"nothing of the kind").unwrap();
    assert!(matches!(refusal(), CheckpointError::Invalid { .. }));
    let trainer = EsTrainer::new("Pendulum-v1", config(), 1).unwrap();
    trainer.learner().checkpoint().save(&path).unwrap();
    let sound = std::fs::read(&path).unwrap();
    let changed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len(), "the header says how long it is");
        let at = sound.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut bytes = sound.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, bytes).unwrap();
    };
    changed("rayline-es", "rayline-os");
    assert!(refusal().to_string().contains("rayline-es"), "{}", refusal());
    changed("\"version\":\"1\"", "\"version\":\"7\"");
    assert!(matches!(refusal(), CheckpointError::Version { expected: 1, .. }));
    changed("\"policy.0.bias\"", "\"policy.0.bios\"");
    assert!(matches!(refusal(), CheckpointError::Tensor { tensor, .. } if tensor == "policy.0.bias"));
}

/// Kills an evaluator, and waits until it takes no more calls.
fn kill(trainer: &EsTrainer, place: usize) {
    let evaluator = &trainer.evaluators()[place];
    evaluator.kill();
    let begin = Instant::now();
    while evaluator.play(trainer.learner().policy(), PairRange { first: 0, count: 1 }).get().is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(10), "it goes on after it was killed");
    }
}

#[test]
fn a_killed_evaluator_costs_its_samples_and_is_replaced() {
    let config = EsConfig { pairs: 12, ..config() };
    let mut trainer = EsTrainer::new("Pendulum-v1", config, 3).unwrap();
    steps(&mut trainer, 1);
    let killed = trainer.evaluators()[1].clone();
    kill(&trainer, 1);
    let stats = steps(&mut trainer, 1)[0];
    assert_eq!((stats.pairs, stats.lost_pairs), (8, 4), "one of three calls of four pairs");
    assert_ne!(trainer.evaluators()[1].id(), killed.id());
    assert_eq!(steps(&mut trainer, 1)[0].lost_pairs, 0);
    (0..3).for_each(|place| kill(&trainer, place));
    let error = trainer.step().unwrap_err();
    assert!(matches!(error, EsError::NoSamples { round: 3, calls: 3, failed: 3, late: 0, source: Some(_) }), "{error}");
    assert_eq!(steps(&mut trainer, 1)[0].round, 4, "the run goes on once there are evaluators again");
}

#[test]
fn rounds_of_many_calls_go_through_the_tree_and_survive_a_failure() {
    let config = EsConfig { pairs: 300, pairs_per_call: 1, episode_steps_max: Some(2), ..config() };
    let mut trainer = EsTrainer::new("Pendulum-v1", config, 3).unwrap();
    let stats = steps(&mut trainer, 1)[0];
    assert_eq!((stats.pairs, stats.env_steps), (300, 1200));
    kill(&trainer, 2);
    assert_eq!(steps(&mut trainer, 1)[0].lost_pairs, 100);
}

/// Whether the first environment that is stepped holds up its caller.
static IS_SLOW: AtomicBool = AtomicBool::new(false);
/// Steps that were made while it was slow.
static SLOW_STEPS: AtomicU32 = AtomicU32::new(0);

/// An endless task; slow where `slow` is set.
struct Slow {
    spaces: [Space; 2],
    envs: usize,
    is_slow: bool,
}

impl VecEnv for Slow {
    fn env_count(&self) -> usize {
        self.envs
    }

    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }

    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }

    fn reset_from(&mut self, _: u64, _: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        obs.fill(0.0);
        self.is_slow = IS_SLOW.swap(false, Ordering::SeqCst) || self.is_slow;
        Ok(())
    }

    fn restart(&mut self, _: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        obs.fill(0.0);
        Ok(())
    }

    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        let actions = actions.values(&self.spaces[1])?;
        if self.is_slow {
            SLOW_STEPS.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
        }
        out.rewards.copy_from_slice(actions);
        let ends = !self.is_slow;
        out.terminated.fill(ends);
        out.truncated.fill(false);
        out.finished.clear(1);
        for env in (0..self.envs).filter(|_| ends) {
            let total_reward = f64::from(actions[env]);
            let (final_obs, terminated, truncated) = (&[0.0][..], true, false);
            out.finished.push(Episode { env, total_reward, length: 1, terminated, truncated, final_obs });
        }
        Ok(())
    }
}

#[test]
fn a_late_evaluator_is_cut_off_and_stops_its_work() {
    let spaces = [Space::uniform(-1.0, 1.0, 1), Space::uniform(-1.0, 1.0, 1)];
    register("Slow", move |envs| Ok(Box::new(Slow { spaces: spaces.clone(), envs, is_slow: false }))).unwrap();
    let config = EsConfig { pairs: 16, episode_steps_max: None, enough: 0.75, ..config() };
    let mut trainer = EsTrainer::new("Slow", config, 4).unwrap();
    assert_eq!(steps(&mut trainer, 1)[0].lost_pairs % 4, 0, "calls are in or late as a whole");
    IS_SLOW.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    let stats = steps(&mut trainer, 1)[0];
    assert_eq!((stats.pairs, stats.lost_pairs), (12, 4), "three of four calls are enough");
    // The call would never end of itself: it hears at the latest 64 steps of 2 ms on that it is cancelled.
    let mut seen = u32::MAX;
    while seen != SLOW_STEPS.load(Ordering::SeqCst) {
        seen = SLOW_STEPS.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(200));
        assert!(begin.elapsed() < Duration::from_secs(30), "it goes on after {seen} steps");
    }
    assert!(seen > 0, "nobody was slow");
}

#[test]
fn mistakes_are_told_at_once() {
    let unknown = EsTrainer::new("CartPole-v9", config(), 2).err().unwrap();
    assert!(unknown.to_string().contains("did you mean \"CartPole-v1\""), "{unknown}");
    let error = EsTrainer::new("CartPole-v1", config(), 0).err().unwrap();
    assert!(matches!(error, EsError::Config { field: "evaluators", .. }), "{error}");
    let short = EsConfig { noise_len: 5, ..config() };
    let error = EsTrainer::new("Pendulum-v1", short, 1).err().unwrap();
    assert!(matches!(error, EsError::Config { field: "noise_len", .. }), "{error}");
    let other = EsTrainer::new("CartPole-v1", EsConfig::cartpole(), 1).unwrap();
    let error = EsTrainer::resume("Pendulum-v1", other.learner().checkpoint(), 1).err().unwrap();
    assert!(matches!(error, EsError::Mismatch { .. }), "{error}");
    let nothing = other.learner().directions(&Harvest::default()).unwrap_err();
    assert!(matches!(nothing, EsError::Mismatch { what: "a harvest", .. }), "{nothing}");
}
