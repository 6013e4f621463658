//! Batches: autoreset, limits, statistics, splits, seeds, starts; and that the two kinds of batch agree.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::mem;
use std::ops::RangeInclusive;

use rayline_rl::env::{
    ActionBuf, ActionSampler, Actions, Batch, Dynamics, Env, Episode, Lane, Step, StepBuf, SyncVec, TimeLimit, VecEnv,
    classic, fast, ids, instance_seed, make, make_vec,
};

/// Two full blocks of 16 and a part of one.
const ENV_COUNT: usize = 37;

/// Everything that a run of random actions gives, step by step.
#[derive(Debug, Default, PartialEq)]
struct Trace {
    /// Of the reset and of each step, `[1 + steps, n, obs_dim]`.
    obs: Vec<f32>,
    /// `[steps, n]`.
    rewards: Vec<f32>,
    /// Terminated and truncated, `[steps, n]`.
    ends: Vec<(bool, bool)>,
    /// Step, environment counted from the first of the whole, return, length, final observation.
    episodes: Vec<(usize, usize, f64, u32, Vec<f32>)>,
}

/// Random actions in the environments from `first_index` on of a greater whole.
fn trace(envs: &mut dyn VecEnv, seed: u64, first_index: usize, steps: usize) -> Trace {
    let env_count = envs.env_count();
    let mut sampler = ActionSampler::new_from(envs.action_space(), env_count, seed, first_index as u64).unwrap();
    let mut actions = ActionBuf::new(envs.action_space(), env_count);
    let mut out = StepBuf::new(envs);
    envs.reset_from(seed, first_index as u64, &mut out.obs).unwrap();
    let mut trace = Trace { obs: out.obs.clone(), ..Trace::default() };
    for step in 0..steps {
        sampler.fill(&mut actions);
        envs.step(actions.as_actions(), out.out()).unwrap();
        trace.obs.extend_from_slice(&out.obs);
        trace.rewards.extend_from_slice(&out.rewards);
        trace.ends.extend(out.terminated.iter().copied().zip(out.truncated.iter().copied()));
        for Episode { env, total_reward, length, final_obs, .. } in out.finished.iter() {
            trace.episodes.push((step, first_index + env, total_reward, length, final_obs.to_vec()));
        }
    }
    trace
}

/// The traces of adjacent batches as one of all.
fn joined(parts: &[(usize, Trace)], steps: usize) -> Trace {
    let mut whole = Trace::default();
    for step in 0..=steps {
        for (n, part) in parts {
            let row = part.obs.len() / (steps + 1);
            whole.obs.extend_from_slice(&part.obs[step * row..(step + 1) * row]);
            if step < steps {
                whole.rewards.extend_from_slice(&part.rewards[step * n..(step + 1) * n]);
                whole.ends.extend_from_slice(&part.ends[step * n..(step + 1) * n]);
            }
        }
    }
    whole.episodes = parts.iter().flat_map(|(_, part)| part.episodes.iter().cloned()).collect();
    whole.episodes.sort_by_key(|&(step, env, ..)| (step, env));
    whole
}

/// The batches of both kinds.
fn both(id: &str, env_count: usize) -> [Box<dyn VecEnv>; 2] {
    [make_vec(id, env_count).unwrap(), Box::new(sync_vec(id, env_count))]
}

fn sync_vec(id: &str, env_count: usize) -> SyncVec {
    SyncVec::from_fn(env_count, |_| make(id).unwrap()).unwrap()
}

#[test]
fn an_episode_that_ends_is_reset_in_the_same_step() {
    autoreset::<_, 4, 4>(fast::CartPole, 250, 100);
    autoreset::<_, 2, 3>(fast::Pendulum, 450, 2 * ENV_COUNT);
    autoreset::<_, 2, 2>(fast::MountainCar, 450, 2 * ENV_COUNT);
    autoreset::<_, 2, 2>(fast::MountainCarContinuous, 1010, ENV_COUNT);
    autoreset::<_, 4, 6>(fast::Acrobot, 1010, 2 * ENV_COUNT);
}

