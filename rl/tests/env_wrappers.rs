//! Wrappers against what `gymnasium/wrappers.py` recorded of Gymnasium's, and against plain references where an episode
//! ends.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use rayline_rl::env::wrappers::{
    ClipAction, FlattenObs, FrameStack, NormalizeObs, NormalizeReward, RecordEpisodes, RescaleAction, RunningStats,
    Single, VecTimeLimit,
};
use rayline_rl::env::{
    ActionBuf, ActionSampler, Actions, Batch, Env, EnvError, Episode, Space, StepBuf, StepOut, SyncVec, VecEnv, fast,
    make, make_vec,
};
use serde_json::Value;

fn record() -> Value {
    serde_json::from_str(include_str!("gymnasium/wrappers.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn singles(value: &Value) -> Vec<f32> {
    numbers(value).iter().map(|number| *number as f32).collect()
}

/// Plays given observations and rewards, `[steps, n, ..]`, and remembers the actions. An episode of environment `e`
/// ends every `ends[e]` steps, with the observation `-1000 - e`, by turns terminated and truncated.
struct Script {
    spaces: [Space; 2],
    obs: Vec<f32>,
    rewards: Vec<f32>,
    ends: Vec<usize>,
    time: usize,
    acted: Vec<f32>,
    restarted: Vec<usize>,
}

impl Script {
    fn new(env_count: usize, obs_space: Space, obs: Vec<f32>, rewards: Vec<f32>) -> Self {
        let actions = Space::bounded(vec![-2.0, 0.5], vec![1.0, 4.5], vec![2]).unwrap();
        let (ends, spaces) = (vec![usize::MAX; env_count], [obs_space, actions]);
        Self { spaces, obs, rewards, ends, time: 0, acted: vec![], restarted: vec![] }
    }

    fn recorded(record: &Value) -> Self {
        Self::new(3, Space::uniform(-1e9, 1e9, 2), singles(&record["obs"]), singles(&record["rewards"]))
    }

    /// One number a step, in one environment.
    fn counting(steps: usize) -> Self {
        let obs = (0..=steps).map(|step| step as f32).collect();
        Self::new(1, Space::uniform(-1e9, 1e9, 1), obs, vec![1.0; steps])
    }

    fn row(&self, time: usize) -> &[f32] {
        let len = self.ends.len() * self.spaces[0].width();
        &self.obs[time * len..(time + 1) * len]
    }
}

impl VecEnv for Script {
    fn env_count(&self) -> usize {
        self.ends.len()
    }

    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }

    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }

    fn reset_from(&mut self, _: u64, _: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.time = 0;
        obs.copy_from_slice(self.row(0));
        Ok(())
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.restarted.push(env);
        obs.fill(500.0 + env as f32);
        Ok(())
    }

    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        self.acted = actions.values(&self.spaces[1])?.to_vec();
        self.time += 1;
        out.obs.copy_from_slice(self.row(self.time));
        let (n, obs_dim) = (self.ends.len(), self.spaces[0].width());
        out.rewards.copy_from_slice(&self.rewards[(self.time - 1) * n..self.time * n]);
        out.finished.clear(obs_dim);
        for env in 0..n {
            let ends = self.time.is_multiple_of(self.ends[env]);
            let terminated = ends && (self.time / self.ends[env]) % 2 == 1;
            (out.terminated[env], out.truncated[env]) = (terminated, ends && !terminated);
            if ends {
                let final_obs = &vec![-1000.0 - env as f32; obs_dim][..];
                let (total_reward, length) = (7.0, self.ends[env] as u32);
                let truncated = !terminated;
                out.finished.push(Episode { env, total_reward, length, terminated, truncated, final_obs });
            }
        }
        Ok(())
    }
}

fn idle(envs: &dyn VecEnv) -> ActionBuf {
    ActionBuf::new(envs.action_space(), envs.env_count())
}

/// Observations of the reset and of `steps` steps.
fn observations(envs: &mut dyn VecEnv, steps: usize) -> Vec<f32> {
    let mut out = StepBuf::new(envs);
    envs.reset(0, &mut out.obs).unwrap();
    let mut seen = out.obs.clone();
    for _ in 0..steps {
        envs.step(idle(envs).as_actions(), out.out()).unwrap();
        seen.extend_from_slice(&out.obs);
    }
    seen
}

#[track_caller]
fn near(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(error <= tolerance * expected.abs().max(1.0), "number {at}: {found}, expected {expected}");
    }
}

