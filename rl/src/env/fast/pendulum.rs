//! Pendulum in single precision.

use std::f32::consts::PI;

use crate::env::philox::uniform_f32;
use crate::env::trig::{sin_cos, wrapped};
use crate::env::{Dynamics, Moved, Space, classic};

const SPEED_MAX: f32 = 8.0;
const TORQUE_MAX: f32 = 2.0;
const SECONDS_PER_STEP: f32 = 0.05;

/// Pendulum-v1 in a [`Batch`](crate::env::Batch). State: angle from upright (rad), wrapped to `[-pi, pi]`, where
/// Gymnasium's grows without bound and would lose digits; angular velocity (rad/s). Observation: cosine and sine of the
/// angle, angular velocity.
///
/// Source: Gymnasium, Pendulum-v1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pendulum;

impl Dynamics<2, 3> for Pendulum {
    type Action = f32;

    const LENGTH_MAX: u32 = classic::Pendulum::LENGTH_MAX;

    fn spaces(&self) -> (Space, Space) {
        classic::Pendulum::spaces()
    }

    fn start(&self, [angle, speed, ..]: [u32; 4]) -> [f32; 2] {
        [uniform_f32(angle, -PI, PI), uniform_f32(speed, -1.0, 1.0)]
    }

    #[inline(always)]
    fn advance(&self, [angle, speed]: [f32; 2], action: f32) -> Moved<2> {
        let torque = clipped(action, TORQUE_MAX);
        let cost = angle * angle + 0.1 * (speed * speed) + 0.001 * (torque * torque);
        let (sin, _) = sin_cos(angle);
        let speed = clipped(speed + (15.0 * sin + 3.0 * torque) * SECONDS_PER_STEP, SPEED_MAX);
        let angle = wrapped(angle + speed * SECONDS_PER_STEP);
        Moved { state: [angle, speed], reward: -cost, terminated: false }
    }

    #[inline(always)]
    fn observe(&self, [angle, speed]: [f32; 2]) -> [f32; 3] {
        let (sin, cos) = sin_cos(angle);
        [cos, sin, speed]
    }
}

#[inline(always)]
fn clipped(value: f32, max: f32) -> f32 {
    value.clamp(-max, max)
}