/// Foretells each step from the state before it.
fn autoreset<D: Dynamics<S, O> + Copy, const S: usize, const O: usize>(dynamics: D, steps: usize, episodes_min: usize) {
    let mut envs = Batch::new(dynamics, ENV_COUNT).unwrap();
    let mut out = StepBuf::new(&envs);
    let mut actions = ActionBuf::new(envs.action_space(), ENV_COUNT);
    let mut sampler = ActionSampler::new(envs.action_space(), ENV_COUNT, 5).unwrap();
    envs.reset(5, &mut out.obs).unwrap();
    let (mut returns, mut lengths, mut episodes) = ([0.0f64; ENV_COUNT], [0u32; ENV_COUNT], 0);
    for _ in 0..steps {
        sampler.fill(&mut actions);
        let given = D::Action::all(actions.as_actions(), envs.action_space()).unwrap();
        let expected: Vec<_> = (0..ENV_COUNT).map(|env| dynamics.advance(envs.state(env), given[env])).collect();
        envs.step(actions.as_actions(), out.out()).unwrap();
        let mut finished = out.finished.iter();
        for (env, moved) in expected.iter().enumerate() {
            returns[env] += f64::from(moved.reward);
            lengths[env] += 1;
            assert_eq!((out.rewards[env], out.terminated[env]), (moved.reward, moved.terminated));
            assert_eq!(out.truncated[env], lengths[env] == D::LENGTH_MAX);
            let row = &out.obs[env * O..][..O];
            assert_eq!(row, dynamics.observe(envs.state(env)), "the observation to act on next");
            if !out.terminated[env] && !out.truncated[env] {
                assert_eq!(envs.state(env), moved.state, "an episode that goes on");
                continue;
            }
            let episode = finished.next().expect("an episode for each end");
            assert_eq!((episode.env, episode.length), (env, lengths[env]));
            assert_eq!((episode.terminated, episode.truncated), (out.terminated[env], out.truncated[env]));
            assert!((episode.total_reward - returns[env]).abs() < 1e-5 * returns[env].abs().max(1.0));
            assert_eq!(episode.final_obs, dynamics.observe(moved.state), "the observation before the reset");
            assert_ne!(row, episode.final_obs);
            (returns[env], lengths[env], episodes) = (0.0, 0, episodes + 1);
        }
        assert!(finished.next().is_none(), "an episode that did not end");
    }
    assert!(episodes >= episodes_min, "{episodes} episodes");
}

#[test]
fn single_environments_in_a_batch_are_reset_in_the_same_step() {
    for (id, steps) in [("CartPole-v1", 120), ("Pendulum-v1", 410), ("MountainCar-v0", 410)] {
        let mut batch = sync_vec(id, 3);
        let (space, obs_dim) = (batch.action_space().clone(), batch.observation_space().width());
        let (mut out, mut actions) = (StepBuf::new(&batch), ActionBuf::new(&space, 3));
        let mut sampler = ActionSampler::new(&space, 3, 5).unwrap();
        batch.reset_from(5, 70, &mut out.obs).unwrap();
        let mut envs = [0, 1, 2].map(|_| (make(id).unwrap(), vec![0.0; obs_dim], 0.0, 0));
        for (at, (env, obs, ..)) in envs.iter_mut().enumerate() {
            env.reset(Some(instance_seed(5, 70 + at as u64)), obs).unwrap();
            assert_eq!(out.obs[at * obs_dim..][..obs_dim], **obs, "{id}: the first start");
        }
        let mut episodes = 0;
        for _ in 0..steps {
            sampler.fill(&mut actions);
            batch.step(actions.as_actions(), out.out()).unwrap();
            let mut finished = out.finished.iter();
            for (at, (env, obs, total_reward, length)) in envs.iter_mut().enumerate() {
                let step = env.step(actions.as_actions().row(at, 1), obs).unwrap();
                (*total_reward, *length) = (*total_reward + step.reward, *length + 1);
                let expected = (step.reward as f32, step.terminated, step.truncated);
                assert_eq!((out.rewards[at], out.terminated[at], out.truncated[at]), expected);
                if step.is_last() {
                    let Step { terminated, truncated, .. } = step;
                    let (total_reward, length) = (mem::take(total_reward), mem::take(length));
                    let expected = Episode { env: at, total_reward, length, terminated, truncated, final_obs: obs };
                    assert_eq!(finished.next(), Some(expected), "{id}");
                    env.reset(None, obs).unwrap();
                    episodes += 1;
                }
                assert_eq!(out.obs[at * obs_dim..][..obs_dim], **obs, "{id}: the observation to act on next");
            }
            assert!(finished.next().is_none(), "{id}: an episode that did not end");
        }
        assert!(episodes >= 6, "{id}: {episodes} episodes");
    }
}

