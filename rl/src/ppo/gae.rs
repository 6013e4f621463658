//! Generalised advantage estimation.

use super::RolloutBatch;
use crate::nn::math::vectorized;

/// Writes the advantages of `batch` to `advantages` (`[steps, envs]`).
///
/// `A_t = delta_t + gamma lambda A_(t+1)` with `delta_t = r_t + gamma V(s_(t+1)) - V(s_t)`, where the sum stops at the
/// end of an episode. A terminated episode has no value after its end; a truncated one keeps the value of its final
/// observation (Pardo et al. 2018).
///
/// Source: Schulman et al. 2016, equation 16; Huang et al. 2022, core detail 5.
///
/// # Panics
/// If an array is not `[steps, envs]`.
pub fn generalized_advantages(batch: &RolloutBatch, gamma: f32, lambda: f32, advantages: &mut [f32]) {
    advantages_of(batch, &batch.rewards, [gamma, lambda], advantages);
}

/// The same with other rewards than those of the batch, `[steps, envs]`.
pub(super) fn advantages_of(batch: &RolloutBatch, rewards: &[f32], [gamma, lambda]: [f32; 2], advantages: &mut [f32]) {
    assert_eq!(advantages.len(), batch.rows(), "advantages must be [steps, envs]");
    vectorized(|| {
        for step in (0..batch.steps).rev() {
            let now = step * batch.envs..(step + 1) * batch.envs;
            let (before, after) = advantages.split_at_mut(now.end);
            let later = after.get(..batch.envs).unwrap_or(&[]);
            let (ended, truncated) = (&batch.terminated[now.clone()], &batch.truncated[now.clone()]);
            let (rewards, values) = (&rewards[now.clone()], &batch.values[now.clone()]);
            let (next_values, out) = (&batch.next_values[now.clone()], &mut before[now]);
            for env in 0..out.len() {
                let delta = rewards[env] + gamma * next_values[env] - values[env];
                let goes_on = !(ended[env] | truncated[env]);
                let rest = later.get(env).copied().unwrap_or(0.0);
                out[env] = delta + if goes_on { gamma * lambda * rest } else { 0.0 };
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{ActionRows, Random};

    /// Random rewards and values, with episode ends of both kinds; `next_values` as a collector fills them.
    fn batch(steps: usize, envs: usize) -> RolloutBatch {
        let mut random = Random::new(3, 0);
        let rows = steps * envs;
        let mut normals = || {
            let mut out = vec![0.0; rows];
            random.fill_normal(&mut out);
            out
        };
        let (rewards, values, final_values) = (normals(), normals(), normals());
        let mut flags = |share: f32| (0..rows).map(|_| random.uniform() < share).collect::<Vec<_>>();
        let (terminated, truncated) = (flags(0.15), flags(0.15));
        let next_values = (0..rows).map(|i| match (terminated[i], truncated[i], i + envs < rows) {
            (true, ..) => 0.0,
            (false, false, true) => values[i + envs],
            _ => final_values[i],
        });
        RolloutBatch {
            steps,
            envs,
            policy_version: 0,
            obs: vec![],
            actions: ActionRows::Discrete(vec![]),
            masks: vec![],
            log_probs: vec![],
            next_values: next_values.collect(),
            rewards,
            values,
            terminated,
            truncated,
            episodes: vec![],
            seen: Default::default(),
            memory: None,
        }
    }

    /// The sum over k of (gamma lambda)^k delta, written out from each step to its episode's end.
    fn reference(batch: &RolloutBatch, gamma: f64, lambda: f64, env: usize, step: usize) -> f64 {
        let (mut sum, mut weight) = (0.0, 1.0);
        for t in step..batch.steps {
            let i = t * batch.envs + env;
            let next = if batch.terminated[i] { 0.0 } else { f64::from(batch.next_values[i]) };
            sum += weight * (f64::from(batch.rewards[i]) + gamma * next - f64::from(batch.values[i]));
            weight *= gamma * lambda;
            if batch.terminated[i] || batch.truncated[i] {
                break;
            }
        }
        sum
    }

    #[test]
    fn equals_the_sum_written_out() {
        for (steps, envs) in [(1, 1), (40, 3), (17, 8), (5, 19)] {
            let batch = batch(steps, envs);
            let mut advantages = vec![f32::NAN; batch.rows()];
            generalized_advantages(&batch, 0.98, 0.9, &mut advantages);
            for (i, advantage) in advantages.iter().enumerate() {
                let want = reference(&batch, 0.98, 0.9, i % envs, i / envs);
                assert!((f64::from(*advantage) - want).abs() < 1e-4, "row {i}: {advantage} against {want}");
            }
        }
    }

    #[test]
    fn truncation_keeps_the_final_value_and_termination_does_not() {
        let mut batch = batch(1, 2);
        batch.rewards = vec![1.0, 1.0];
        batch.values = vec![0.5, 0.5];
        (batch.terminated, batch.truncated) = (vec![true, false], vec![false, true]);
        batch.next_values = vec![0.0, 10.0];
        let mut advantages = [0.0; 2];
        generalized_advantages(&batch, 0.9, 0.95, &mut advantages);
        assert_eq!(advantages, [0.5, 9.5]);
    }
}