#[test]
fn normalized_observations_are_gymnasiums() {
    let record = record();
    let mut envs = NormalizeObs::new(Script::recorded(&record)).unwrap().with_clip(f32::INFINITY);
    let seen = observations(&mut envs, 40);
    near(&seen, &numbers(&record["normalized_obs"]), 1e-6);
    let stats: RunningStats = serde_json::from_value(record["stats"].clone()).unwrap();
    for (found, expected) in envs.stats().mean().iter().zip(stats.mean()) {
        assert!((found - expected).abs() < 1e-12 * expected.abs(), "{found} {expected}");
    }
    for (found, expected) in envs.stats().variance().iter().zip(stats.variance()) {
        assert!((found - expected).abs() < 1e-9 * expected, "{found} {expected}");
    }
    assert_eq!(envs.stats().count(), stats.count());
}

#[test]
fn normalized_rewards_are_gymnasiums_where_no_episode_ends() {
    let record = record();
    let mut envs = NormalizeReward::new(Script::recorded(&record), 0.9).with_clip(f32::INFINITY);
    let mut out = StepBuf::new(&envs);
    envs.reset(0, &mut out.obs).unwrap();
    let mut seen = vec![];
    for _ in 0..40 {
        envs.step(idle(&envs).as_actions(), out.out()).unwrap();
        seen.extend_from_slice(&out.rewards);
    }
    near(&seen, &numbers(&record["normalized_rewards"]), 1e-6);
}

#[test]
fn stacked_frames_are_gymnasiums() {
    let record = record();
    // The recording is of the first of three environments.
    let obs = singles(&record["obs"]).chunks(6).flat_map(|row| row[..2].to_vec()).collect();
    let script = Script::new(1, Space::uniform(-1e9, 1e9, 2), obs, vec![0.0; 40]);
    let mut envs = FrameStack::new(script, 3).unwrap();
    near(&observations(&mut envs, 6), &numbers(&record["stacked"]), 0.0);
    assert_eq!(envs.observation_space().to_string(), "Box(-1000000000.0, 1000000000.0, (3, 2), float32)");
}

#[test]
fn clipped_and_rescaled_actions_are_gymnasiums() {
    let record = record();
    let script = || Script::counting(4);
    let mut clip = ClipAction::new(script()).unwrap();
    assert_eq!(clip.action_space(), script().action_space());
    let mut out = StepBuf::new(&clip);
    clip.reset(0, &mut out.obs).unwrap();
    for (given, done) in pairs(&record["clipped"]) {
        clip.step(Actions::Continuous(&given), out.out()).unwrap();
        near(&clip.inner().acted, &done, 0.0);
    }
    let mut rescale = RescaleAction::new(script(), -1.0, 1.0).unwrap();
    assert_eq!(rescale.action_space(), &Space::uniform(-1.0, 1.0, 2));
    rescale.reset(0, &mut out.obs).unwrap();
    for (given, done) in pairs(&record["rescaled"]) {
        rescale.step(Actions::Continuous(&given), out.out()).unwrap();
        near(&rescale.inner().acted, &done, 1e-6);
    }
}

/// Actions given and done.
fn pairs(record: &Value) -> Vec<(Vec<f32>, Vec<f64>)> {
    let rows = |key: &str| record[key].as_array().unwrap().clone();
    rows("given").iter().zip(&rows("done")).map(|(given, done)| (singles(given), numbers(done))).collect()
}

#[test]
fn flattened_elements_are_gymnasiums() {
    let inner = Space::dict([("k", Space::MultiDiscrete { nvec: vec![2, 3] })]).unwrap();
    let image = Space::bounded(vec![-1.0; 4], vec![1.0; 4], vec![2, 2]).unwrap();
    let space = Space::dict([("z", Space::Discrete { n: 3 }), ("a", image), ("m", inner)]).unwrap();
    let element = [0.1, 0.2, 0.3, 0.4, 1.0, 0.0, 2.0];
    let mut flat = vec![9.0; space.flat_len()];
    space.flatten(&element, &mut flat);
    near(&flat, &numbers(&record()["flattened"]), 1e-7);

    let obs = [element, element].concat();
    let mut envs = FlattenObs::new(Script::new(1, space, obs, vec![0.0]));
    assert_eq!(
        envs.observation_space().to_string(),
        format!("Box([{}], 1.0, (12,), float32)", "-1.0 -1.0 -1.0 -1.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0")
    );
    assert_eq!(observations(&mut envs, 1), [flat.clone(), flat].concat());
}