/// Lengths of the first episodes and how they ended, under a policy from one observation to one action.
fn first_ends(envs: &mut dyn VecEnv, seed: u64, policy: fn(&[f32]) -> f32) -> Vec<(u32, bool, bool)> {
    let obs_dim = envs.observation_space().width();
    let mut out = StepBuf::new(envs);
    let mut actions = ActionBuf::new(envs.action_space(), envs.env_count());
    let mut ends = vec![None; envs.env_count()];
    envs.reset(seed, &mut out.obs).unwrap();
    for _ in 0..1010 {
        for (env, obs) in out.obs.chunks(obs_dim).enumerate() {
            match &mut actions {
                ActionBuf::Discrete(choices) => choices[env] = policy(obs) as u32,
                ActionBuf::Continuous(values) => values[env] = policy(obs),
            }
        }
        envs.step(actions.as_actions(), out.out()).unwrap();
        for episode in out.finished.iter() {
            ends[episode.env].get_or_insert((episode.length, episode.terminated, episode.truncated));
        }
    }
    ends.into_iter().map(|end| end.expect("an episode that ends")).collect()
}

fn balance(obs: &[f32]) -> f32 {
    let [x, x_dot, theta, theta_dot] = obs[..] else { panic!("{obs:?}") };
    f32::from(theta + 0.3 * theta_dot + 0.05 * x + 0.1 * x_dot > 0.0)
}

#[test]
fn episodes_without_success_or_failure_are_truncated_at_gymnasiums_limits() {
    let idle: fn(&[f32]) -> f32 = |_| 0.0;
    let no_push: fn(&[f32]) -> f32 = |_| 1.0;
    for (id, policy, limit) in [
        ("Pendulum-v1", idle, 200),
        ("CartPole-v1", balance as fn(&[f32]) -> f32, 500),
        ("MountainCar-v0", no_push, 200),
        ("MountainCarContinuous-v0", idle, 999),
        ("Acrobot-v1", no_push, 500),
    ] {
        for mut envs in both(id, 19) {
            for end in first_ends(envs.as_mut(), 3, policy) {
                assert_eq!(end, (limit, false, true), "{id}");
            }
        }
    }
}

#[test]
fn success_and_failure_terminate() {
    let with_the_motion: fn(&[f32]) -> f32 = |obs| if obs[1] >= 0.0 { 2.0 } else { 0.0 };
    let pushed: fn(&[f32]) -> f32 = |obs| 1.0f32.copysign(obs[1]);
    let pumped: fn(&[f32]) -> f32 = |obs| if obs[5] > 0.0 { 2.0 } else { 0.0 };
    let to_the_left: fn(&[f32]) -> f32 = |_| 0.0;
    let cases: [(_, _, RangeInclusive<u32>); 4] = [
        ("CartPole-v1", to_the_left, 8..=11),
        ("MountainCar-v0", with_the_motion, 80..=140),
        ("MountainCarContinuous-v0", pushed, 60..=130),
        ("Acrobot-v1", pumped, 40..=300),
    ];
    for (id, policy, lengths) in cases {
        for mut envs in both(id, 19) {
            for (length, terminated, truncated) in first_ends(envs.as_mut(), 4, policy) {
                assert!(terminated && !truncated, "{id}");
                assert!(lengths.contains(&length), "{id}: {length} steps");
            }
        }
    }
}

#[test]
fn a_fall_at_the_limit_is_both() {
    let falling = [0.0, 0.0, 0.209, 1.0];
    let mut out = StepBuf::new(make_vec("CartPole-v1", 1).unwrap().as_ref());
    let mut fast = Batch::new(fast::CartPole, 1).unwrap().with_length_max(1);
    fast.set_state(0, falling);
    fast.step(Actions::Discrete(&[0]), out.out()).unwrap();
    assert_eq!((out.terminated[0], out.truncated[0]), (true, true));
    assert!(out.finished.episode(0).terminated && out.finished.episode(0).truncated);

    let mut classic = classic::CartPole::new();
    classic.set_state(falling.map(f64::from));
    let step = TimeLimit::new(classic, 1).step(Actions::Discrete(&[0]), &mut [0.0; 4]).unwrap();
    assert!(step.terminated && step.truncated && step.is_last());
}

