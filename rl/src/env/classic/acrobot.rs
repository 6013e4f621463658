//! Acrobot in double precision.

use std::array;
use std::f64::consts::{FRAC_PI_2, PI, TAU};

use crate::env::{Actions, Env, EnvError, Space, Step, Stream};

const SECONDS_PER_STEP: f64 = 0.2;
const SPEED_MAX: [f64; 2] = [4.0 * PI, 9.0 * PI];
const GRAVITY: f64 = 9.8;
/// Distance of a link's centre of mass from its joint; the links' lengths, masses and moments of inertia are all 1.
const CENTRE: f64 = 0.5;

/// Swing two hanging links up by a torque of -1 (0), 0 (1) or 1 N m (2) at the joint between them.
///
/// State: angle of the first link from hanging down, angle of the second relative to the first (both rad, wrapped to
/// `[-pi, pi]`), and their angular velocities (rad/s, within 4 pi and 9 pi); each begins between -0.1 and 0.1.
/// Observation: cosine and sine of each angle, then the velocities. The reward is -1 a step, 0 for the step that
/// terminates: when the tip is more than one link's length above the fixed joint.
///
/// Source: Sutton 1996; Sutton & Barto, "Reinforcement Learning", 2nd edition, §11.3 of the 1st; Gymnasium, Acrobot-v1.
#[derive(Clone, Debug)]
pub struct Acrobot {
    observation_space: Space,
    action_space: Space,
    state: [f64; 4],
    random: Stream,
}

impl Acrobot {
    /// After how many steps Gymnasium truncates an episode.
    pub const LENGTH_MAX: u32 = 500;

    /// The task at its first episode under seed 0.
    pub fn new() -> Self {
        let (observation_space, action_space) = Self::spaces();
        let mut env = Self { observation_space, action_space, state: [0.0; 4], random: Stream::new(0, 0) };
        env.begin();
        env
    }

    /// Puts the task into a state from which an episode goes on.
    pub fn set_state(&mut self, state: [f64; 4]) {
        self.state = state;
    }

    /// The state of the task.
    pub fn state(&self) -> [f64; 4] {
        self.state
    }

    /// Of observations and of actions.
    pub(in crate::env) fn spaces() -> (Space, Space) {
        let [first, second] = SPEED_MAX.map(|speed| speed as f32);
        (Space::symmetric(&[1.0, 1.0, 1.0, 1.0, first, second]), Space::Discrete { n: 3 })
    }

    /// Rounds to single precision, as Gymnasium does.
    fn begin(&mut self) {
        self.state = [(); 4].map(|()| f64::from(self.random.uniform(-0.1, 0.1) as f32));
    }

    fn observe(&self, obs: &mut [f32]) {
        let [first, second, first_speed, second_speed] = self.state;
        let values = [first.cos(), first.sin(), second.cos(), second.sin(), first_speed, second_speed];
        obs.copy_from_slice(&values.map(|value| value as f32));
    }
}

impl Default for Acrobot {
    fn default() -> Self {
        Self::new()
    }
}

impl Env for Acrobot {
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
        let torque = f64::from(action.choice(&self.action_space)?) - 1.0;
        self.state = moved(self.state, torque);
        let [first, second, ..] = self.state;
        let terminated = -first.cos() - (second + first).cos() > 1.0;
        self.observe(obs);
        Ok(Step { reward: if terminated { 0.0 } else { -1.0 }, terminated, truncated: false })
    }
}

/// One step of the classical Runge-Kutta method of fourth order, then wrapped and clipped.
fn moved(state: [f64; 4], torque: f64) -> [f64; 4] {
    let half = SECONDS_PER_STEP / 2.0;
    let along = |slope: [f64; 4], seconds: f64| -> [f64; 4] { array::from_fn(|at| state[at] + seconds * slope[at]) };
    let k1 = slope(state, torque);
    let k2 = slope(along(k1, half), torque);
    let k3 = slope(along(k2, half), torque);
    let k4 = slope(along(k3, SECONDS_PER_STEP), torque);
    let mean = array::from_fn(|at| k1[at] + 2.0 * k2[at] + 2.0 * k3[at] + k4[at]);
    let [first, second, first_speed, second_speed] = along(mean, SECONDS_PER_STEP / 6.0);
    let [first_max, second_max] = SPEED_MAX;
    [
        wrapped(first),
        wrapped(second),
        first_speed.clamp(-first_max, first_max),
        second_speed.clamp(-second_max, second_max),
    ]
}

/// How fast the state changes, after the book and not after the paper of 1996.
fn slope([first, second, first_speed, second_speed]: [f64; 4], torque: f64) -> [f64; 4] {
    let (sin, cos) = (second.sin(), second.cos());
    let d1 = CENTRE * CENTRE + (1.0 + CENTRE * CENTRE + 2.0 * CENTRE * cos) + 1.0 + 1.0;
    let d2 = CENTRE * CENTRE + CENTRE * cos + 1.0;
    let phi2 = CENTRE * GRAVITY * (first + second - FRAC_PI_2).cos();
    let phi1 = -CENTRE * (second_speed * second_speed) * sin - 2.0 * CENTRE * second_speed * first_speed * sin
        + (CENTRE + 1.0) * GRAVITY * (first - FRAC_PI_2).cos()
        + phi2;
    let second_acceleration = (torque + d2 / d1 * phi1 - CENTRE * (first_speed * first_speed) * sin - phi2)
        / (CENTRE * CENTRE + 1.0 - d2 * d2 / d1);
    let first_acceleration = -(d2 * second_acceleration + phi1) / d1;
    [first_speed, second_speed, first_acceleration, second_acceleration]
}

/// The same angle between -pi and pi.
fn wrapped(mut angle: f64) -> f64 {
    while angle > PI {
        angle -= TAU;
    }
    while angle < -PI {
        angle += TAU;
    }
    angle
}
