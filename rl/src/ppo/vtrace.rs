//! Advantages from experience of an older policy.

use super::RolloutBatch;

/// How far V-trace believes in experience of an older policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vtrace {
    /// Discount per step.
    pub gamma: f32,
    /// Lambda of generalised advantage estimation, which weighs traces as well.
    pub lambda: f32,
    /// Bound of the ratio that weighs a step's own error.
    pub rho_clip: f32,
    /// Bound of the ratio that weighs the errors of later steps.
    pub trace_clip: f32,
}

impl Vtrace {
    /// Writes advantages, weighted by their ratio, and targets of the value (`[steps, envs]` both), from the ratios of the
    /// present policy's probabilities to those of the one that acted.
    ///
    /// With `rho = min(rho_clip, ratio)`, `c = lambda min(trace_clip, ratio)` and `delta` as in generalised advantage
    /// estimation, the target is `V + e` with `e_t = rho_t delta_t + gamma c_t e_(t+1)`, and the advantage
    /// `rho_t (delta_t + gamma lambda e_(t+1))`. Where all ratios are 1 both are those of that estimation. Values are
    /// those that the rollout brought: any fixed function serves as the baseline.
    ///
    /// Source: Espeholt et al. 2018, "IMPALA", equation 1 and remark 2.
    pub fn estimate(
        self,
        batch: &RolloutBatch,
        (rewards, ratios): (&[f32], &[f32]),
        (advantages, targets): (&mut [f32], &mut [f32]),
    ) {
        for env in 0..batch.envs {
            let mut later = 0.0;
            for row in (0..batch.steps).rev().map(|step| step * batch.envs + env) {
                if batch.terminated[row] || batch.truncated[row] {
                    later = 0.0;
                }
                let delta = rewards[row] + self.gamma * batch.next_values[row] - batch.values[row];
                let (rho, c) = (ratios[row].min(self.rho_clip), self.lambda * ratios[row].min(self.trace_clip));
                advantages[row] = rho * (delta + self.gamma * self.lambda * later);
                later = rho * delta + self.gamma * c * later;
                targets[row] = batch.values[row] + later;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{ActionRows, Random};
    use crate::ppo::{SeenStats, generalized_advantages};

    const STEPS: usize = 30;
    const ENVS: usize = 3;

    fn normals(stream: u64) -> Vec<f32> {
        let mut out = vec![0.0; STEPS * ENVS];
        Random::new(8, stream).fill_normal(&mut out);
        out
    }

    fn batch() -> RolloutBatch {
        let mut random = Random::new(4, 0);
        let mut flags = |share: f32| (0..STEPS * ENVS).map(|_| random.uniform() < share).collect::<Vec<_>>();
        let (terminated, truncated) = (flags(0.1), flags(0.1));
        let mut next_values = normals(2);
        next_values.iter_mut().zip(&terminated).for_each(|(v, ended)| *v = if *ended { 0.0 } else { *v });
        RolloutBatch {
            steps: STEPS,
            envs: ENVS,
            policy_version: 0,
            obs: vec![],
            actions: ActionRows::Discrete(vec![]),
            masks: vec![],
            log_probs: vec![],
            rewards: normals(0),
            values: normals(1),
            next_values,
            terminated,
            truncated,
            episodes: vec![],
            seen: SeenStats::default(),
            memory: None,
        }
    }

    fn estimate(vtrace: Vtrace, ratios: &[f32]) -> [Vec<f32>; 2] {
        let batch = batch();
        let [mut advantages, mut targets] = [(); 2].map(|()| vec![f32::NAN; STEPS * ENVS]);
        vtrace.estimate(&batch, (&batch.rewards, ratios), (&mut advantages, &mut targets));
        [advantages, targets]
    }

    #[test]
    fn without_lag_it_is_generalised_advantage_estimation() {
        let vtrace = Vtrace { gamma: 0.97, lambda: 0.9, rho_clip: 1.0, trace_clip: 1.0 };
        let [advantages, targets] = estimate(vtrace, &[1.0; STEPS * ENVS]);
        let mut want = vec![0.0; STEPS * ENVS];
        generalized_advantages(&batch(), 0.97, 0.9, &mut want);
        let values = batch().values;
        for row in 0..STEPS * ENVS {
            assert!((advantages[row] - want[row]).abs() < 1e-5, "row {row}");
            assert!((targets[row] - want[row] - values[row]).abs() < 1e-5, "row {row}");
        }
    }

    #[test]
    fn it_equals_the_sum_of_the_paper() {
        let vtrace = Vtrace { gamma: 0.97, lambda: 0.9, rho_clip: 1.2, trace_clip: 0.8 };
        let ratios: Vec<f32> = normals(3).iter().map(|z| (0.5 * z).exp()).collect();
        let ([advantages, targets], batch) = (estimate(vtrace, &ratios), batch());
        // The value's error from `row` on: the sum over k of gamma^k (product of c) rho delta, in double precision.
        let error = |row: usize| {
            let (mut sum, mut weight) = (0.0, 1.0);
            for row in (row..STEPS * ENVS).step_by(ENVS) {
                let [r, v, next] = [&batch.rewards, &batch.values, &batch.next_values].map(|x| f64::from(x[row]));
                let ratio = f64::from(ratios[row]);
                sum += weight * ratio.min(1.2) * (r + 0.97 * next - v);
                weight *= 0.97 * 0.9 * ratio.min(0.8);
                if batch.terminated[row] || batch.truncated[row] {
                    break;
                }
            }
            sum
        };
        for row in 0..STEPS * ENVS {
            let want = f64::from(batch.values[row]) + error(row);
            assert!((f64::from(targets[row]) - want).abs() < 1e-4, "row {row}: {} against {want}", targets[row]);
            let is_last = batch.terminated[row] || batch.truncated[row] || row + ENVS >= STEPS * ENVS;
            let later = if is_last { 0.0 } else { error(row + ENVS) };
            let [r, v, next] = [&batch.rewards, &batch.values, &batch.next_values].map(|x| f64::from(x[row]));
            let want = f64::from(ratios[row]).min(1.2) * (r + 0.97 * next - v + 0.97 * 0.9 * later);
            assert!((f64::from(advantages[row]) - want).abs() < 1e-4, "row {row}: {} against {want}", advantages[row]);
        }
    }
}