#[test]
fn length_max_truncates_each_episode_anew() {
    let mut envs = Batch::new(fast::Pendulum, ENV_COUNT).unwrap().with_length_max(7);
    let Trace { ends, episodes, .. } = trace(&mut envs, 1, 0, 21);
    for (step, ends) in ends.chunks(ENV_COUNT).enumerate() {
        assert!(ends.iter().all(|&end| end == (false, step % 7 == 6)), "step {step}");
    }
    assert!(episodes.iter().all(|&(.., length, _)| length == 7));
    assert_eq!(episodes.len(), 3 * ENV_COUNT);
}

#[test]
fn results_do_not_depend_on_how_environments_are_split() {
    for (id, steps) in [("CartPole-v1", 120), ("MountainCar-v0", 210), ("Pendulum-v1", 210), ("Acrobot-v1", 510)] {
        for make in [0, 1] {
            let made = |n: usize| both(id, n).into_iter().nth(make).unwrap();
            let whole = trace(made(ENV_COUNT).as_mut(), 9, 0, steps);
            assert!(whole.episodes.len() >= ENV_COUNT / 2, "{id}: {} episodes", whole.episodes.len());
            for sizes in [vec![1; ENV_COUNT], vec![16, 21], vec![5, 32]] {
                let mut first = 0;
                let mut parts = Vec::new();
                for &n in &sizes {
                    parts.push((n, trace(made(n).as_mut(), 9, first, steps)));
                    first += n;
                }
                assert!(joined(&parts, steps) == whole, "{id}: {sizes:?}");
            }
        }
    }
}

#[test]
fn a_seed_repeats_a_run_and_another_differs() {
    for id in ids() {
        for mut envs in both(id, ENV_COUNT) {
            let first = trace(envs.as_mut(), 42, 0, 60);
            let _ = trace(envs.as_mut(), 43, 0, 13);
            assert!(trace(envs.as_mut(), 42, 0, 60) == first, "{id}: the same batch again");
            let other = trace(envs.as_mut(), 43, 0, 60);
            let differing = other.obs.chunks(ENV_COUNT).zip(first.obs.chunks(ENV_COUNT)).filter(|(a, b)| a != b);
            assert!(differing.count() > 60, "{id}: another seed");
        }
        let mut anew = make_vec(id, ENV_COUNT).unwrap();
        let mut again = make_vec(id, ENV_COUNT).unwrap();
        assert!(trace(anew.as_mut(), 7, 0, 60) == trace(again.as_mut(), 7, 0, 60), "{id}: another batch");
    }
}

#[test]
fn environments_and_episodes_differ_from_each_other() {
    for id in ids() {
        for mut envs in both(id, 64) {
            let dim = envs.observation_space().width();
            let mut rows: Vec<Vec<u32>> = Vec::new();
            for (seed, first_index) in [(1, 0), (2, 0), (1, 64)] {
                let mut obs = vec![0.0; 64 * dim];
                envs.reset_from(seed, first_index, &mut obs).unwrap();
                rows.extend(obs.chunks(dim).map(|row| row.iter().map(|value| value.to_bits()).collect()));
            }
            rows.sort();
            rows.dedup();
            assert!(rows.len() >= 3 * 64 - 1, "{id}: {} starts", rows.len());
        }
    }
    let mut envs = Batch::new(fast::CartPole, 16).unwrap().with_length_max(1);
    let Trace { obs, .. } = trace(&mut envs, 1, 0, 50);
    let mut starts: Vec<u32> = obs.chunks(4).map(|row| row[0].to_bits()).collect();
    starts.sort_unstable();
    starts.dedup();
    assert!(starts.len() > 51 * 16 - 3, "{} starts", starts.len());
}

