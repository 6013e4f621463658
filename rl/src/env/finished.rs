//! The episodes that ended in one step of a batch.

/// The episodes that ended in the last step of a batch, in the order of their environments.
///
/// Costs nothing for environments that go on: there is a row only for those that ended. One value is reused from step
/// to step, [`VecEnv::step`](super::VecEnv::step) empties it first.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    ends: Vec<End>,
    final_obs: Vec<f32>,
    obs_dim: usize,
}

/// One finished episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode<'a> {
    /// Which environment of the batch.
    pub env: usize,
    /// Sum of the rewards, undiscounted.
    pub total_reward: f64,
    /// Steps from reset to end.
    pub length: u32,
    /// The task ended: the value of the final observation is 0.
    pub terminated: bool,
    /// A limit cut the task short. If it had not also terminated, the value of the final observation still counts.
    pub truncated: bool,
    /// What was observed after the last action, before the reset, `[obs_dim]`.
    pub final_obs: &'a [f32],
}

/// What an episode leaves besides its final observation.
#[derive(Clone, Copy, Debug)]
struct End {
    env: usize,
    total_reward: f64,
    length: u32,
    terminated: bool,
    truncated: bool,
}

impl Finished {
    /// No episodes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all episodes; what follows has observations of `obs_dim` numbers. For implementors of
    /// [`VecEnv`](super::VecEnv).
    pub fn clear(&mut self, obs_dim: usize) {
        self.ends.clear();
        self.final_obs.clear();
        self.obs_dim = obs_dim;
    }

    /// Adds an episode. For implementors of [`VecEnv`](super::VecEnv).
    ///
    /// # Panics
    /// If the final observation has another length than `clear` was told.
    pub fn push(&mut self, episode: Episode<'_>) {
        let Episode { env, total_reward, length, terminated, truncated, final_obs } = episode;
        assert_eq!(final_obs.len(), self.obs_dim, "numbers in a final observation");
        self.ends.push(End { env, total_reward, length, terminated, truncated });
        self.final_obs.extend_from_slice(final_obs);
    }

    /// How many episodes ended.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether none did.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The episode at place `at`, counted from 0.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn episode(&self, at: usize) -> Episode<'_> {
        let End { env, total_reward, length, terminated, truncated } = self.ends[at];
        let final_obs = &self.final_obs[at * self.obs_dim..(at + 1) * self.obs_dim];
        Episode { env, total_reward, length, terminated, truncated, final_obs }
    }

    /// All of them, by environment.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Episode<'_>> {
        (0..self.len()).map(|at| self.episode(at))
    }

    /// Their final observations, `[len, obs_dim]` row-major, ready for a value network.
    pub fn final_obs(&self) -> &[f32] {
        &self.final_obs
    }

    /// The same to write to, for wrappers that change numbers in place.
    pub fn final_obs_mut(&mut self) -> &mut [f32] {
        &mut self.final_obs
    }
}
