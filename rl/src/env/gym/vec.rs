//! A batch of environments in Python processes.

use std::io::ErrorKind;
use std::ops::Range;
use std::time::Duration;

use super::process::{Process, poll_any};
use super::{Gym, GymError};
use crate::env::{Actions, EnvError, Episode, Space, StepOut, VecEnv};

/// A [`VecEnv`] of environments of Gymnasium, stepped by Python processes. Made by [`gym`](super::gym).
///
/// [`VecEnv::step`] waits for all of them. To act on some while others step, use [`GymVec::send`] and
/// [`GymVec::receive`] for single processes, with [`GymVec::wait_any`] between; [`GymVec::send_all`] and
/// [`GymVec::receive_all`] leave time for other work between the two halves of a step.
///
/// An error of a process ends that process; what it was asked last is lost, and all later calls of it fail.
pub struct GymVec {
    id: String,
    processes: Vec<Process>,
    observation_space: Space,
    action_space: Space,
    /// Return and length of each environment's episode, `[n]`.
    running: Vec<(f64, u32)>,
    final_obs: Vec<f32>,
    timeout: Duration,
}

impl GymVec {
    pub(super) fn new(gym: &Gym) -> Result<Self, EnvError> {
        if gym.envs == 0 {
            return Err(EnvError::Empty);
        }
        let count = gym.processes.clamp(1, gym.envs);
        let share = |process: usize| process * gym.envs / count..(process + 1) * gym.envs / count;
        // All import Gymnasium beside each other.
        let started: Result<Vec<_>, _> = (0..count).map(|process| Process::start(gym, share(process))).collect();
        let mut processes = started?;
        let spaces: Result<Vec<_>, _> = processes.iter_mut().map(Process::finish_start).collect();
        let mut spaces = spaces?;
        let (observation_space, action_space) = spaces.swap_remove(0);
        if spaces.iter().any(|(obs, act)| *obs != observation_space || *act != action_space) {
            let reason = "they differ between processes".to_owned();
            return Err(GymError::Spaces { id: gym.id.clone(), reason }.into());
        }
        if !action_space.is_of_one_kind() {
            return Err(EnvError::MixedActions { space: action_space.to_string() });
        }
        let (running, final_obs) = (vec![(0.0, 0); gym.envs], vec![0.0; observation_space.width()]);
        let (id, timeout) = (gym.id.clone(), gym.timeout);
        Ok(Self { id, processes, observation_space, action_space, running, final_obs, timeout })
    }

    /// How many processes there are.
    pub fn process_count(&self) -> usize {
        self.processes.len()
    }

    /// The system's number of a process, for tools that look into it.
    ///
    /// # Panics
    /// If there is no process `process`.
    pub fn process_id(&self, process: usize) -> u32 {
        self.processes[process].id()
    }

    /// Which environments of the batch a process steps.
    ///
    /// # Panics
    /// If there is no process `process`.
    pub fn envs_of(&self, process: usize) -> Range<usize> {
        self.processes[process].envs()
    }

    /// Sends the actions of one process's environments, `[its environments, width]`, and does not wait.
    ///
    /// # Errors
    /// As [`VecEnv::step`]; [`GymError::OutOfTurn`] if what it was sent before has not been received.
    ///
    /// # Panics
    /// If there is no process `process`.
    pub fn send(&mut self, process: usize, actions: Actions<'_>) -> Result<(), EnvError> {
        self.check(actions, self.envs_of(process))?;
        self.check_turn(process, false)?;
        Ok(self.processes[process].send_actions(actions)?)
    }

    /// Waits for one process, and writes what its environments give; `out` has rows for these alone, and
    /// [`Episode::env`] counts within them.
    ///
    /// # Errors
    /// [`EnvError::Gym`] if the process fails; [`GymError::OutOfTurn`] if it was sent nothing.
    ///
    /// # Panics
    /// If a slice of `out` has the wrong length, or there is no process `process`.
    pub fn receive(&mut self, process: usize, mut out: StepOut<'_>) -> Result<(), EnvError> {
        let obs_dim = self.observation_space.width();
        out.check(self.envs_of(process).len(), obs_dim);
        out.finished.clear(obs_dim);
        self.take(process, &mut out, 0)
    }

