//! The tasks: what is observed, earned, and when it ends.

use super::ffi::{Data, Field, Sizes};

/// Tasks of Gymnasium's MuJoCo set, in their fifth version, with the settings that Gymnasium makes them with.
///
/// Source: Gymnasium 1.4, `gymnasium/envs/mujoco/*_v5.py`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MujocoTask {
    /// A four-legged ant runs: 105 numbers, 8 joints.
    Ant,
    /// A two-legged cheetah of the plane runs: 17 numbers, 6 joints.
    HalfCheetah,
    /// A one-legged figure of the plane hops: 11 numbers, 3 joints.
    Hopper,
    /// A figure with arms and legs walks: 348 numbers, 17 joints.
    Humanoid,
    /// A pole on a cart stays upright: 4 numbers, one force.
    InvertedPendulum,
    /// A worm of three links swims: 8 numbers, 2 joints.
    Swimmer,
    /// A two-legged figure of the plane walks: 17 numbers, 6 joints.
    Walker2d,
}

/// What distinguishes the tasks.
pub struct Spec {
    pub id: &'static str,
    pub model: &'static str,
    /// What the model must have.
    pub sizes: Sizes,
    /// Actions lie between this and its negative.
    pub action_bound: f32,
    /// Steps of the simulation for one of the task.
    pub frame_skip: u32,
    /// First positions that are not observed, since nothing depends on them.
    pub skipped: usize,
    /// Observed velocities are clipped to this on either side.
    pub velocity_clip: f64,
    /// At the start positions differ from those of the model by at most this; velocities by `velocity_noise`.
    pub position_noise: f64,
    pub velocity_noise: Noise,
    pub forward_weight: f64,
    pub control_weight: f64,
    /// Earned while healthy; an episode ends with health.
    pub healthy_reward: f64,
    pub progress: Progress,
    pub forces: Forces,
    is_healthy: fn(&[f64]) -> bool,
}

/// How velocities differ from 0 at the start.
#[derive(Clone, Copy, Debug)]
pub enum Noise {
    /// By at most this.
    Uniform(f64),
    /// With this deviation.
    Normal(f64),
}

/// What must move forward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// The first position.
    Position,
    /// The first body.
    Torso,
    /// The centre of mass.
    Mass,
}

/// What is observed, and paid for, besides positions and velocities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Forces {
    None,
    /// Forces of contacts, each clipped to 1 on either side.
    Contacts,
    /// Inertias, velocities of bodies, forces of actuators and contacts.
    All,
}

impl MujocoTask {
    /// All of them, in alphabetical order.
    pub const ALL: [Self; 7] = [
        Self::Ant,
        Self::HalfCheetah,
        Self::Hopper,
        Self::Humanoid,
        Self::InvertedPendulum,
        Self::Swimmer,
        Self::Walker2d,
    ];

    /// After how many steps Gymnasium truncates an episode.
    pub const LENGTH_MAX: u32 = 1000;

    /// Gymnasium's id.
    pub fn id(self) -> &'static str {
        self.spec().id
    }

    pub(super) fn spec(self) -> &'static Spec {
        match self {
            Self::Ant => &ANT,
            Self::HalfCheetah => &HALF_CHEETAH,
            Self::Hopper => &HOPPER,
            Self::Humanoid => &HUMANOID,
            Self::InvertedPendulum => &INVERTED_PENDULUM,
            Self::Swimmer => &SWIMMER,
            Self::Walker2d => &WALKER2D,
        }
    }
}

/// A cheetah; the others say where they differ.
const HALF_CHEETAH: Spec = Spec {
    id: "HalfCheetah-v5",
    model: "half_cheetah.xml",
    sizes: Sizes { qpos: 9, qvel: 9, ctrl: 6, bodies: 8 },
    action_bound: 1.0,
    frame_skip: 5,
    skipped: 1,
    velocity_clip: f64::INFINITY,
    position_noise: 0.1,
    velocity_noise: Noise::Normal(0.1),
    forward_weight: 1.0,
    control_weight: 0.1,
    healthy_reward: 0.0,
    progress: Progress::Position,
    forces: Forces::None,
    is_healthy: |_| true,
};

const SWIMMER: Spec = Spec {
    id: "Swimmer-v5",
    model: "swimmer.xml",
    sizes: Sizes { qpos: 5, qvel: 5, ctrl: 2, bodies: 4 },
    frame_skip: 4,
    skipped: 2,
    velocity_noise: Noise::Uniform(0.1),
    control_weight: 1e-4,
    ..HALF_CHEETAH
};

const HOPPER: Spec = Spec {
    id: "Hopper-v5",
    model: "hopper.xml",
    sizes: Sizes { qpos: 6, qvel: 6, ctrl: 3, bodies: 5 },
    frame_skip: 4,
    velocity_clip: 10.0,
    position_noise: 5e-3,
    velocity_noise: Noise::Uniform(5e-3),
    control_weight: 1e-3,
    healthy_reward: 1.0,
    is_healthy: |state| {
        let is_moderate = state[2..].iter().all(|value| -100.0 < *value && *value < 100.0);
        is_moderate && 0.7 < state[1] && state[1] < f64::INFINITY && -0.2 < state[2] && state[2] < 0.2
    },
    ..HALF_CHEETAH
};

