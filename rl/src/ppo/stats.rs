//! What training tells of itself.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::loss::Losses;

/// What one update did. Means over all minibatches, but for the two divergences: those are of the last epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateStats {
    /// Clipped surrogate loss.
    pub policy_loss: f32,
    /// Half the mean squared error of the value (clipped, where set).
    pub value_loss: f32,
    /// Entropy of the policy in nats.
    pub entropy: f32,
    /// Mean of `(r - 1) - ln r`: an unbiased estimate of the divergence of the new policy from the old, never negative
    /// (Schulman 2020, "Approximating KL divergence").
    pub approx_kl: f32,
    /// Mean of `-ln r`: the noisier estimate.
    pub old_approx_kl: f32,
    /// Share of rows whose ratio left the clip range.
    pub clip_fraction: f32,
    /// `1 - Var(returns - values) / Var(returns)` of the batch before the update: 1 is perfect, 0 no better than the
    /// mean.
    pub explained_variance: f32,
    /// Norm of the gradient before clipping.
    pub grad_norm: f32,
    /// Learning rate used.
    pub learning_rate: f32,
    /// Epochs begun: fewer than set where `target_kl` stopped the update.
    pub epochs: usize,
    /// Minibatches stepped on.
    pub minibatches: usize,
    /// Environment steps in the batch.
    pub rows: usize,
    /// Updates made between the oldest policy that gathered part of the batch and this update: 0 where rollouts and
    /// learning take turns.
    pub lag: u64,
}

/// Sums of what the minibatches of one update said, of which [`UpdateStats`] are the means.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StatsSums {
    sums: UpdateStats,
    /// Minibatches of the epoch under way, over which the divergences are taken.
    epoch_minibatches: usize,
}

impl StatsSums {
    /// Begins an epoch: the divergences start anew.
    pub fn begin_epoch(&mut self) {
        self.sums.epochs += 1;
        (self.sums.approx_kl, self.sums.old_approx_kl, self.epoch_minibatches) = (0.0, 0.0, 0);
    }

    /// Adds the divergence that a minibatch found, stepped on or not.
    pub fn add_divergence(&mut self, losses: Losses) {
        self.epoch_minibatches += 1;
        self.sums.approx_kl += losses.surrogate.approx_kl;
        self.sums.old_approx_kl += losses.surrogate.old_approx_kl;
    }

    /// Adds what else a minibatch said that is stepped on.
    pub fn add_step(&mut self, losses: Losses, grad_norm: f32) {
        let sums = &mut self.sums;
        sums.minibatches += 1;
        sums.policy_loss += losses.surrogate.loss;
        sums.value_loss += losses.value;
        sums.entropy += losses.entropy;
        sums.clip_fraction += losses.surrogate.clip_fraction;
        sums.grad_norm += grad_norm;
    }

    /// The means, with the fields that no minibatch tells left at their defaults.
    pub fn means(&self) -> UpdateStats {
        let share = 1.0 / self.sums.minibatches.max(1) as f32;
        let epoch_share = 1.0 / self.epoch_minibatches.max(1) as f32;
        UpdateStats {
            policy_loss: self.sums.policy_loss * share,
            value_loss: self.sums.value_loss * share,
            entropy: self.sums.entropy * share,
            approx_kl: self.sums.approx_kl * epoch_share,
            old_approx_kl: self.sums.old_approx_kl * epoch_share,
            clip_fraction: self.sums.clip_fraction * share,
            grad_norm: self.sums.grad_norm * share,
            ..self.sums
        }
    }
}

/// Returns and lengths of the last episodes, 100 of them by custom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeWindow {
    capacity: usize,
    returns: VecDeque<f64>,
    lengths: VecDeque<u32>,
}

impl EpisodeWindow {
    /// A window over the last `capacity` episodes.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, returns: VecDeque::new(), lengths: VecDeque::new() }
    }

    /// Takes in the episodes that ended in a batch.
    pub fn extend(&mut self, episodes: &[super::EpisodeEnd]) {
        for episode in episodes {
            if self.returns.len() == self.capacity {
                self.returns.pop_front();
                self.lengths.pop_front();
            }
            self.returns.push_back(episode.total_reward);
            self.lengths.push_back(episode.length);
        }
    }

    /// Whether as many episodes as the window holds have ended.
    pub fn is_full(&self) -> bool {
        self.returns.len() == self.capacity
    }

    /// The episode that ended last; `None` before the first.
    pub fn last(&self) -> Option<super::EpisodeEnd> {
        let (total_reward, length) = (*self.returns.back()?, *self.lengths.back()?);
        Some(super::EpisodeEnd { total_reward, length })
    }

    /// Mean return; `None` before the first episode.
    pub fn mean_return(&self) -> Option<f64> {
        (!self.returns.is_empty()).then(|| self.returns.iter().sum::<f64>() / self.returns.len() as f64)
    }

    /// Mean length in steps; `None` before the first episode.
    pub fn mean_length(&self) -> Option<f64> {
        let sum: u64 = self.lengths.iter().map(|l| u64::from(*l)).sum();
        (!self.lengths.is_empty()).then(|| sum as f64 / self.lengths.len() as f64)
    }
}

/// `1 - Var(target - prediction) / Var(target)`; 0 where the target does not vary.
pub(super) fn explained_variance(targets: &[f32], predictions: &[f32]) -> f32 {
    let target_variance = variance(targets.iter().map(|t| f64::from(*t)));
    let error_variance = variance(targets.iter().zip(predictions).map(|(t, p)| f64::from(t - p)));
    if target_variance > 0.0 { (1.0 - error_variance / target_variance) as f32 } else { 0.0 }
}

fn variance(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let (count, sum) = values.clone().fold((0u32, 0.0), |(count, sum), v| (count + 1, sum + v));
    let mean = sum / f64::from(count);
    values.map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ppo::EpisodeEnd;

    #[test]
    fn explained_variance_is_one_for_the_truth_and_zero_for_the_mean() {
        let targets = [1.0, 2.0, 3.0, 6.0];
        assert_eq!(explained_variance(&targets, &targets), 1.0);
        assert_eq!(explained_variance(&targets, &[3.0; 4]), 0.0);
        assert!(explained_variance(&targets, &[6.0, 3.0, 2.0, 1.0]) < 0.0);
        assert_eq!(explained_variance(&[1.0; 3], &[0.0; 3]), 0.0);
    }

    #[test]
    fn a_window_forgets_the_oldest() {
        let mut window = EpisodeWindow::new(2);
        assert_eq!(window.mean_return(), None);
        let end = |total_reward: f64| EpisodeEnd { total_reward, length: total_reward as u32 };
        window.extend(&[end(100.0)]);
        assert!(!window.is_full());
        window.extend(&[end(1.0), end(3.0)]);
        assert!(window.is_full());
        assert_eq!((window.mean_return(), window.mean_length()), (Some(2.0), Some(2.0)));
        assert_eq!(window.last(), Some(end(3.0)));
    }
}
