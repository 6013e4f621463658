//! MountainCar in double precision.

use crate::env::{Actions, Env, EnvError, Space, Step, Stream};

const POSITION_MIN: f64 = -1.2;
const POSITION_MAX: f64 = 0.6;
const SPEED_MAX: f64 = 0.07;
const GOAL: f64 = 0.5;
const FORCE: f64 = 0.001;
const GRAVITY: f64 = 0.0025;

/// Drive a weak car out of a valley by swinging: push to the left (0), not at all (1) or to the right (2).
///
/// State and observation: position (the valley's bottom is near -0.52), velocity; begins at rest between -0.6 and
/// -0.4. The wall on the left stops the car. The reward is -1 a step. Terminates at the goal, 0.5, reached with a
/// velocity of 0 or more.
///
/// Source: Moore 1990; Gymnasium, MountainCar-v0.
#[derive(Clone, Debug)]
pub struct MountainCar {
    observation_space: Space,
    action_space: Space,
    state: [f64; 2],
    random: Stream,
}

impl MountainCar {
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
        let (low, high) = ([POSITION_MIN as f32, -SPEED_MAX as f32], [POSITION_MAX as f32, SPEED_MAX as f32]);
        (Space::Box { low: low.to_vec(), high: high.to_vec(), shape: vec![2] }, Space::Discrete { n: 3 })
    }

    fn begin(&mut self) {
        self.state = [self.random.uniform(-0.6, -0.4), 0.0];
    }

    fn observe(&self, obs: &mut [f32]) {
        obs.copy_from_slice(&self.state.map(|value| value as f32));
    }
}

impl Default for MountainCar {
    fn default() -> Self {
        Self::new()
    }
}

impl Env for MountainCar {
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
        let push = f64::from(action.choice(&self.action_space)?) - 1.0;
        self.state = moved(self.state, push);
        let [position, speed] = self.state;
        self.observe(obs);
        Ok(Step { reward: -1.0, terminated: position >= GOAL && speed >= 0.0, truncated: false })
    }
}

fn moved([position, speed]: [f64; 2], push: f64) -> [f64; 2] {
    let speed = speed + (push * FORCE + (3.0 * position).cos() * -GRAVITY);
    let speed = speed.clamp(-SPEED_MAX, SPEED_MAX);
    let position = (position + speed).clamp(POSITION_MIN, POSITION_MAX);
    let is_stopped = position == POSITION_MIN && speed < 0.0;
    [position, if is_stopped { 0.0 } else { speed }]
}
