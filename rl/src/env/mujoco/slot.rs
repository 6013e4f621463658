//! One environment of a batch.

use std::sync::Arc;

use super::ffi::{Data, Model};
use super::task::{Noise, Spec};
use crate::env::Stream;

/// A simulation and what its episode has come to.
pub struct Slot {
    spec: &'static Spec,
    data: Data,
    random: Stream,
    /// Seconds between two steps of the task.
    seconds: f64,
    /// Positions, then velocities, `[nq + nv]`.
    state: Vec<f64>,
    /// Of the model, before noise, `[nq + nv]`.
    initial: Vec<f64>,
    ctrl: Vec<f64>,
    /// Where what must move forward was after the last step.
    place: f64,
    pub total_reward: f64,
    pub length: u32,
    /// The last observation of an episode that ended in the last step, `[obs_dim]`.
    pub final_obs: Vec<f32>,
}

impl Slot {
    /// `None` if there is no memory for the simulation.
    pub fn new(spec: &'static Spec, model: &Arc<Model>) -> Option<Self> {
        let data = Data::new(model)?;
        let mut state = vec![0.0; spec.sizes.qpos + spec.sizes.qvel];
        data.read_state(&mut state);
        let mut slot = Self {
            spec,
            data,
            random: Stream::new(0, 0),
            seconds: model.timestep() * f64::from(spec.frame_skip),
            initial: state.clone(),
            state,
            ctrl: vec![0.0; spec.sizes.ctrl],
            place: 0.0,
            total_reward: 0.0,
            length: 0,
            final_obs: vec![0.0; spec.obs_dim()],
        };
        slot.begin();
        Some(slot)
    }

    pub fn seed(&mut self, random: Stream) {
        self.random = random;
    }

    pub fn state(&self) -> &[f64] {
        &self.state
    }

    /// Begins an episode near the initial state of the model.
    pub fn begin(&mut self) {
        let mut state = std::mem::take(&mut self.state);
        state.copy_from_slice(&self.initial);
        let (positions, velocities) = state.split_at_mut(self.spec.sizes.qpos);
        let bound = self.spec.position_noise;
        positions.iter_mut().for_each(|position| *position += self.random.uniform(-bound, bound));
        for velocity in velocities {
            *velocity += match self.spec.velocity_noise {
                Noise::Uniform(bound) => self.random.uniform(-bound, bound),
                Noise::Normal(deviation) => deviation * self.random.normal(),
            };
        }
        self.begin_at(&state);
    }

    /// Begins an episode at a state, `[nq + nv]`.
    pub fn begin_at(&mut self, state: &[f64]) {
        self.data.reset();
        self.data.write_state(state);
        self.data.forward();
        self.state = state.to_vec();
        self.place = self.spec.place(&self.data, &self.state);
        (self.total_reward, self.length) = (0.0, 0);
    }

    pub fn observe(&self, obs: &mut [f32]) {
        self.spec.observe(&self.data, &self.state, obs);
    }

    /// Does an action, and returns the reward and whether the task ended.
    pub fn advance(&mut self, action: &[f32]) -> (f64, bool) {
        self.ctrl.iter_mut().zip(action).for_each(|(ctrl, action)| *ctrl = f64::from(*action));
        self.data.write_ctrl(&self.ctrl);
        self.data.step(self.spec.frame_skip);
        if self.spec.needs_fields() {
            self.data.rne_post_constraint();
        }
        self.data.read_state(&mut self.state);
        let place = self.spec.place(&self.data, &self.state);
        let velocity = (place - self.place) / self.seconds;
        self.place = place;
        let (reward, is_over) = self.spec.reward(&self.data, &self.state, velocity, &self.ctrl);
        self.total_reward += reward;
        self.length = self.length.saturating_add(1);
        (reward, is_over)
    }
}