/// Bounds from Gymnasium's `reset`, of the numbers of the state.
#[test]
fn starts_have_gymnasiums_distribution() {
    let pi = std::f64::consts::PI;
    let car = [(-0.6, -0.4), (0.0, 0.0)];
    starts::<_, 4, 4>(fast::CartPole, [(-0.05, 0.05); 4]);
    starts::<_, 2, 3>(fast::Pendulum, [(-pi, pi), (-1.0, 1.0)]);
    starts::<_, 2, 2>(fast::MountainCar, car);
    starts::<_, 2, 2>(fast::MountainCarContinuous, car);
    starts::<_, 4, 6>(fast::Acrobot, [(-0.1, 0.1); 4]);

    let mut env = classic::CartPole::new();
    uniform("CartPole", &classic_starts(&mut env, |env| env.state()), [(-0.05, 0.05); 4]);
    let mut env = classic::Pendulum::new();
    uniform("Pendulum", &classic_starts(&mut env, |env| env.state()), [(-pi, pi), (-1.0, 1.0)]);
    let mut env = classic::MountainCar::new();
    uniform("MountainCar", &classic_starts(&mut env, |env| env.state()), car);
    let mut env = classic::MountainCarContinuous::new();
    uniform("MountainCarContinuous", &classic_starts(&mut env, |env| env.state()), car);
    let mut env = classic::Acrobot::new();
    uniform("Acrobot", &classic_starts(&mut env, |env| env.state()), [(-0.1, 0.1); 4]);
}

const STARTS: usize = 20_000;

/// Half of the starts are those of a reset, half those after an episode.
fn starts<D: Dynamics<S, O>, const S: usize, const O: usize>(dynamics: D, bounds: [(f64, f64); S]) {
    let mut envs = Batch::new(dynamics, STARTS / 2).unwrap().with_length_max(1);
    let mut out = StepBuf::new(&envs);
    envs.reset(17, &mut out.obs).unwrap();
    let mut starts: Vec<[f64; S]> = (0..STARTS / 2).map(|env| envs.state(env).map(f64::from)).collect();
    let actions = ActionBuf::new(envs.action_space(), STARTS / 2);
    envs.step(actions.as_actions(), out.out()).unwrap();
    starts.extend((0..STARTS / 2).map(|env| envs.state(env).map(f64::from)));
    uniform(std::any::type_name::<D>(), &starts, bounds);
}

fn classic_starts<E: Env, const S: usize>(env: &mut E, state: fn(&E) -> [f64; S]) -> Vec<[f64; S]> {
    let mut obs = vec![0.0; env.observation_space().width()];
    let seeds = (0..STARTS as u64).map(|at| if at % 2 == 0 { Some(at) } else { None });
    seeds.map(|seed| env.reset(seed, &mut obs).map(|()| state(env)).unwrap()).collect()
}

/// Numbers uniform between their bounds and independent of each other, by their first two moments.
fn uniform<const S: usize>(name: &str, starts: &[[f64; S]], bounds: [(f64, f64); S]) {
    let n = starts.len() as f64;
    let scaled = |at: usize| {
        let (low, high) = bounds[at];
        starts.iter().map(move |start| if low == high { 0.0 } else { (start[at] - low) / (high - low) - 0.5 })
    };
    for at in 0..S {
        let (low, high) = bounds[at];
        // Rounded to single precision, a number may pass its bound by half a unit.
        let margin = high.abs().max(low.abs()) * f64::from(f32::EPSILON);
        assert!(
            starts.iter().all(|start| (low - margin..=high + margin).contains(&start[at])),
            "{name}: bounds of {at}"
        );
        if low == high {
            continue;
        }
        let mean = scaled(at).sum::<f64>() / n;
        let variance = scaled(at).map(|x| x * x).sum::<f64>() / n;
        assert!(mean.abs() < 0.01, "{name}: mean of {at}: {mean} of the width from the middle");
        assert!((variance * 12.0 - 1.0).abs() < 0.03, "{name}: variance of {at}: {variance}");
        let tails = scaled(at).filter(|x| x.abs() > 0.495).count() as f64 / n;
        assert!((tails - 0.01).abs() < 0.004, "{name}: tails of {at}: {tails}");
        for other in 0..at {
            let correlation = 12.0 * scaled(at).zip(scaled(other)).map(|(a, b)| a * b).sum::<f64>() / n;
            assert!(correlation.abs() < 0.035, "{name}: {at} and {other}: {correlation}");
        }
    }
}