#[test]
fn statistics_are_those_of_all_numbers_at_once() {
    let rows: Vec<f32> = (0..600).map(|at| ((at * 7919) % 1013) as f32 * 0.37 - 100.0).collect();
    let mut parts = [RunningStats::new(2), RunningStats::new(2)];
    rows.chunks(60).enumerate().for_each(|(at, rows)| parts[at % 2].update(rows));
    let [mut all, other] = parts;
    all.add(&other);
    for column in 0..2 {
        let values = || rows.iter().skip(column).step_by(2).map(|value| f64::from(*value));
        let mean = values().sum::<f64>() / 300.0;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / 300.0;
        // The first guesses weigh two ten-thousandths of a row.
        assert!((all.mean()[column] - mean).abs() < 1e-3, "{} {mean}", all.mean()[column]);
        assert!((all.variance()[column] / variance - 1.0).abs() < 1e-5, "{} {variance}", all.variance()[column]);
    }
    assert!((all.count() - 300.0002).abs() < 1e-9);
}

#[test]
fn rewards_are_scaled_by_returns_that_begin_anew_with_each_episode() {
    let rewards: Vec<f32> = (0..24).map(|at| (at % 5) as f32 - 1.0).collect();
    let mut script = Script::new(2, Space::uniform(-1e9, 1e9, 1), vec![0.0; 26], rewards.clone());
    script.ends = vec![3, 5];
    let mut envs = NormalizeReward::new(script, 0.5).with_clip(1.5);
    let mut out = StepBuf::new(&envs);
    envs.reset(0, &mut out.obs).unwrap();
    let (mut returns, mut stats, mut clipped) = ([0.0f64; 2], RunningStats::new(1), 0);
    for step in 0..12 {
        envs.step(idle(&envs).as_actions(), out.out()).unwrap();
        let given = &rewards[step * 2..][..2];
        (0..2).for_each(|env| returns[env] = returns[env] * 0.5 + f64::from(given[env]));
        stats.update(&returns.map(|value| value as f32));
        for env in 0..2 {
            let scaled = f64::from(given[env]) / (stats.variance()[0] + 1e-8).sqrt();
            clipped += u32::from(scaled.abs() > 1.5);
            near(&[out.rewards[env]], &[scaled.clamp(-1.5, 1.5)], 1e-6);
            if out.terminated[env] || out.truncated[env] {
                returns[env] = 0.0;
            }
        }
        out.finished.iter().for_each(|episode| assert_eq!(episode.total_reward, 7.0, "as the environment gave it"));
    }
    assert!(clipped > 0);
    assert_eq!(envs.stats(), &stats);
}

#[test]
fn frozen_statistics_stay_and_final_observations_are_scaled() {
    let record = record();
    let mut learned = NormalizeObs::new(Script::recorded(&record)).unwrap();
    observations(&mut learned, 40);
    let saved = serde_json::to_string(learned.stats()).unwrap();
    let stats: RunningStats = serde_json::from_str(&saved).unwrap();
    assert_eq!(&stats, learned.stats(), "through a file");

    let mut script = Script::recorded(&record);
    script.ends[1] = 2;
    let mut frozen = NormalizeObs::new(script).unwrap().with_stats(stats.clone()).unwrap().frozen();
    let mut out = StepBuf::new(&frozen);
    frozen.reset(0, &mut out.obs).unwrap();
    for _ in 0..2 {
        frozen.step(idle(&frozen).as_actions(), out.out()).unwrap();
    }
    assert_eq!(frozen.stats(), &stats);
    let scaled = |value: f64, at: usize| (value - stats.mean()[at]) / (stats.variance()[at] + 1e-8).sqrt();
    let expected: Vec<f64> =
        frozen.inner().row(2).iter().enumerate().map(|(at, x)| scaled((*x).into(), at % 2)).collect();
    near(&out.obs, &expected, 1e-6);
    assert_eq!(out.finished.episode(0).final_obs, [-10.0, -10.0], "far below, and so clipped");
    assert_eq!(frozen.observation_space(), &Space::uniform(-10.0, 10.0, 2));
}

