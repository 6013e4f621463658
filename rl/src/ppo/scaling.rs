//! Observations and rewards of a size that networks like.

use serde::{Deserialize, Serialize};

use super::{PpoConfig, PpoError};
use crate::env::wrappers::RunningStats;

/// Keeps numbers that never change finite.
const EPSILON: f64 = 1e-8;

/// Statistics of what was seen and earned: those of one rollout on their way to the learner, and those of the whole run
/// that it keeps; `None` where that isn't normalised.
///
/// Each rollout is observed with the scaling that came with its policy, and brings statistics of the numbers as they
/// were; the learner joins them in the order of the collectors. So a run is the same however it is spread, and
/// evaluation has the scaling of its snapshot, frozen.
///
/// Source: Stable-Baselines3, `VecNormalize`; Huang et al. 2022, continuous details 6 to 9.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeenStats {
    /// Of observations as the environments gave them, of `obs_dim` numbers.
    pub obs: Option<RunningStats>,
    /// Of discounted returns so far, one number a step.
    pub returns: Option<RunningStats>,
}

/// How a policy wants its observations: each number less its mean, times its scale, held within a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObsScaling {
    /// `[obs_dim]`.
    pub mean: Vec<f32>,
    /// Inverse deviations, `[obs_dim]`.
    pub scale: Vec<f32>,
    /// Bound on either side.
    pub clip: f32,
}

impl ObsScaling {
    /// Scales `obs` (`[rows, obs_dim]`) in place.
    pub fn apply(&self, obs: &mut [f32]) {
        for row in obs.chunks_exact_mut(self.mean.len()) {
            for (x, (mean, scale)) in row.iter_mut().zip(self.mean.iter().zip(&self.scale)) {
                *x = ((*x - mean) * scale).clamp(-self.clip, self.clip);
            }
        }
    }
}

impl SeenStats {
    /// Statistics that have seen nothing, of what `config` normalises.
    pub(super) fn new(config: &PpoConfig, obs_dim: usize) -> Self {
        Self::made_by(RunningStats::new, config, obs_dim)
    }

    /// The same for one rollout, to be added to those.
    pub(super) fn part(config: &PpoConfig, obs_dim: usize) -> Self {
        Self::made_by(RunningStats::part, config, obs_dim)
    }

    fn made_by(make: fn(usize) -> RunningStats, config: &PpoConfig, obs_dim: usize) -> Self {
        Self { obs: config.normalize_obs.then(|| make(obs_dim)), returns: config.normalize_reward.then(|| make(1)) }
    }

    /// The same, but what `config` normalises and wasn't so far starts from nothing, and the reverse is forgotten.
    pub(super) fn fit(self, config: &PpoConfig, obs_dim: usize) -> Self {
        let fresh = Self::new(config, obs_dim);
        let kept = |kept: Option<RunningStats>, fresh: Option<RunningStats>| fresh.map(|fresh| kept.unwrap_or(fresh));
        Self { obs: kept(self.obs, fresh.obs), returns: kept(self.returns, fresh.returns) }
    }

    /// Adds what a rollout has seen, where that is kept.
    pub(super) fn add(&mut self, seen: &Self) {
        let pairs = [(&mut self.obs, &seen.obs), (&mut self.returns, &seen.returns)];
        for (stats, seen) in pairs {
            if let (Some(stats), Some(seen)) = (stats, seen) {
                stats.add(seen);
            }
        }
    }

    /// The scaling of observations as of now; `None` where they are taken as they are.
    pub(super) fn obs_scaling(&self, clip: f32) -> Option<ObsScaling> {
        let stats = self.obs.as_ref()?;
        let mean = stats.mean().iter().map(|mean| *mean as f32).collect();
        let scale = stats.variance().iter().map(|variance| (variance + EPSILON).sqrt().recip() as f32).collect();
        Some(ObsScaling { mean, scale, clip })
    }

    /// What rewards are multiplied by; `None` where they are taken as they are.
    pub(super) fn reward_scale(&self) -> Option<f32> {
        self.returns.as_ref().map(|stats| (stats.variance()[0] + EPSILON).sqrt().recip() as f32)
    }

    /// An error unless the statistics are of vectors of these widths, and sound: they may come over a network.
    pub(super) fn check(&self, obs_dim: usize) -> Result<(), PpoError> {
        for (stats, width) in [(&self.obs, obs_dim), (&self.returns, 1)] {
            if let Some(stats) = stats.as_ref().filter(|stats| stats.len() != width || !stats.is_sound()) {
                let (expected, found) = (format!("sound ones of {width} numbers"), stats.len().to_string());
                return Err(PpoError::Mismatch { what: "statistics of the batch", expected, found });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_is_by_mean_and_deviation_and_bounded() {
        let config = PpoConfig { normalize_obs: true, normalize_reward: true, ..PpoConfig::cleanrl() };
        let mut stats = SeenStats::new(&config, 2);
        let mut seen = SeenStats::part(&config, 2);
        seen.obs.as_mut().unwrap().update(&[1.0, 10.0, 3.0, 10.0]);
        seen.returns.as_mut().unwrap().update(&[0.0, 4.0]);
        stats.add(&seen);
        let mut obs = [3.0, 10.0, 200.0, 9.0];
        stats.obs_scaling(5.0).unwrap().apply(&mut obs);
        assert!((obs[0] - 1.0).abs() < 1e-3 && obs[1].abs() < 1e-2 && obs[2..] == [5.0, -5.0], "{obs:?}");
        assert!((stats.reward_scale().unwrap() - 0.5).abs() < 1e-3);
        let none = SeenStats::default();
        assert_eq!((none.obs_scaling(5.0), none.reward_scale()), (None, None));
    }

    #[test]
    fn parts_add_up_to_the_whole_also_far_from_zero() {
        let config = PpoConfig { normalize_obs: true, ..PpoConfig::cleanrl() };
        let (mut stats, mut whole) = (SeenStats::new(&config, 1), RunningStats::new(1));
        for part in 0..50u16 {
            let numbers: Vec<f32> = (0..16).map(|i| 5_000.0 + f32::from((part * 7 + i) % 11)).collect();
            let mut seen = SeenStats::part(&config, 1);
            seen.obs.as_mut().unwrap().update(&numbers);
            stats.add(&seen);
            whole.update(&numbers);
        }
        let (found, want) = (stats.obs.unwrap().variance()[0], whole.variance()[0]);
        assert!((found - want).abs() < 1e-6 * want, "{found} against {want}");
    }

    #[test]
    fn statistics_of_another_width_are_refused() {
        let config = PpoConfig { normalize_obs: true, ..PpoConfig::cleanrl() };
        assert!(SeenStats::new(&config, 3).check(3).is_ok());
        assert!(SeenStats::new(&config, 3).check(2).is_err());
    }
}
