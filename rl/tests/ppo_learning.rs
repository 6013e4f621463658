//! PPO learns: a control task to its known score, and a continuous problem whose answer is known.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::ops::ControlFlow;

use rayline_rl::env::{Actions, EnvError, Episode, Space, StepOut, VecEnv, make_vec};
use rayline_rl::ppo::{Minibatches, PpoConfig, PpoError, Schedule, evaluate, train};

/// Steps until 100 episodes average 475 on CartPole-v1, and the mean of 20 episodes without exploration.
fn steps_to_475(seed: u64) -> (Option<u64>, f64) {
    let config = PpoConfig { seed, ..PpoConfig::cartpole() };
    let mut reached = None;
    let trained = train(&config, make_vec("CartPole-v1", config.n_envs).unwrap(), |progress| {
        if progress.episodes.is_full() && progress.episodes.mean_return() >= Some(475.0) {
            reached = Some(progress.env_steps);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let learner = trained.unwrap().learner;
    let snapshot = learner.snapshot();
    let mut envs = make_vec("CartPole-v1", 10).unwrap();
    let ends = evaluate(learner.model(), &snapshot.parameters, envs.as_mut(), 20, 1).unwrap();
    assert_eq!(ends.len(), 20);
    (reached, ends.iter().map(|end| end.total_reward).sum::<f64>() / 20.0)
}

#[test]
fn cartpole_reaches_475_within_100_000_steps() {
    for seed in [1, 2] {
        let (steps, greedy) = steps_to_475(seed);
        assert!(steps.is_some(), "seed {seed} did not reach 475");
        assert!(greedy > 475.0, "seed {seed}: {greedy} without exploration");
    }
}

/// One-step episodes: the observation is `x` in [-1, 1], the reward `-|action - (x, -x / 2)|^2`.
struct Target {
    spaces: [Space; 2],
    x: Vec<f32>,
    draws: u32,
}

impl Target {
    fn new(envs: usize) -> Self {
        let spaces = [Space::uniform(-1.0, 1.0, 1), Space::uniform(-10.0, 10.0, 2)];
        Self { spaces, x: vec![0.0; envs], draws: 0 }
    }

    /// A low-discrepancy sequence: as good as random here.
    fn draw(&mut self) -> f32 {
        self.draws += 1;
        (self.draws as f32 * 0.618_034).fract() * 2.0 - 1.0
    }

    fn begin(&mut self, obs: &mut [f32]) {
        for (env, obs) in obs.iter_mut().enumerate() {
            self.x[env] = self.draw();
            *obs = self.x[env];
        }
    }
}

impl VecEnv for Target {
    fn env_count(&self) -> usize {
        self.x.len()
    }

    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }

    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }

    fn reset_from(&mut self, _: u64, _: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.begin(obs);
        Ok(())
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.x[env] = self.draw();
        obs[0] = self.x[env];
        Ok(())
    }

    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        out.finished.clear(1);
        for (env, action) in actions.values(&self.spaces[1])?.chunks_exact(2).enumerate() {
            let x = self.x[env];
            let reward = -(action[0] - x).powi(2) - (action[1] + x / 2.0).powi(2);
            (out.rewards[env], out.terminated[env], out.truncated[env]) = (reward, true, false);
            let (total_reward, final_obs) = (f64::from(reward), &[x][..]);
            out.finished.push(Episode { env, total_reward, length: 1, terminated: true, truncated: false, final_obs });
        }
        self.begin(out.obs);
        Ok(())
    }
}

#[test]
fn a_gaussian_policy_finds_the_target_and_narrows() {
    let config = PpoConfig {
        total_steps: 50_000,
        n_envs: 16,
        n_steps: 32,
        minibatches: Minibatches::Rows(64),
        epochs: 5,
        learning_rate: Schedule::LinearToZero(3e-3),
        entropy_coef: 0.0,
        hidden: vec![16, 16],
        ..PpoConfig::cleanrl()
    };
    let trained = train(&config, Box::new(Target::new(16)), |_| ControlFlow::Continue(())).unwrap();
    let (learner, score) = (&trained.learner, trained.episodes.mean_return().unwrap());
    // A policy that ignores the observation earns -0.4 at best; noise of standard deviation s costs 2 s^2.
    assert!(score > -0.05, "{score}");
    let snapshot = learner.snapshot();
    let log_std = &snapshot.parameters[learner.model().log_std_range()];
    assert!(log_std.iter().all(|s| *s < -1.5), "{log_std:?}");
    let ends = evaluate(learner.model(), &snapshot.parameters, &mut Target::new(16), 160, 0).unwrap();
    let greedy = ends.iter().map(|end| end.total_reward).sum::<f64>() / ends.len() as f64;
    assert!(greedy > -0.01, "{greedy}");
}

#[test]
fn train_refuses_another_number_of_environments() {
    let config = PpoConfig::cartpole();
    let refused = train(&config, make_vec("CartPole-v1", 3).unwrap(), |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(PpoError::Config { field: "n_envs", .. })));
}
