//! MountainCarContinuous in the precision of Gymnasium's.

use crate::env::{Actions, Env, EnvError, Space, Step, Stream};

const POSITION_MIN: f64 = -1.2;
const POSITION_MAX: f64 = 0.6;
const SPEED_MAX: f64 = 0.07;
const GOAL: f64 = 0.45;
const POWER: f64 = 0.0015;
const GRAVITY: f64 = 0.0025;

/// Drive a weak car out of a valley by swinging, with a force between -1 and 1; a greater one is clipped.
///
/// State and observation: position (the valley's bottom is near -0.52), velocity; begins at rest between -0.6 and
/// -0.4. The wall on the left stops the car. The reward is -0.1 times the square of the action, *not* clipped, and 100
/// at the goal. Terminates at the goal, 0.45, reached with a velocity of 0 or more.
///
/// Source: Moore 1990; Gymnasium, MountainCarContinuous-v0.
#[derive(Clone, Debug)]
pub struct MountainCarContinuous {
    observation_space: Space,
    action_space: Space,
    motion: Motion,
    random: Stream,
}

/// Gymnasium keeps the state of this task in double precision until the first step, in single precision from then on,
/// and NumPy 2 calculates in the precision of the state.
///
/// ```text
/// Begun --step--> Under way --step--> Under way ..
/// ```
#[derive(Clone, Copy, Debug)]
enum Motion {
    Begun([f64; 2]),
    UnderWay([f32; 2]),
}

impl MountainCarContinuous {
    /// After how many steps Gymnasium truncates an episode.
    pub const LENGTH_MAX: u32 = 999;

    /// The task at its first episode under seed 0.
    pub fn new() -> Self {
        let (observation_space, action_space) = Self::spaces();
        let (motion, random) = (Motion::Begun([0.0; 2]), Stream::new(0, 0));
        let mut env = Self { observation_space, action_space, motion, random };
        env.begin();
        env
    }

    /// Puts the task into a state from which an episode goes on; the next step is taken in double precision.
    pub fn set_state(&mut self, state: [f64; 2]) {
        self.motion = Motion::Begun(state);
    }

    /// The state of the task.
    pub fn state(&self) -> [f64; 2] {
        match self.motion {
            Motion::Begun(state) => state,
            Motion::UnderWay(state) => state.map(f64::from),
        }
    }

    /// Of observations and of actions.
    pub(in crate::env) fn spaces() -> (Space, Space) {
        let (low, high) = ([POSITION_MIN as f32, -SPEED_MAX as f32], [POSITION_MAX as f32, SPEED_MAX as f32]);
        (Space::Box { low: low.to_vec(), high: high.to_vec(), shape: vec![2] }, Space::uniform(-1.0, 1.0, 1))
    }

    fn begin(&mut self) {
        let position = self.random.uniform(-0.6, -0.4);
        self.set_state([position, 0.0]);
    }

    fn observe(&self, obs: &mut [f32]) {
        obs.copy_from_slice(&self.state().map(|value| value as f32));
    }
}

impl Default for MountainCarContinuous {
    fn default() -> Self {
        Self::new()
    }
}

impl Env for MountainCarContinuous {
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
        let action = action.value(&self.action_space)?;
        let (state, terminated) = match self.motion {
            Motion::Begun(state) => first_move(state, action),
            Motion::UnderWay(state) => later_move(state, action),
        };
        self.motion = Motion::UnderWay(state);
        self.observe(obs);
        let earned = if terminated { 100.0 } else { 0.0 };
        Ok(Step { reward: earned - f64::from(action) * f64::from(action) * 0.1, terminated, truncated: false })
    }
}

/// The state after a step in double precision, rounded, and whether the goal was reached before rounding.
fn first_move([position, speed]: [f64; 2], action: f32) -> ([f32; 2], bool) {
    let speed = speed + acceleration((3.0 * position).cos(), action);
    let speed = speed.clamp(-SPEED_MAX, SPEED_MAX);
    let position = (position + speed).clamp(POSITION_MIN, POSITION_MAX);
    let is_stopped = position == POSITION_MIN && speed < 0.0;
    let speed = if is_stopped { 0.0 } else { speed };
    ([position as f32, speed as f32], position >= GOAL && speed >= 0.0)
}

/// The state after a step in single precision, and whether the goal was reached.
fn later_move([position, speed]: [f32; 2], action: f32) -> ([f32; 2], bool) {
    let speed = speed + acceleration(f64::from(3.0 * position).cos(), action) as f32;
    let speed = speed.clamp(-SPEED_MAX as f32, SPEED_MAX as f32);
    let position = (position + speed).clamp(POSITION_MIN as f32, POSITION_MAX as f32);
    let is_stopped = position == POSITION_MIN as f32 && speed < 0.0;
    let speed = if is_stopped { 0.0 } else { speed };
    ([position, speed], position >= GOAL as f32 && speed >= 0.0)
}

/// Single precision for an action within its bounds, whose type is that of the space; double for a bound.
fn acceleration(slope: f64, action: f32) -> f64 {
    if (-1.0..=1.0).contains(&action) {
        f64::from(action * POWER as f32 - (GRAVITY * slope) as f32)
    } else {
        POWER.copysign(action.into()) - GRAVITY * slope
    }
}
