//! CartPole in double precision.

use std::f64::consts::PI;

use crate::env::{Actions, Env, EnvError, Space, Step, Stream};

const GRAVITY: f64 = 9.8;
const POLE_MASS: f64 = 0.1;
const TOTAL_MASS: f64 = POLE_MASS + 1.0;
/// Half of the pole's length.
const LENGTH: f64 = 0.5;
const POLE_MASS_LENGTH: f64 = POLE_MASS * LENGTH;
const FORCE: f64 = 10.0;
const SECONDS_PER_STEP: f64 = 0.02;
const X_MAX: f64 = 2.4;
const THETA_MAX: f64 = 12.0 * 2.0 * PI / 360.0;

/// Balance a pole on a cart by pushing the cart to the left (0) or to the right (1).
///
/// State and observation: cart position (m), cart velocity (m/s), pole angle (rad), pole angular velocity (rad/s); each
/// begins between -0.05 and 0.05. The reward is 1 a step. Terminates when the cart is more than 2.4 m or the pole more
/// than 12 degrees from the middle.
///
/// Source: Barto, Sutton & Anderson 1983; Gymnasium, CartPole-v1.
#[derive(Clone, Debug)]
pub struct CartPole {
    observation_space: Space,
    action_space: Space,
    state: [f64; 4],
    /// Whether the episode has terminated, after which steps earn nothing.
    has_fallen: bool,
    random: Stream,
}

impl CartPole {
    /// After how many steps Gymnasium truncates an episode.
    pub const LENGTH_MAX: u32 = 500;

    /// The task at its first episode under seed 0.
    pub fn new() -> Self {
        let (observation_space, action_space) = Self::spaces();
        let random = Stream::new(0, 0);
        let mut env = Self { observation_space, action_space, state: [0.0; 4], has_fallen: false, random };
        env.begin();
        env
    }

    /// Puts the task into a state from which an episode goes on.
    pub fn set_state(&mut self, state: [f64; 4]) {
        self.state = state;
        self.has_fallen = false;
    }

    /// The state of the task.
    pub fn state(&self) -> [f64; 4] {
        self.state
    }

    /// Of observations and of actions.
    pub(in crate::env) fn spaces() -> (Space, Space) {
        let high = [2.0 * X_MAX as f32, f32::INFINITY, 2.0 * THETA_MAX as f32, f32::INFINITY];
        (Space::symmetric(&high), Space::Discrete { n: 2 })
    }

    fn begin(&mut self) {
        let state = [(); 4].map(|()| self.random.uniform(-0.05, 0.05));
        self.set_state(state);
    }

    fn observe(&self, obs: &mut [f32]) {
        obs.copy_from_slice(&self.state.map(|value| value as f32));
    }
}

impl Default for CartPole {
    fn default() -> Self {
        Self::new()
    }
}

impl Env for CartPole {
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
        self.begin();
        self.observe(obs);
        Ok(())
    }

    fn step(&mut self, action: Actions<'_>, obs: &mut [f32]) -> Result<Step, EnvError> {
        let force = if action.choice(&self.action_space)? == 1 { FORCE } else { -FORCE };
        self.state = moved(self.state, force);
        let [x, _, theta, _] = self.state;
        let terminated = x.abs() > X_MAX || theta.abs() > THETA_MAX;
        let reward = if terminated && self.has_fallen { 0.0 } else { 1.0 };
        self.has_fallen |= terminated;
        self.observe(obs);
        Ok(Step { reward, terminated, truncated: false })
    }
}

/// Operations in the order of Gymnasium's, so that they round alike.
fn moved([x, x_dot, theta, theta_dot]: [f64; 4], force: f64) -> [f64; 4] {
    let (sin, cos) = (theta.sin(), theta.cos());
    let pushed = (force + POLE_MASS_LENGTH * (theta_dot * theta_dot) * sin) / TOTAL_MASS;
    let theta_acceleration =
        (GRAVITY * sin - cos * pushed) / (LENGTH * (4.0 / 3.0 - POLE_MASS * (cos * cos) / TOTAL_MASS));
    let x_acceleration = pushed - POLE_MASS_LENGTH * theta_acceleration * cos / TOTAL_MASS;
    [
        x + SECONDS_PER_STEP * x_dot,
        x_dot + SECONDS_PER_STEP * x_acceleration,
        theta + SECONDS_PER_STEP * theta_dot,
        theta_dot + SECONDS_PER_STEP * theta_acceleration,
    ]
}
