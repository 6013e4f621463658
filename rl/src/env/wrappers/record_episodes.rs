//! What the last episodes came to.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::forward;
use crate::env::{Actions, EnvError, Space, StepOut, VecEnv};

/// Remembers the last episodes: returns, lengths, durations. It changes nothing.
///
/// Inside a wrapper or outside of it, it sees the same returns: those of the environments.
///
/// Source: Gymnasium, `gymnasium.wrappers.RecordEpisodeStatistics`.
pub struct RecordEpisodes<E> {
    envs: E,
    window: usize,
    episodes: VecDeque<EpisodeRecord>,
    episode_count: u64,
    step_count: u64,
    /// When each environment's episode began, `[n]`.
    began: Vec<Instant>,
}

/// One finished episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpisodeRecord {
    /// Which environment of the batch.
    pub env: usize,
    /// Sum of the rewards, undiscounted.
    pub total_reward: f64,
    /// Steps from reset to end.
    pub length: u32,
    /// Wall time from reset to end.
    pub duration: Duration,
}

impl<E: VecEnv> RecordEpisodes<E> {
    /// Around `envs`; the last `window` episodes are kept.
    ///
    /// # Panics
    /// If `window` is 0.
    pub fn new(envs: E, window: usize) -> Self {
        assert!(window > 0, "a window of no episodes");
        let began = vec![Instant::now(); envs.env_count()];
        Self { envs, window, episodes: VecDeque::with_capacity(window), episode_count: 0, step_count: 0, began }
    }

    /// The last episodes, the oldest first, at most as many as the window is wide.
    pub fn episodes(&self) -> impl ExactSizeIterator<Item = &EpisodeRecord> {
        self.episodes.iter()
    }

    /// Episodes that have ended since the wrapper was made.
    pub fn episode_count(&self) -> u64 {
        self.episode_count
    }

    /// Steps of single environments since the wrapper was made.
    pub fn step_count(&self) -> u64 {
        self.step_count
    }

    /// Mean return of the episodes in the window; none before the first has ended.
    pub fn mean_return(&self) -> Option<f64> {
        self.mean(|episode| episode.total_reward)
    }

    /// Mean length of the episodes in the window.
    pub fn mean_length(&self) -> Option<f64> {
        self.mean(|episode| f64::from(episode.length))
    }

    /// What is wrapped.
    pub fn inner(&self) -> &E {
        &self.envs
    }

    fn mean(&self, of: impl Fn(&EpisodeRecord) -> f64) -> Option<f64> {
        let count = self.episodes.len();
        (count > 0).then(|| self.episodes.iter().map(of).sum::<f64>() / count as f64)
    }

    fn record(&mut self, episode: EpisodeRecord) {
        if self.episodes.len() == self.window {
            self.episodes.pop_front();
        }
        self.episodes.push_back(episode);
        self.episode_count += 1;
    }
}

impl<E: VecEnv> VecEnv for RecordEpisodes<E> {
    forward!(env_count -> usize, observation_space -> &Space, action_space -> &Space);

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.began.fill(Instant::now());
        self.envs.reset_from(seed, first_index, obs)
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.began[env] = Instant::now();
        self.envs.restart(env, obs)
    }

    fn step(&mut self, actions: Actions<'_>, mut out: StepOut<'_>) -> Result<(), EnvError> {
        self.envs.step(actions, out.reborrow())?;
        self.step_count += out.rewards.len() as u64;
        if out.finished.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        for episode in out.finished.iter() {
            let (env, total_reward, length) = (episode.env, episode.total_reward, episode.length);
            let duration = now.duration_since(std::mem::replace(&mut self.began[env], now));
            self.record(EpisodeRecord { env, total_reward, length, duration });
        }
        Ok(())
    }
}