#[test]
fn single_environments_in_a_batch_agree_with_the_fast_batch() {
    agree::<classic::CartPole, _, 4, 4>(fast::CartPole, classic::CartPole::set_state, (500, 60, 1e-5), ENV_COUNT);
    agree::<classic::Pendulum, _, 2, 3>(fast::Pendulum, classic::Pendulum::set_state, (200, 60, 1e-4), ENV_COUNT);
    agree::<classic::MountainCar, _, 2, 2>(
        fast::MountainCar,
        classic::MountainCar::set_state,
        (200, 200, 1e-5),
        ENV_COUNT,
    );
    let set = classic::MountainCarContinuous::set_state;
    agree::<classic::MountainCarContinuous, _, 2, 2>(fast::MountainCarContinuous, set, (999, 999, 1e-5), ENV_COUNT);
    agree::<classic::Acrobot, _, 4, 6>(fast::Acrobot, classic::Acrobot::set_state, (60, 60, 1e-4), 0);
}

/// The same actions from the same starts, each environment until its first end. Numbers are compared for `near_steps`
/// steps, since some tasks blow up what rounding differs by.
fn agree<E: Env + Default + 'static, D: Dynamics<S, O>, const S: usize, const O: usize>(
    dynamics: D,
    set_state: fn(&mut E, [f64; S]),
    (steps, near_steps, tolerance): (usize, usize, f32),
    ends_min: usize,
) {
    let mut fast = Batch::new(dynamics, ENV_COUNT).unwrap();
    let mut classic = SyncVec::from_fn(ENV_COUNT, |env| {
        let mut one = E::default();
        set_state(&mut one, fast.state(env).map(f64::from));
        Box::new(TimeLimit::new(one, D::LENGTH_MAX))
    })
    .unwrap();
    assert_eq!(fast.observation_space(), classic.observation_space());
    assert_eq!(fast.action_space(), classic.action_space());
    let (mut one, mut other) = (StepBuf::new(&fast), StepBuf::new(&classic));
    let mut actions = ActionBuf::new(fast.action_space(), ENV_COUNT);
    let mut sampler = ActionSampler::new(fast.action_space(), ENV_COUNT, 23).unwrap();
    let mut has_ended = [false; ENV_COUNT];
    for step in 0..steps {
        sampler.fill(&mut actions);
        fast.step(actions.as_actions(), one.out()).unwrap();
        classic.step(actions.as_actions(), other.out()).unwrap();
        for (env, has_ended) in has_ended.iter_mut().enumerate().filter(|(_, has_ended)| !**has_ended) {
            let ends = (one.terminated[env], one.truncated[env]);
            assert_eq!(ends, (other.terminated[env], other.truncated[env]), "environment {env}, step {step}");
            *has_ended = ends != (false, false);
            if step >= near_steps {
                continue;
            }
            assert!((one.rewards[env] - other.rewards[env]).abs() <= tolerance * other.rewards[env].abs().max(1.0));
            let rows = [&one, &other].map(|out| last_seen::<O>(out, env));
            for (a, b) in rows[0].iter().zip(rows[1]) {
                assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "environment {env}, step {step}: {rows:?}");
            }
        }
    }
    let ended = has_ended.iter().filter(|ended| **ended).count();
    assert!(ended >= ends_min, "{ended} episodes ended");
}

/// What the last action led to: the final observation where the episode ended.
fn last_seen<const O: usize>(out: &StepBuf, env: usize) -> [f32; O] {
    let episode = out.finished.iter().find(|episode| episode.env == env);
    let row = episode.map_or(&out.obs[env * O..][..O], |episode| episode.final_obs);
    row.try_into().unwrap()
}

#[test]
fn observations_lie_in_their_space() {
    for id in ids() {
        for mut envs in both(id, ENV_COUNT) {
            let Trace { obs, episodes, .. } = trace(envs.as_mut(), 31, 0, 1010);
            let space = envs.observation_space();
            for row in obs.chunks(space.width()).chain(episodes.iter().map(|(.., final_obs)| &final_obs[..])) {
                assert!(space.contains(row), "{id}: {row:?} in {space}");
            }
        }
    }
}