    /// Waits until a process can be received from without waiting, and returns its place.
    ///
    /// # Errors
    /// [`GymError::TimedOut`] if none answers in time; [`GymError::OutOfTurn`] if none was sent anything.
    pub fn wait_any(&mut self) -> Result<usize, EnvError> {
        let busy: Vec<usize> = (0..self.processes.len()).filter(|&at| self.processes[at].is_busy()).collect();
        if busy.is_empty() {
            let why = "was sent nothing to wait for";
            return Err(GymError::OutOfTurn { id: self.id.clone(), process: 0, why }.into());
        }
        match poll_any(busy.iter().map(|&at| self.processes[at].socket()), self.timeout) {
            Ok(place) => Ok(busy[place]),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                Err(GymError::TimedOut { id: self.id.clone(), after: self.timeout }.into())
            }
            Err(source) => Err(GymError::Io { action: "waiting for Python", source }.into()),
        }
    }

    /// The first half of [`VecEnv::step`]: sends all actions, `[n, width]`, and does not wait.
    ///
    /// # Errors
    /// As `send`; then some environments may have been sent theirs.
    pub fn send_all(&mut self, actions: Actions<'_>) -> Result<(), EnvError> {
        self.check(actions, 0..self.running.len())?;
        (0..self.processes.len()).try_for_each(|process| self.check_turn(process, false))?;
        let width = self.action_space.width();
        for process in &mut self.processes {
            let envs = process.envs();
            process.send_actions(rows(actions, envs, width))?;
        }
        Ok(())
    }

    /// The second half of [`VecEnv::step`]: waits for all environments.
    ///
    /// # Errors
    /// As `receive`.
    ///
    /// # Panics
    /// If a slice of `out` has the wrong length.
    pub fn receive_all(&mut self, mut out: StepOut<'_>) -> Result<(), EnvError> {
        out.check(self.running.len(), self.observation_space.width());
        out.finished.clear(self.observation_space.width());
        (0..self.processes.len()).try_for_each(|process| {
            let first = self.envs_of(process).start;
            self.take(process, &mut out, first)
        })
    }

    /// Waits for a process and writes its rows, the first of which is row `first` of `out`.
    fn take(&mut self, at: usize, out: &mut StepOut<'_>, first: usize) -> Result<(), EnvError> {
        self.check_turn(at, true)?;
        let obs_dim = self.observation_space.width();
        let process = &mut self.processes[at];
        let envs = process.envs();
        process.wait()?;
        let rows = first..first + envs.len();
        process.memory().read_obs(&mut out.obs[rows.start * obs_dim..rows.end * obs_dim])?;
        let (rewards, flags) = process.memory().read_results()?;
        for (row, (reward, flag)) in rows.clone().zip(rewards.iter().zip(flags)) {
            out.rewards[row] = *reward as f32;
            (out.terminated[row], out.truncated[row]) = (flag & 1 != 0, flag & 2 != 0);
            let (total_reward, length) = &mut self.running[envs.start + row - first];
            *total_reward += reward;
            *length = length.saturating_add(1);
        }
        for row in rows.filter(|&row| out.terminated[row] || out.truncated[row]) {
            process.memory().read_final(row - first, &mut self.final_obs)?;
            let (total_reward, length) = std::mem::take(&mut self.running[envs.start + row - first]);
            let (terminated, truncated, final_obs) = (out.terminated[row], out.truncated[row], &self.final_obs[..]);
            out.finished.push(Episode { env: row, total_reward, length, terminated, truncated, final_obs });
        }
        Ok(())
    }

    fn check_turn(&self, process: usize, must_be_busy: bool) -> Result<(), GymError> {
        let why = match (self.processes[process].is_busy(), must_be_busy) {
            (true, false) => "is still stepping: receive what it gives first",
            (false, true) => "was sent nothing to receive the result of",
            _ => return Ok(()),
        };
        if self.processes[process].has_failed() {
            return Err(GymError::Failed { id: self.id.clone() });
        }
        Err(GymError::OutOfTurn { id: self.id.clone(), process, why })
    }

    /// Refuses actions of a wrong kind or number, or outside their space, before any environment moves.
    fn check(&self, actions: Actions<'_>, envs: Range<usize>) -> Result<(), EnvError> {
        let width = self.action_space.width();
        match self.action_space.is_discrete() {
            true => actions.choices(&self.action_space).map(drop)?,
            false => actions.values(&self.action_space).map(drop)?,
        }
        let expected = envs.len() * width;
        if actions.value_count() != expected {
            return Err(EnvError::ActionLen { expected, found: actions.value_count() });
        }
        let is_valid = |env: &usize| match actions.row(*env, width) {
            Actions::Continuous(values) => values.iter().all(|value| value.is_finite()),
            choices => self.action_space.contains(choices),
        };
        match (0..envs.len()).find(|env| !is_valid(env)) {
            Some(env) => {
                let action = format!("{:?}", actions.row(env, width));
                let space = self.action_space.to_string();
                Err(EnvError::ActionOutside { env: envs.start + env, action, space })
            }
            None => Ok(()),
        }
    }

    fn process_of(&self, env: usize) -> usize {
        self.processes.iter().position(|process| process.envs().contains(&env)).expect("an environment of the batch")
    }
}

impl VecEnv for GymVec {
    fn env_count(&self) -> usize {
        self.running.len()
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    /// Environment `i` is reset with the seed `seed + first_index + i`, as Gymnasium's vector environments do it.
    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        let obs_dim = self.observation_space.width();
        assert_eq!(obs.len(), self.running.len() * obs_dim, "numbers in obs");
        let first = seed.wrapping_add(first_index);
        for process in &mut self.processes {
            process.drain();
            let seeds: Vec<u64> = process.envs().map(|env| first.wrapping_add(env as u64)).collect();
            process.send_seeds(&seeds)?;
        }
        for process in &mut self.processes {
            process.wait()?;
            let envs = process.envs();
            process.memory().read_obs(&mut obs[envs.start * obs_dim..envs.end * obs_dim])?;
        }
        self.running.fill((0.0, 0));
        Ok(())
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        let at = self.process_of(env);
        self.check_turn(at, false)?;
        let process = &mut self.processes[at];
        let place = env - process.envs().start;
        process.send_restart(place)?;
        process.wait()?;
        self.running[env] = (0.0, 0);
        Ok(process.memory().read_row(place, obs)?)
    }

    fn step(&mut self, actions: Actions<'_>, mut out: StepOut<'_>) -> Result<(), EnvError> {
        out.check(self.running.len(), self.observation_space.width());
        self.send_all(actions)?;
        self.receive_all(out.reborrow())
    }
}

/// The actions of some environments.
fn rows(actions: Actions<'_>, envs: Range<usize>, width: usize) -> Actions<'_> {
    let range = envs.start * width..envs.end * width;
    match actions {
        Actions::Discrete(choices) => Actions::Discrete(&choices[range]),
        Actions::Continuous(values) => Actions::Continuous(&values[range]),
    }
}
