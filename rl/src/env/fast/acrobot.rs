//! Acrobot in single precision.

use std::f32::consts::PI;

use crate::env::philox::uniform_f32;
use crate::env::trig::{sin_cos, wrapped};
use crate::env::{Dynamics, Moved, Space, classic};

const SECONDS_PER_STEP: f32 = 0.2;
const GRAVITY: f32 = 9.8;

/// Acrobot-v1 in a [`Batch`](crate::env::Batch). State: angle of the first link from hanging down, angle of the second
/// relative to the first (both rad, wrapped to `[-pi, pi]`), and their angular velocities (rad/s). Observation: cosine
/// and sine of each angle, then the velocities.
///
/// The task is chaotic: single steps agree with Gymnasium's to about 1e-6, whole episodes do not.
///
/// Source: Sutton 1996; Gymnasium, Acrobot-v1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Acrobot;

impl Dynamics<4, 6> for Acrobot {
    type Action = u32;

    const LENGTH_MAX: u32 = classic::Acrobot::LENGTH_MAX;

    fn spaces(&self) -> (Space, Space) {
        classic::Acrobot::spaces()
    }

    fn start(&self, words: [u32; 4]) -> [f32; 4] {
        words.map(|word| uniform_f32(word, -0.1, 0.1))
    }

    #[inline(always)]
    fn advance(&self, state: [f32; 4], action: u32) -> Moved<4> {
        let torque = action as i32 as f32 - 1.0;
        let k1 = slope(state, torque);
        let k2 = slope(along(state, k1, SECONDS_PER_STEP / 2.0), torque);
        let k3 = slope(along(state, k2, SECONDS_PER_STEP / 2.0), torque);
        let k4 = slope(along(state, k3, SECONDS_PER_STEP), torque);
        let mean = |at: usize| k1[at] + 2.0 * (k2[at] + k3[at]) + k4[at];
        let [first, second, first_speed, second_speed] =
            along(state, [mean(0), mean(1), mean(2), mean(3)], SECONDS_PER_STEP / 6.0);
        let (first, second) = (wrapped(first), wrapped(second));
        let first_speed = first_speed.clamp(-4.0 * PI, 4.0 * PI);
        let second_speed = second_speed.clamp(-9.0 * PI, 9.0 * PI);
        let terminated = -sin_cos(first).1 - sin_cos(first + second).1 > 1.0;
        let reward = if terminated { 0.0 } else { -1.0 };
        Moved { state: [first, second, first_speed, second_speed], reward, terminated }
    }

    #[inline(always)]
    fn observe(&self, [first, second, first_speed, second_speed]: [f32; 4]) -> [f32; 6] {
        let ((sin_1, cos_1), (sin_2, cos_2)) = (sin_cos(first), sin_cos(second));
        [cos_1, sin_1, cos_2, sin_2, first_speed, second_speed]
    }
}

/// The state `seconds` later if it changed at the rate `slope` throughout.
#[inline(always)]
fn along(state: [f32; 4], slope: [f32; 4], seconds: f32) -> [f32; 4] {
    [
        state[0] + seconds * slope[0],
        state[1] + seconds * slope[1],
        state[2] + seconds * slope[2],
        state[3] + seconds * slope[3],
    ]
}

/// How fast the state changes: the equations of [`classic::Acrobot`], whose cosines of an angle less a quarter turn are
/// sines here.
#[inline(always)]
fn slope([first, second, first_speed, second_speed]: [f32; 4], torque: f32) -> [f32; 4] {
    let (sin_1, cos_1) = sin_cos(first);
    let (sin_2, cos_2) = sin_cos(second);
    let d1 = 3.5 + cos_2;
    let d2 = 1.25 + 0.5 * cos_2;
    let phi2 = 0.5 * GRAVITY * (sin_1 * cos_2 + cos_1 * sin_2);
    let phi1 = -(0.5 * second_speed + first_speed) * second_speed * sin_2 + 1.5 * GRAVITY * sin_1 + phi2;
    let ratio = d2 / d1;
    let second_acceleration =
        (torque + ratio * phi1 - 0.5 * first_speed * first_speed * sin_2 - phi2) / (1.25 - d2 * ratio);
    let first_acceleration = -(d2 * second_acceleration + phi1) / d1;
    [first_speed, second_speed, first_acceleration, second_acceleration]
}
