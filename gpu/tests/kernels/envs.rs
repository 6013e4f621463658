//! Environments against the CPU: formulas of single precision, in the order in which `rayline-rl` has them.

use std::f32::consts::PI;

use rayline_gpu::kernels::{DeviceEnvs, EnvOptions, EnvsOut};
use rayline_gpu::{Element, GpuError, Stream};

use crate::bits;
use crate::common::{Bench, numbers};
use crate::philox::words_at;

const ROUNDER: f32 = 12_582_912.0;
const HALF_PI: [f32; 3] = [201.0 / 128.0, 8117.0 / 16_777_216.0, 1.589_325_5e-8];

/// What a task does in one step: the next state, the reward and whether it ended.
trait Task<const S: usize, const O: usize> {
    type Action: Element;
    fn start(words: [u32; 4]) -> [f32; S];
    fn advance(state: [f32; S], action: Self::Action) -> ([f32; S], f32, bool);
    fn observe(state: [f32; S]) -> [f32; O];
    fn actions(seed: u64, len: usize) -> Vec<Self::Action>;
}

struct CartPole;
struct Pendulum;

impl Task<4, 4> for CartPole {
    type Action = u32;

    fn start(words: [u32; 4]) -> [f32; 4] {
        words.map(|word| uniform(word, -0.05, 0.05))
    }

    fn advance([x, x_dot, theta, theta_dot]: [f32; 4], action: u32) -> ([f32; 4], f32, bool) {
        let force = if action == 1 { 10.0 } else { -10.0 };
        let z = theta * theta;
        let sin = theta + theta * z * (-1.0 / 6.0 + z * (1.0 / 120.0 + z * (-1.0 / 5040.0)));
        let cos = 1.0 - 0.5 * z + z * z * (1.0 / 24.0 + z * (-1.0 / 720.0 + z * (1.0 / 40_320.0)));
        let pushed = (force + 0.05 * theta_dot * theta_dot * sin) * (1.0 / 1.1);
        let inertia = 0.5 * (4.0 / 3.0 - (0.1 / 1.1) * cos * cos);
        let theta_acceleration = (9.8 * sin - cos * pushed) / inertia;
        let x_acceleration = pushed - (0.05 / 1.1) * theta_acceleration * cos;
        let state = [
            x + 0.02 * x_dot,
            x_dot + 0.02 * x_acceleration,
            theta + 0.02 * theta_dot,
            theta_dot + 0.02 * theta_acceleration,
        ];
        let has_fallen = state[0].abs() > 2.4 || state[2].abs() > 12.0 * 2.0 * PI / 360.0;
        (state, 1.0, has_fallen)
    }

    fn observe(state: [f32; 4]) -> [f32; 4] {
        state
    }

    fn actions(seed: u64, len: usize) -> Vec<u32> {
        numbers(seed, len).iter().map(|number| u32::from(*number > 0.0)).collect()
    }
}

impl Task<2, 3> for Pendulum {
    type Action = f32;

    fn start([angle, speed, ..]: [u32; 4]) -> [f32; 2] {
        [uniform(angle, -PI, PI), uniform(speed, -1.0, 1.0)]
    }

    fn advance([angle, speed]: [f32; 2], action: f32) -> ([f32; 2], f32, bool) {
        let torque = action.clamp(-2.0, 2.0);
        let cost = angle * angle + 0.1 * (speed * speed) + 0.001 * (torque * torque);
        let speed = (speed + (15.0 * sin_cos(angle).0 + 3.0 * torque) * 0.05).clamp(-8.0, 8.0);
        ([wrapped(angle + speed * 0.05), speed], -cost, false)
    }

    fn observe([angle, speed]: [f32; 2]) -> [f32; 3] {
        let (sin, cos) = sin_cos(angle);
        [cos, sin, speed]
    }

    fn actions(seed: u64, len: usize) -> Vec<f32> {
        numbers(seed, len).iter().map(|number| number * 3.0).collect()
    }
}

fn uniform(word: u32, low: f32, high: f32) -> f32 {
    low + (high - low) * ((word >> 8) as f32 * (1.0 / 16_777_216.0))
}

fn sin_cos(x: f32) -> (f32, f32) {
    let rounded = x * std::f32::consts::FRAC_2_PI + ROUNDER;
    let (quadrant, turns) = (rounded.to_bits(), rounded - ROUNDER);
    let r = ((x - turns * HALF_PI[0]) - turns * HALF_PI[1]) - turns * HALF_PI[2];
    let z = r * r;
    let sin = r + r * z * (-0.166_666_64 + z * (0.008_332_746 + z * -0.000_195_874_47));
    let cos = 1.0 - 0.5 * z + z * z * (0.041_666_664 + z * (-0.001_388_830_1 + z * 2.454_748_8e-5));
    let (first, second) = if quadrant & 1 == 0 { (sin, cos) } else { (cos, sin) };
    let signed = |value: f32, bit: u32| f32::from_bits(value.to_bits() ^ (bit << 30));
    (signed(first, quadrant & 2), signed(second, quadrant.wrapping_add(1) & 2))
}

fn wrapped(x: f32) -> f32 {
    let turns = (x * (0.5 * std::f32::consts::FRAC_1_PI) + ROUNDER) - ROUNDER;
    ((x - turns * (4.0 * HALF_PI[0])) - turns * (4.0 * HALF_PI[1])) - turns * (4.0 * HALF_PI[2])
}

/// One environment on the CPU.
struct Reference<const S: usize> {
    state: [f32; S],
    episode: u64,
    length: u32,
    total: f32,
    last: Option<(Vec<f32>, f32, u32)>,
}

