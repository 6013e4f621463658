//! CartPole in single precision.

use crate::env::philox::uniform_f32;
use crate::env::trig::sin_cos_small;
use crate::env::{Dynamics, Moved, Space, classic};

const GRAVITY: f32 = 9.8;
const POLE_MASS: f32 = 0.1;
const TOTAL_MASS: f32 = 1.1;
const HALF_LENGTH: f32 = 0.5;
const POLE_MASS_LENGTH: f32 = 0.05;
const FORCE: f32 = 10.0;
const SECONDS_PER_STEP: f32 = 0.02;
const X_MAX: f32 = 2.4;
const THETA_MAX: f32 = 12.0 * 2.0 * std::f32::consts::PI / 360.0;

/// CartPole-v1 in a [`Batch`](crate::env::Batch). State and observation: cart position (m), cart velocity (m/s), pole
/// angle (rad), pole angular velocity (rad/s).
///
/// Exact to single precision for angles within 0.5; an episode ends at 0.21.
///
/// Source: Barto, Sutton & Anderson 1983; Gymnasium, CartPole-v1.
#[derive(Clone, Copy, Debug, Default)]
pub struct CartPole;

impl Dynamics<4, 4> for CartPole {
    type Action = u32;

    const LENGTH_MAX: u32 = classic::CartPole::LENGTH_MAX;

    fn spaces(&self) -> (Space, Space) {
        classic::CartPole::spaces()
    }

    fn start(&self, words: [u32; 4]) -> [f32; 4] {
        words.map(|word| uniform_f32(word, -0.05, 0.05))
    }

    #[inline(always)]
    fn advance(&self, [x, x_dot, theta, theta_dot]: [f32; 4], action: u32) -> Moved<4> {
        let force = if action == 1 { FORCE } else { -FORCE };
        let (sin, cos) = sin_cos_small(theta);
        let pushed = (force + POLE_MASS_LENGTH * theta_dot * theta_dot * sin) * (1.0 / TOTAL_MASS);
        let inertia = HALF_LENGTH * (4.0 / 3.0 - (POLE_MASS / TOTAL_MASS) * cos * cos);
        let theta_acceleration = (GRAVITY * sin - cos * pushed) / inertia;
        let x_acceleration = pushed - (POLE_MASS_LENGTH / TOTAL_MASS) * theta_acceleration * cos;
        let x = x + SECONDS_PER_STEP * x_dot;
        let x_dot = x_dot + SECONDS_PER_STEP * x_acceleration;
        let theta = theta + SECONDS_PER_STEP * theta_dot;
        let theta_dot = theta_dot + SECONDS_PER_STEP * theta_acceleration;
        let terminated = (x.abs() > X_MAX) | (theta.abs() > THETA_MAX);
        Moved { state: [x, x_dot, theta, theta_dot], reward: 1.0, terminated }
    }

    #[inline(always)]
    fn observe(&self, state: [f32; 4]) -> [f32; 4] {
        state
    }
}
