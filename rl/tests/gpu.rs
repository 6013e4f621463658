//! The kernels of `rayline-gpu`, on its fake driver, against the parts of this crate that they stand for: bit by bit.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::path::PathBuf;

use rayline_gpu::kernels::{self, DeviceEnvs, EnvOptions};
use rayline_gpu::{Compile, Context, DeviceBuffer, Element, Gpu, Lease, MemoryPool, ModuleCache, Stream};
use rayline_rl::env::{ActionBuf, ActionSampler, Actions, Batch, Dynamics, Lane, StepBuf, VecEnv, fast};
use rayline_rl::nn::{ActionRows, Adam, Random};
use rayline_rl::ppo::{RolloutBatch, SeenStats, generalized_advantages};

const OPTIONS: EnvOptions = EnvOptions { env_count: 101, seed: 1 << 40 | 7, first_index: 3, length_max: 40 };
const STEPS: usize = 150;

struct Bench {
    stream: Stream,
    lease: Lease,
    modules: ModuleCache,
}

impl Bench {
    fn new() -> Self {
        let gpu = Gpu::discover_by(&library()).unwrap();
        let context = Context::new(&gpu.devices()[0]).unwrap();
        let lease = MemoryPool::new(&context).unwrap().lease(u64::MAX);
        let modules = ModuleCache::new(&context, Compile::Never);
        Self { stream: Stream::new(&context).unwrap(), lease, modules }
    }

    fn upload<T: Element>(&self, values: &[T]) -> DeviceBuffer<T> {
        self.lease.upload(&self.stream, values).unwrap()
    }

    fn bits(&self, buffer: &DeviceBuffer<f32>) -> Vec<u32> {
        bits(&self.stream.to_vec(buffer).unwrap())
    }
}

/// Where Cargo put the fake driver: with the dependencies of this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().join("librayline_fake_cuda.so")
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

fn flags(flags: &[bool]) -> Vec<u8> {
    flags.iter().map(|flag| u8::from(*flag)).collect()
}

