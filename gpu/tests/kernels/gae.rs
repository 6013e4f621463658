//! Generalised advantage estimation against the CPU.

use rayline_gpu::GpuError;
use rayline_gpu::kernels::{Gae, GaeInputs};

use crate::bits;
use crate::common::{Bench, numbers};

const GAMMA: f32 = 0.98;
const LAMBDA: f32 = 0.9;

struct Batch {
    rewards: Vec<f32>,
    values: Vec<f32>,
    next_values: Vec<f32>,
    terminated: Vec<u8>,
    truncated: Vec<u8>,
}

impl Batch {
    fn new(rows: usize) -> Self {
        let flags = |seed| numbers(seed, rows).iter().map(|number| u8::from(*number > 0.7)).collect();
        let (terminated, truncated) = (flags(4), flags(5));
        let [rewards, values, next_values] = [1, 2, 3].map(|seed| numbers(seed, rows));
        Self { rewards, values, next_values, terminated, truncated }
    }

    /// Operation by operation as the kernel.
    fn advantages(&self, envs: usize) -> Vec<f32> {
        let mut advantages = vec![0.0; self.rewards.len()];
        for row in (0..advantages.len()).rev() {
            let delta = self.rewards[row] + GAMMA * self.next_values[row] - self.values[row];
            let rest = advantages.get(row + envs).copied().unwrap_or(0.0);
            let goes_on = (self.terminated[row] | self.truncated[row]) == 0;
            advantages[row] = delta + if goes_on { GAMMA * LAMBDA * rest } else { 0.0 };
        }
        advantages
    }
}

#[test]
fn the_device_computes_what_the_cpu_does_bit_by_bit() {
    let Bench { stream, lease, modules, .. } = Bench::new();
    let gae = Gae::new(&modules).unwrap();
    for (steps, envs) in [(1, 1), (37, 300), (5, 256)] {
        let batch = Batch::new(steps * envs);
        let [rewards, values, next_values] =
            [&batch.rewards, &batch.values, &batch.next_values].map(|array| lease.upload(&stream, array).unwrap());
        let [terminated, truncated] =
            [&batch.terminated, &batch.truncated].map(|array| lease.upload(&stream, array).unwrap());
        let mut advantages = lease.allocate(&stream, steps * envs).unwrap();
        let inputs = GaeInputs {
            rewards: &rewards,
            values: &values,
            next_values: &next_values,
            terminated: &terminated,
            truncated: &truncated,
        };
        gae.run(&stream, &inputs, envs as u32, [GAMMA, LAMBDA], &mut advantages).unwrap();
        let found = stream.to_vec(&advantages).unwrap();
        let expected = batch.advantages(envs);
        assert_eq!(bits(&found), bits(&expected), "{steps} steps of {envs} environments");
    }
}

#[test]
fn arrays_of_another_shape_are_refused() {
    let Bench { stream, lease, modules, .. } = Bench::new();
    let gae = Gae::new(&modules).unwrap();
    let array = |len| lease.zeros::<f32>(&stream, len).unwrap();
    let flags = lease.zeros::<u8>(&stream, 12).unwrap();
    let (right, wrong, mut advantages) = (array(12), array(11), array(12));
    let inputs =
        |values| GaeInputs { rewards: &right, values, next_values: &right, terminated: &flags, truncated: &flags };
    let error = gae.run(&stream, &inputs(&wrong), 4, [0.9; 2], &mut advantages).unwrap_err();
    assert!(matches!(error, GpuError::Length { what: "values", expected: 12, found: 11 }), "{error}");
    let error = gae.run(&stream, &inputs(&right), 5, [0.9; 2], &mut advantages).unwrap_err();
    assert!(matches!(error, GpuError::Length { what: "advantages", expected: 10, found: 12 }), "{error}");
    for envs in [0, 13] {
        let error = gae.run(&stream, &inputs(&right), envs, [0.9; 2], &mut advantages).unwrap_err();
        assert!(matches!(error, GpuError::Range { .. }), "{error}");
    }
}
