//! An environment of one's own and a policy trained for it: copy this crate, and write your task where `Seek` is.
//!
//! `cargo run --release -p rayline-env-template`

use rayline_rl::env::{Actions, Env, EnvError, Space, Step, Stream, SyncVec, TimeLimit};
use rayline_rl::ppo::{PpoConfig, train};
use std::ops::ControlFlow;

/// Walk to a goal on a line: to the left (0), stay (1), to the right (2). Observed is how far it is, and each step costs
/// that much.
struct Seek {
    observation_space: Space,
    action_space: Space,
    distance: f32,
    random: Stream,
}

impl Seek {
    fn new() -> Self {
        let (observation_space, action_space) = (Space::uniform(-3.0, 3.0, 1), Space::Discrete { n: 3 });
        Self { observation_space, action_space, distance: 0.0, random: Stream::new(0, 0) }
    }
}

impl Env for Seek {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.random = Stream::new(seed, 0);
        }
        self.distance = self.random.uniform(-1.0, 1.0) as f32;
        obs[0] = self.distance;
        Ok(())
    }

    fn step(&mut self, action: Actions<'_>, obs: &mut [f32]) -> Result<Step, EnvError> {
        self.distance += 0.1 * (action.choice(&self.action_space)? as f32 - 1.0);
        obs[0] = self.distance;
        Ok(Step { reward: -f64::from(self.distance.abs()), terminated: false, truncated: false })
    }
}

/// Trains a policy, and returns the mean return of the last 100 episodes.
fn learn() -> anyhow::Result<f64> {
    let config = PpoConfig { total_steps: 40_000, n_envs: 8, ..PpoConfig::cleanrl() };
    let envs = SyncVec::from_fn(config.n_envs, |_| Box::new(TimeLimit::new(Seek::new(), 20)))?;
    let trained = train(&config, Box::new(envs), |_| ControlFlow::Continue(()))?;
    Ok(trained.episodes.mean_return().unwrap_or(f64::NAN))
}

fn main() -> anyhow::Result<()> {
    println!("mean return of the last 100 episodes: {:.2}", learn()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    /// Who goes straight to the goal earns -2 in the mean, who stays -10.
    #[test]
    fn a_policy_learns_to_seek() {
        let score = super::learn().expect("a task that can't fail");
        assert!(score > -3.5, "{score}");
    }
}