/// Steps both by the same random actions, and compares all that they give. Returns how many episodes ended.
fn agree<D: Dynamics<S, O>, const S: usize, const O: usize>(
    bench: &Bench,
    dynamics: D,
    device: &mut DeviceEnvs<D::Action>,
    actions_of: fn(Actions<'_>) -> &[D::Action],
) -> usize
where
    D::Action: Lane + Element,
{
    let stream = &bench.stream;
    let mut host = Batch::new(dynamics, OPTIONS.env_count as usize).unwrap().with_length_max(OPTIONS.length_max);
    let mut sampler = ActionSampler::new_from(host.action_space(), host.env_count(), 5, 0).unwrap();
    let mut actions = ActionBuf::new(host.action_space(), host.env_count());
    let mut out = StepBuf::new(&host);
    host.reset_from(OPTIONS.seed, OPTIONS.first_index, &mut out.obs).unwrap();
    assert_eq!(bench.bits(&device.out().obs), bits(&out.obs), "after the reset");
    let mut ends = 0;
    for step in 0..STEPS {
        sampler.fill(&mut actions);
        host.step(actions.as_actions(), out.out()).unwrap();
        device.step(stream, &bench.upload(actions_of(actions.as_actions()))).unwrap();
        let found = device.out();
        assert_eq!(bench.bits(&found.obs), bits(&out.obs), "observations of step {step}");
        assert_eq!(bench.bits(&found.rewards), bits(&out.rewards), "rewards of step {step}");
        assert_eq!(stream.to_vec(&found.terminated).unwrap(), flags(&out.terminated), "step {step}");
        assert_eq!(stream.to_vec(&found.truncated).unwrap(), flags(&out.truncated), "step {step}");
        let [last, totals] = [&found.final_obs, &found.final_totals].map(|buffer| stream.to_vec(buffer).unwrap());
        let lengths = stream.to_vec(&found.final_lengths).unwrap();
        for episode in out.finished.iter() {
            let at = episode.env;
            assert_eq!(bits(&last[at * O..][..O]), bits(episode.final_obs), "step {step}, environment {at}");
            assert_eq!((f64::from(totals[at]), lengths[at]), (episode.total_reward, episode.length));
            ends += 1;
        }
    }
    ends
}

#[test]
fn cart_poles_are_those_of_the_batch() {
    let bench = Bench::new();
    let mut device = DeviceEnvs::cart_pole(&bench.modules, &bench.lease, &bench.stream, OPTIONS).unwrap();
    let ends = agree(&bench, fast::CartPole, &mut device, |actions| match actions {
        Actions::Discrete(choices) => choices,
        Actions::Continuous(_) => panic!("choices"),
    });
    assert!(ends > 3 * 101, "{ends} episodes");
}

#[test]
fn pendulums_are_those_of_the_batch() {
    let bench = Bench::new();
    let mut device = DeviceEnvs::pendulum(&bench.modules, &bench.lease, &bench.stream, OPTIONS).unwrap();
    let ends = agree(&bench, fast::Pendulum, &mut device, |actions| match actions {
        Actions::Continuous(values) => values,
        Actions::Discrete(_) => panic!("values"),
    });
    assert_eq!(ends, 3 * 101);
}

fn normals(count: usize, stream: u64) -> Vec<f32> {
    let mut out = vec![0.0; count];
    Random::new(2, stream).fill_normal(&mut out);
    out
}

#[test]
fn advantages_are_those_of_ppo() {
    let (bench, steps, envs) = (Bench::new(), 33, 19);
    let rows = steps * envs;
    let ends = |stream| normals(rows, stream).iter().map(|number| *number > 1.0).collect::<Vec<_>>();
    let batch = RolloutBatch {
        steps,
        envs,
        policy_version: 0,
        obs: vec![],
        actions: ActionRows::Discrete(vec![]),
        log_probs: vec![],
        next_values: normals(rows, 0),
        rewards: normals(rows, 1),
        values: normals(rows, 2),
        terminated: ends(3),
        truncated: ends(4),
        masks: vec![],
        episodes: vec![],
        seen: SeenStats::default(),
        memory: None,
    };
    let mut expected = vec![0.0; rows];
    generalized_advantages(&batch, 0.98, 0.9, &mut expected);
    let mut found = bench.lease.allocate(&bench.stream, rows).unwrap();
    let inputs = kernels::GaeInputs {
        rewards: &bench.upload(&batch.rewards),
        values: &bench.upload(&batch.values),
        next_values: &bench.upload(&batch.next_values),
        terminated: &bench.upload(&flags(&batch.terminated)),
        truncated: &bench.upload(&flags(&batch.truncated)),
    };
    let gae = kernels::Gae::new(&bench.modules).unwrap();
    gae.run(&bench.stream, &inputs, envs as u32, [0.98, 0.9], &mut found).unwrap();
    assert_eq!(bench.bits(&found), bits(&expected));
}

#[test]
fn steps_of_the_optimiser_are_those_of_the_cpu() {
    let (bench, len) = (Bench::new(), 5000);
    let mut expected = normals(len, 0);
    let mut host = Adam::new(len);
    let device = kernels::Adam::new(&bench.modules, kernels::AdamOptions::default()).unwrap();
    let mut state = kernels::AdamState::new(&bench.lease, &bench.stream, len).unwrap();
    let (mut found, rate) = (bench.upload(&expected), bench.upload(&[3e-3f32]));
    for step in 1..=5 {
        let gradient = normals(len, step);
        host.step(&mut expected, &gradient, 3e-3, 1.0);
        device.step(&bench.stream, &mut found, &bench.upload(&gradient), &rate, &mut state).unwrap();
        assert_eq!(bench.bits(&found), bits(&expected), "step {step}");
    }
    assert_eq!(state.progress(&bench.stream).unwrap().steps, host.steps());
}
