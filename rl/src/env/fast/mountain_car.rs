//! MountainCar, both kinds, in single precision.

use crate::env::philox::uniform_f32;
use crate::env::trig::sin_cos;
use crate::env::{Dynamics, Moved, Space, classic};

const POSITION_MIN: f32 = -1.2;
const POSITION_MAX: f32 = 0.6;
const SPEED_MAX: f32 = 0.07;
const GRAVITY: f32 = 0.0025;

/// MountainCar-v0 in a [`Batch`](crate::env::Batch). State and observation: position, velocity.
///
/// Source: Moore 1990; Gymnasium, MountainCar-v0.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountainCar;

impl Dynamics<2, 2> for MountainCar {
    type Action = u32;

    const LENGTH_MAX: u32 = classic::MountainCar::LENGTH_MAX;

    fn spaces(&self) -> (Space, Space) {
        classic::MountainCar::spaces()
    }

    fn start(&self, words: [u32; 4]) -> [f32; 2] {
        start(words)
    }

    #[inline(always)]
    fn advance(&self, state: [f32; 2], action: u32) -> Moved<2> {
        let push = action as i32 as f32 - 1.0;
        let state = moved(state, push * 0.001);
        Moved { state, reward: -1.0, terminated: (state[0] >= 0.5) & (state[1] >= 0.0) }
    }

    #[inline(always)]
    fn observe(&self, state: [f32; 2]) -> [f32; 2] {
        state
    }
}

/// MountainCarContinuous-v0 in a [`Batch`](crate::env::Batch). State and observation: position, velocity.
///
/// Source: Moore 1990; Gymnasium, MountainCarContinuous-v0.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountainCarContinuous;

impl Dynamics<2, 2> for MountainCarContinuous {
    type Action = f32;

    const LENGTH_MAX: u32 = classic::MountainCarContinuous::LENGTH_MAX;

    fn spaces(&self) -> (Space, Space) {
        classic::MountainCarContinuous::spaces()
    }

    fn start(&self, words: [u32; 4]) -> [f32; 2] {
        start(words)
    }

    #[inline(always)]
    fn advance(&self, state: [f32; 2], action: f32) -> Moved<2> {
        let state = moved(state, action.clamp(-1.0, 1.0) * 0.0015);
        let terminated = (state[0] >= 0.45) & (state[1] >= 0.0);
        let earned = if terminated { 100.0 } else { 0.0 };
        Moved { state, reward: earned - action * action * 0.1, terminated }
    }

    #[inline(always)]
    fn observe(&self, state: [f32; 2]) -> [f32; 2] {
        state
    }
}

fn start([position, ..]: [u32; 4]) -> [f32; 2] {
    [uniform_f32(position, -0.6, -0.4), 0.0]
}

#[inline(always)]
fn moved([position, speed]: [f32; 2], push: f32) -> [f32; 2] {
    let (_, slope) = sin_cos(3.0 * position);
    let speed = (speed + (push - slope * GRAVITY)).clamp(-SPEED_MAX, SPEED_MAX);
    let position = (position + speed).clamp(POSITION_MIN, POSITION_MAX);
    let is_stopped = (position == POSITION_MIN) & (speed < 0.0);
    [position, if is_stopped { 0.0 } else { speed }]
}
