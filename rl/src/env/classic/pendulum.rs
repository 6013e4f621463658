//! Pendulum in double precision.

use std::f64::consts::{PI, TAU};

use crate::env::{Actions, Env, EnvError, Space, Step, Stream};

const SPEED_MAX: f64 = 8.0;
const TORQUE_MAX: f32 = 2.0;
const SECONDS_PER_STEP: f64 = 0.05;
/// 3 g / (2 l), with g = 10 and l = 1.
const FALL: f64 = 15.0;

/// Swing a pendulum up and keep it there, by a torque between -2 and 2 N m; a greater one is clipped.
///
/// State: angle from upright (rad, not wrapped), angular velocity (rad/s, within 8). Begins anywhere, with a velocity
/// between -1 and 1. Observation: cosine and sine of the angle, angular velocity. The reward is minus the cost
/// `angle^2 + 0.1 velocity^2 + 0.001 torque^2` of the state before the step and the clipped torque, the angle wrapped
/// to `[-pi, pi)`. Never terminates.
///
/// Source: Gymnasium, Pendulum-v1.
#[derive(Clone, Debug)]
pub struct Pendulum {
    observation_space: Space,
    action_space: Space,
    state: [f64; 2],
    random: Stream,
}

impl Pendulum {
    /// After how many steps Gymnasium truncates an episode.
    pub const LENGTH_MAX: u32 = 200;

    /// The task at its first episode under seed 0.
    pub fn new() -> Self {
        let (observation_space, action_space) = Self::spaces();
        let mut env = Self { observation_space, action_space, state: [0.0; 2], random: Stream::new(0, 0) };
        env.begin();
        env
    }

    /// Puts the task into a state from which an episode goes on.
    pub fn set_state(&mut self, state: [f64; 2]) {
        self.state = state;
    }

    /// The state of the task.
    pub fn state(&self) -> [f64; 2] {
        self.state
    }

    /// Of observations and of actions.
    pub(in crate::env) fn spaces() -> (Space, Space) {
        (Space::symmetric(&[1.0, 1.0, SPEED_MAX as f32]), Space::uniform(-TORQUE_MAX, TORQUE_MAX, 1))
    }

    fn begin(&mut self) {
        self.state = [self.random.uniform(-PI, PI), self.random.uniform(-1.0, 1.0)];
    }

    fn observe(&self, obs: &mut [f32]) {
        let [angle, speed] = self.state;
        obs.copy_from_slice(&[angle.cos() as f32, angle.sin() as f32, speed as f32]);
    }
}

impl Default for Pendulum {
    fn default() -> Self {
        Self::new()
    }
}

impl Env for Pendulum {
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
        let torque = action.value(&self.action_space)?.clamp(-TORQUE_MAX, TORQUE_MAX);
        let reward = -cost(self.state, torque);
        self.state = moved(self.state, torque);
        self.observe(obs);
        Ok(Step { reward, terminated: false, truncated: false })
    }
}

/// The terms of the torque are in single precision, as its space makes them in Gymnasium.
fn cost([angle, speed]: [f64; 2], torque: f32) -> f64 {
    let wrapped = (angle + PI).rem_euclid(TAU) - PI;
    wrapped * wrapped + 0.1 * (speed * speed) + f64::from(0.001 * (torque * torque))
}

fn moved([angle, speed]: [f64; 2], torque: f32) -> [f64; 2] {
    let speed = speed + (FALL * angle.sin() + f64::from(3.0 * torque)) * SECONDS_PER_STEP;
    let speed = speed.clamp(-SPEED_MAX, SPEED_MAX);
    [angle + speed * SECONDS_PER_STEP, speed]
}