fn step_reference<T: Task<S, O>, const S: usize, const O: usize>(
    env: &mut Reference<S>,
    index: u64,
    action: T::Action,
    options: EnvOptions,
) -> (Vec<f32>, f32, [u8; 2]) {
    let (state, reward, terminated) = T::advance(env.state, action);
    (env.state, env.length, env.total) = (state, env.length + 1, env.total + reward);
    let truncated = env.length >= options.length_max;
    if terminated || truncated {
        env.last = Some((T::observe(state).to_vec(), env.total, env.length));
        (env.episode, env.length, env.total) = (env.episode + 1, 0, 0.0);
        env.state = T::start(words_at(options.seed, options.first_index + index, env.episode));
    }
    (T::observe(env.state).to_vec(), reward, [terminated.into(), truncated.into()])
}

fn agrees<T: Task<S, O>, const S: usize, const O: usize>(
    stream: &Stream,
    envs: &mut DeviceEnvs<T::Action>,
    upload: impl Fn(&[T::Action]) -> rayline_gpu::DeviceBuffer<T::Action>,
    options: EnvOptions,
) -> usize {
    let count = options.env_count as u64;
    let start = |index| T::start(words_at(options.seed, options.first_index + index, 1));
    let new = |index| Reference::<S> { state: start(index), episode: 1, length: 0, total: 0.0, last: None };
    let mut references: Vec<_> = (0..count).map(new).collect();
    let first: Vec<f32> = references.iter().flat_map(|env| T::observe(env.state)).collect();
    assert_eq!(bits(&stream.to_vec(&envs.out().obs).unwrap()), bits(&first));
    let mut ends = 0;
    for step in 0..60 {
        let actions = T::actions(step + 1, count as usize);
        envs.step(stream, &upload(&actions)).unwrap();
        let stepped: Vec<_> = (references.iter_mut().zip(0..).zip(&actions))
            .map(|((env, index), action)| step_reference::<T, S, O>(env, index, *action, options))
            .collect();
        let EnvsOut { obs, rewards, terminated, truncated, .. } = envs.out();
        let expected: Vec<f32> = stepped.iter().flat_map(|(obs, ..)| obs.clone()).collect();
        assert_eq!(bits(&stream.to_vec(obs).unwrap()), bits(&expected), "observations of step {step}");
        let expected: Vec<f32> = stepped.iter().map(|(_, reward, _)| *reward).collect();
        assert_eq!(bits(&stream.to_vec(rewards).unwrap()), bits(&expected), "rewards of step {step}");
        for (at, flags) in [terminated, truncated].into_iter().enumerate() {
            let expected: Vec<u8> = stepped.iter().map(|(.., flags)| flags[at]).collect();
            assert_eq!(stream.to_vec(flags).unwrap(), expected, "ends of step {step}");
            ends += expected.iter().filter(|flag| **flag == 1).count();
        }
        check_finals(stream, envs.out(), &references, O);
    }
    ends
}

fn check_finals<const S: usize>(stream: &Stream, out: &EnvsOut, references: &[Reference<S>], obs_len: usize) {
    let [obs, totals] = [&out.final_obs, &out.final_totals].map(|buffer| stream.to_vec(buffer).unwrap());
    let lengths = stream.to_vec(&out.final_lengths).unwrap();
    for (env, reference) in references.iter().enumerate() {
        let Some((last, total, length)) = &reference.last else { continue };
        assert_eq!(bits(&obs[env * obs_len..][..obs_len]), bits(last), "environment {env}");
        assert_eq!((totals[env].to_bits(), lengths[env]), (total.to_bits(), *length), "environment {env}");
    }
}

const OPTIONS: EnvOptions = EnvOptions { env_count: 300, seed: 11 << 33, first_index: 5, length_max: 25 };

#[test]
fn cart_poles_go_as_those_of_the_cpu_bit_by_bit() {
    let Bench { stream, lease, modules, .. } = Bench::new();
    let mut envs = DeviceEnvs::cart_pole(&modules, &lease, &stream, OPTIONS).unwrap();
    let upload = |actions: &[u32]| lease.upload(&stream, actions).unwrap();
    let ends = agrees::<CartPole, 4, 4>(&stream, &mut envs, upload, OPTIONS);
    assert!(ends > 600, "episodes ended {ends} times");
}

#[test]
fn pendulums_go_as_those_of_the_cpu_bit_by_bit() {
    let Bench { stream, lease, modules, .. } = Bench::new();
    let mut envs = DeviceEnvs::pendulum(&modules, &lease, &stream, OPTIONS).unwrap();
    let upload = |actions: &[f32]| lease.upload(&stream, actions).unwrap();
    let ends = agrees::<Pendulum, 2, 3>(&stream, &mut envs, upload, OPTIONS);
    assert_eq!(ends, 2 * 300);
}

#[test]
fn actions_are_as_many_as_environments() {
    let Bench { stream, lease, modules, .. } = Bench::new();
    let mut envs = DeviceEnvs::pendulum(&modules, &lease, &stream, OPTIONS).unwrap();
    let error = envs.step(&stream, &lease.zeros(&stream, 299).unwrap()).unwrap_err();
    assert!(matches!(error, GpuError::Length { what: "actions", expected: 300, found: 299 }), "{error}");
    let none = EnvOptions { env_count: 0, ..OPTIONS };
    assert!(matches!(DeviceEnvs::pendulum(&modules, &lease, &stream, none), Err(GpuError::Range { .. })));
}