const WALKER2D: Spec = Spec {
    id: "Walker2d-v5",
    model: "walker2d_v5.xml",
    sizes: Sizes { qpos: 9, qvel: 9, ctrl: 6, bodies: 8 },
    is_healthy: |state| 0.8 < state[1] && state[1] < 2.0 && -1.0 < state[2] && state[2] < 1.0,
    ..HOPPER
};

/// Earns for health alone.
const INVERTED_PENDULUM: Spec = Spec {
    id: "InvertedPendulum-v5",
    model: "inverted_pendulum.xml",
    sizes: Sizes { qpos: 2, qvel: 2, ctrl: 1, bodies: 3 },
    action_bound: 3.0,
    frame_skip: 2,
    skipped: 0,
    position_noise: 0.01,
    velocity_noise: Noise::Uniform(0.01),
    forward_weight: 0.0,
    control_weight: 0.0,
    healthy_reward: 1.0,
    is_healthy: |state| state.iter().all(|value| value.is_finite()) && state[1].abs() <= 0.2,
    ..HALF_CHEETAH
};

const ANT: Spec = Spec {
    id: "Ant-v5",
    model: "ant.xml",
    sizes: Sizes { qpos: 15, qvel: 14, ctrl: 8, bodies: 14 },
    skipped: 2,
    control_weight: 0.5,
    healthy_reward: 1.0,
    progress: Progress::Torso,
    forces: Forces::Contacts,
    is_healthy: |state| state.iter().all(|value| value.is_finite()) && (0.2..=1.0).contains(&state[2]),
    ..HALF_CHEETAH
};

const HUMANOID: Spec = Spec {
    id: "Humanoid-v5",
    model: "humanoid.xml",
    sizes: Sizes { qpos: 24, qvel: 23, ctrl: 17, bodies: 14 },
    action_bound: 0.4,
    skipped: 2,
    position_noise: 0.01,
    velocity_noise: Noise::Uniform(0.01),
    forward_weight: 1.25,
    healthy_reward: 5.0,
    progress: Progress::Mass,
    forces: Forces::All,
    is_healthy: |state| 1.0 < state[2] && state[2] < 2.0,
    ..HALF_CHEETAH
};

impl Spec {
    /// Numbers of an observation.
    pub fn obs_dim(&self) -> usize {
        let Sizes { qpos, qvel, bodies, .. } = self.sizes;
        let forces = match self.forces {
            Forces::None => 0,
            Forces::Contacts => 6 * (bodies - 1),
            Forces::All => (10 + 6 + 6) * (bodies - 1) + qvel - 6,
        };
        qpos + qvel - self.skipped + forces
    }

    /// Whether fields beyond the state are needed.
    pub fn needs_fields(&self) -> bool {
        self.forces != Forces::None
    }

    /// Where what must move forward is, in m.
    pub fn place(&self, data: &Data, state: &[f64]) -> f64 {
        match self.progress {
            Progress::Position => state[0],
            Progress::Torso => data.field(Field::Xpos)[3],
            Progress::Mass => {
                let mass = data.model().body_mass();
                let moment = mass.iter().zip(data.field(Field::Xipos).chunks_exact(3));
                moment.map(|(mass, centre)| mass * centre[0]).sum::<f64>() / mass.iter().sum::<f64>()
            }
        }
    }

    /// The reward for moving at a velocity (m/s) with an action, and whether the task ended.
    pub fn reward(&self, data: &Data, state: &[f64], velocity: f64, action: &[f64]) -> (f64, bool) {
        let is_healthy = (self.is_healthy)(state);
        let health = if is_healthy { self.healthy_reward } else { 0.0 };
        let control = self.control_weight * squares(action.iter().copied());
        let contacts = match self.forces {
            Forces::None => 0.0,
            Forces::Contacts => 5e-4 * squares(data.field(Field::CfrcExt).iter().map(|force| force.clamp(-1.0, 1.0))),
            Forces::All => (5e-7 * squares(data.field(Field::CfrcExt).iter().copied())).min(10.0),
        };
        (self.forward_weight * velocity + health - control - contacts, !is_healthy)
    }

    /// Writes what is observed, `[obs_dim]`.
    pub fn observe(&self, data: &Data, state: &[f64], obs: &mut [f32]) {
        let (positions, velocities) = state.split_at(self.sizes.qpos);
        let clipped = velocities.iter().map(|value| value.clamp(-self.velocity_clip, self.velocity_clip));
        let mut rest = write(obs, positions[self.skipped..].iter().copied().chain(clipped));
        match self.forces {
            Forces::None => {}
            Forces::Contacts => {
                let forces = data.field(Field::CfrcExt)[6..].iter();
                rest = write(rest, forces.map(|force| force.clamp(-1.0, 1.0)));
            }
            Forces::All => {
                // The world, the first body, is left out, and so are the joints that no actuator drives.
                let parts = [(Field::Cinert, 10), (Field::Cvel, 6), (Field::QfrcActuator, 6), (Field::CfrcExt, 6)];
                for (field, skipped) in parts {
                    rest = write(rest, data.field(field)[skipped..].iter().copied());
                }
            }
        }
        assert!(rest.is_empty(), "{} numbers of an observation are missing", rest.len());
    }
}

/// Writes the numbers at the start of a slice, and returns the rest.
fn write(obs: &mut [f32], numbers: impl Iterator<Item = f64>) -> &mut [f32] {
    let mut count = 0;
    for (place, number) in obs.iter_mut().zip(numbers) {
        *place = number as f32;
        count += 1;
    }
    &mut obs[count..]
}

fn squares(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(|number| number * number).sum()
}