#[test]
fn damaged_statistics_are_refused() {
    let envs = || NormalizeObs::new(Script::counting(1)).unwrap();
    let refused = |json: &str| {
        let stats: RunningStats = serde_json::from_str(json).unwrap();
        envs().with_stats(stats).map(drop).unwrap_err().to_string()
    };
    let words = "statistics of 2 numbers, or damaged ones, where 1 are needed";
    assert_eq!(refused(r#"{"mean": [0, 0], "variance": [1, 1], "count": 3}"#), words);
    for damaged in [
        r#"{"mean": [0], "variance": [], "count": 3}"#,
        r#"{"mean": [0], "variance": [-1], "count": 3}"#,
        r#"{"mean": [0], "variance": [1], "count": 0}"#,
    ] {
        assert!(refused(damaged).starts_with("statistics of 1 numbers"), "{damaged}");
    }
    let reward = NormalizeReward::new(Script::counting(1), 0.9).with_stats(RunningStats::new(2));
    assert!(matches!(reward, Err(EnvError::BadStats { expected: 1, found: 2 })));
}

#[test]
fn a_stack_ends_with_the_final_observation_and_begins_with_the_first() {
    let mut script = Script::counting(5);
    script.ends[0] = 3;
    let mut envs = FrameStack::new(script, 3).unwrap();
    let mut out = StepBuf::new(&envs);
    envs.reset(0, &mut out.obs).unwrap();
    let mut stacks = vec![out.obs.clone()];
    let mut finals = vec![];
    for _ in 0..4 {
        envs.step(idle(&envs).as_actions(), out.out()).unwrap();
        stacks.push(out.obs.clone());
        finals.extend(out.finished.iter().map(|episode| (episode.length, episode.final_obs.to_vec())));
    }
    assert_eq!(stacks, [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 2.0], [3.0, 3.0, 3.0], [3.0, 3.0, 4.0]]);
    assert_eq!(finals, [(3, vec![1.0, 2.0, -1000.0])]);
    envs.restart(0, &mut out.obs).unwrap();
    assert_eq!(out.obs, [500.0; 3]);
}

#[test]
fn a_time_limit_cuts_episodes_of_a_batch() {
    let mut script = Script::new(2, Space::uniform(-1e9, 1e9, 1), (0..20).map(|at| at as f32).collect(), vec![2.0; 18]);
    script.ends = vec![3, 100];
    let mut envs = VecTimeLimit::new(script, 4);
    let mut out = StepBuf::new(&envs);
    envs.reset(0, &mut out.obs).unwrap();
    let mut ends = vec![];
    for step in 1..=9 {
        envs.step(idle(&envs).as_actions(), out.out()).unwrap();
        for Episode { env, total_reward, length, terminated, truncated, final_obs } in out.finished.iter() {
            assert_eq!((out.terminated[env], out.truncated[env]), (terminated, truncated));
            ends.push((step, env, total_reward, length, terminated, final_obs[0]));
        }
        if step % 4 == 0 {
            assert_eq!(out.obs[1], 501.0, "what a restart gives");
        }
    }
    // Environment 0 ends by itself, environment 1 by the limit, with the observation of that step.
    let expected = [
        (3, 0, 7.0, 3, true, -1000.0),
        (4, 1, 8.0, 4, false, 9.0),
        (6, 0, 7.0, 3, false, -1000.0),
        (8, 1, 8.0, 4, false, 17.0),
        (9, 0, 7.0, 3, true, -1000.0),
    ];
    assert_eq!(ends, expected);
    assert_eq!(envs.inner().restarted, [1, 1]);
}

#[test]
fn a_time_limit_from_outside_is_that_from_inside() {
    let play = |envs: &mut dyn VecEnv| {
        let mut sampler = ActionSampler::new(envs.action_space(), 5, 3).unwrap();
        let (mut actions, mut out) = (idle(envs), StepBuf::new(envs));
        let mut seen = vec![];
        envs.reset(3, &mut out.obs).unwrap();
        for _ in 0..90 {
            sampler.fill(&mut actions);
            envs.step(actions.as_actions(), out.out()).unwrap();
            seen.push(format!("{out:?}"));
        }
        seen
    };
    let inside = play(&mut Batch::new(fast::CartPole, 5).unwrap().with_length_max(20));
    let outside = play(&mut VecTimeLimit::new(make_vec("CartPole-v1", 5).unwrap(), 20));
    assert_eq!(inside, outside);
}

#[test]
fn episodes_are_recorded() {
    let mut script = Script::counting(20);
    script.ends[0] = 4;
    let mut envs = RecordEpisodes::new(script, 3);
    let mut out = StepBuf::new(&envs);
    envs.reset(0, &mut out.obs).unwrap();
    assert_eq!((envs.mean_return(), envs.episode_count()), (None, 0));
    for _ in 0..18 {
        envs.step(idle(&envs).as_actions(), out.out()).unwrap();
    }
    assert_eq!((envs.episode_count(), envs.step_count(), envs.episodes().len()), (4, 18, 3));
    assert_eq!((envs.mean_return(), envs.mean_length()), (Some(7.0), Some(4.0)));
    assert!(envs.episodes().all(|episode| episode.env == 0 && episode.duration.as_secs() < 60));
}

#[test]
fn a_batch_of_one_serves_as_a_single_environment() {
    let batch = || SyncVec::new(vec![make("CartPole-v1").unwrap()]).unwrap();
    let mut single = Single::new(FrameStack::new(batch(), 2).unwrap());
    let (mut plain, mut reference) = (batch(), StepBuf::new(&batch()));
    let mut obs = [0.0; 8];
    single.reset(Some(4), &mut obs).unwrap();
    plain.reset(4, &mut reference.obs).unwrap();
    let mut ends = 0;
    for at in 0..200u32 {
        let action = [at / 3 % 2];
        let step = single.step(Actions::Discrete(&action), &mut obs).unwrap();
        plain.step(Actions::Discrete(&action), reference.out()).unwrap();
        assert_eq!((step.terminated, step.truncated), (reference.terminated[0], reference.truncated[0]));
        if step.is_last() {
            assert_eq!(obs[4..], *reference.finished.final_obs());
            single.reset(None, &mut obs).unwrap();
            assert_eq!(obs[..4], obs[4..]);
            ends += 1;
        }
        assert_eq!(obs[4..], reference.obs);
    }
    assert!(ends >= 3, "{ends}");
    let first = obs;
    single.reset(None, &mut obs).unwrap();
    assert_ne!(first, obs, "an episode cut short by its user");
}

#[test]
fn wrappers_refuse_spaces_that_they_are_not_for() {
    let cart = || make_vec("CartPole-v1", 2).unwrap();
    let said = |error: Result<(), EnvError>| error.unwrap_err().to_string();
    assert_eq!(said(ClipAction::new(cart()).map(drop)), "ClipAction is for a box, not for Discrete(2)");
    assert_eq!(
        said(RescaleAction::new(cart(), -1.0, 1.0).map(drop)),
        "RescaleAction is for a box, not for Discrete(2)"
    );
    let choices = || Script::new(1, Space::Discrete { n: 3 }, vec![0.0], vec![]);
    assert!(said(FrameStack::new(choices(), 2).map(drop)).starts_with("FrameStack is for a box"));
    assert!(said(NormalizeObs::new(choices()).map(drop)).starts_with("NormalizeObs is for observations of values"));
}

#[test]
fn dictionaries_have_one_row_in_the_order_of_names() {
    let space = Space::dict([("pos", Space::uniform(-1.0, 1.0, 2)), ("kind", Space::Discrete { n: 3 })]).unwrap();
    assert_eq!(space.to_string(), "Dict('kind': Discrete(3), 'pos': Box(-1.0, 1.0, (2,), float32))");
    assert_eq!((space.width(), space.flat_len(), space.is_discrete(), space.is_of_one_kind()), (3, 5, false, false));
    let nested = Space::dict([("a", Space::Discrete { n: 2 }), ("b", space.clone())]).unwrap();
    assert_eq!(nested.part("b").unwrap(), (1..4, &space));
    assert_eq!(nested.part("b.pos").unwrap().0, 2..4);
    assert!(nested.part("b.c").is_none() && nested.part("c").is_none() && space.part("pos.x").is_none());
    assert!(space.contains(&[2.0f32, 0.5, -1.0][..]));
    for outside in [&[3.0f32, 0.0, 0.0][..], &[0.5, 0.0, 0.0], &[0.0, 1.5, 0.0], &[0.0, 0.0], &[-1.0, 0.0, 0.0]] {
        assert!(!space.contains(outside), "{outside:?}");
    }
    let choices =
        Space::dict([("b", Space::Discrete { n: 2 }), ("a", Space::MultiDiscrete { nvec: vec![4, 5] })]).unwrap();
    assert_eq!(choices.choices(), Some(vec![4, 5, 2]));
    assert!(choices.contains(&[3u32, 4, 1][..]) && !choices.contains(&[3u32, 4, 2][..]));
    assert!(ActionSampler::new(&choices, 2, 0).is_ok());
    assert!(matches!(ActionSampler::new(&space, 2, 0), Err(EnvError::MixedActions { .. })));
    let refused = |entries: Vec<(&str, Space)>| Space::dict(entries).unwrap_err().to_string();
    assert_eq!(refused(vec![]), "not a dictionary of spaces: it has no entries");
    let twice = vec![("a", Space::Discrete { n: 2 }), ("a", Space::Discrete { n: 3 })];
    assert_eq!(refused(twice), "not a dictionary of spaces: two entries are named \"a\"");
}
