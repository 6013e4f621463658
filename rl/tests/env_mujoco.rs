//! MuJoCo's tasks against transitions that `mujoco/record.py` recorded from Gymnasium with the same library, and as
//! batches. Without the library each test is skipped, with its reason printed.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::ops::ControlFlow;
use std::path::Path;

use rayline_rl::env::mujoco::{MujocoError, MujocoPlace, MujocoTask, MujocoVec};
use rayline_rl::env::wrappers::{ClipAction, NormalizeObs, NormalizeReward, Single};
use rayline_rl::env::{ActionBuf, ActionSampler, Actions, Env, EnvError, Space, StepBuf, VecEnv, ids, make, make_vec};
use rayline_rl::ppo::{PpoConfig, Schedule, train};

/// A batch, or `None` with a reason printed where MuJoCo or Gymnasium's models are missing.
fn batch(task: MujocoTask, env_count: usize) -> Option<MujocoVec> {
    match MujocoVec::new(task, env_count) {
        Ok(batch) => Some(batch),
        Err(EnvError::Mujoco(error @ (MujocoError::NoLibrary { .. } | MujocoError::NoModel { .. }))) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The rule of `record.py`.
struct Rule {
    state: u64,
    bound: f64,
}

impl Rule {
    fn fill(&mut self, action: &mut [f32]) {
        for value in action {
            self.state = (self.state * 1_103_515_245 + 12_345) % (1 << 31);
            *value = (1.25 * self.bound * (self.state as f64 / f64::from(1 << 30) - 1.0)) as f32;
        }
    }
}

fn numbers<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn transitions_are_gymnasiums() {
    for task in MujocoTask::ALL {
        let Some(mut envs) = batch(task, 1) else { return };
        let version = envs.library_version();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/mujoco/{version}.txt"));
        let Ok(record) = std::fs::read_to_string(&path) else {
            println!("skipped: nothing was recorded with MuJoCo {version}");
            return;
        };
        let is_exact = record.contains(&format!("libm {:016x}\n", digest()));
        let part = record.split("task ").find(|part| part.starts_with(task.id())).unwrap();
        let compared: usize = part.split("episode ").skip(1).map(|episode| replay(&mut envs, episode, is_exact)).sum();
        println!("{} with MuJoCo {version}, same sines: {is_exact}: {compared} transitions", task.id());
        assert!(compared >= 5, "{compared}");
    }
}

/// Whether this machine rounds sines as the recording one did: `digest` of `record.py`.
fn digest() -> u64 {
    let sines = (1..=1000).flat_map(|k| [(0.37 * f64::from(k)).sin(), (0.37 * f64::from(k)).cos()]);
    sines.fold(0xCBF2_9CE4_8422_2325, |value: u64, number| (value ^ number.to_bits()).wrapping_mul(0x100_0000_01B3))
}

/// Plays an episode, and returns how many transitions were compared: states bit for bit, observations as they are in
/// single precision, rewards to its rounding. Where sines are rounded otherwise, the first two steps to 1e-6.
fn replay(envs: &mut MujocoVec, episode: &str, is_exact: bool) -> usize {
    let near =
        |found: f64, expected: f64, tolerance: f64| (found - expected).abs() <= tolerance * expected.abs().max(1.0);
    let tolerance = if is_exact { 0.0 } else { 1e-6 };
    let mut lines = episode.lines();
    let seed: u64 = lines.next().unwrap().parse().unwrap();
    let Space::Box { high, .. } = envs.action_space() else { panic!("values") };
    let mut rule = Rule { state: seed, bound: high[0].to_string().parse().unwrap() };
    let mut action = vec![0.0; high.len()];
    let mut out = StepBuf::new(envs);
    let (start, seen) = lines.next().unwrap().strip_prefix("start ").unwrap().split_once('|').unwrap();
    envs.begin_at(0, &numbers(start), &mut out.obs);
    assert_eq!(out.obs, numbers::<f32>(seen), "the first observation of episode {seed}");
    let (mut time, mut compared) = (0, 0);
    for line in lines.filter(|line| line.starts_with("step ")) {
        let parts: Vec<&str> = line.strip_prefix("step ").unwrap().split('|').collect();
        let ends_at: usize = parts[0].trim().parse().unwrap();
        if !is_exact && ends_at > 2 {
            break;
        }
        let result = numbers::<f64>(parts[3]);
        while time < ends_at {
            rule.fill(&mut action);
            envs.step(Actions::Continuous(&action), out.out()).unwrap();
            time += 1;
            assert!(time == ends_at || out.finished.is_empty(), "episode {seed} ended at {time}");
        }
        let place = format!("{} episode {seed} step {time}", envs.task().id());
        let terminated = result[1] == 1.0;
        assert_eq!(out.terminated[0], terminated, "{place}");
        let obs = if terminated { out.finished.final_obs() } else { &out.obs };
        for (found, expected) in obs.iter().zip(numbers::<f32>(parts[2])) {
            assert!(near((*found).into(), expected.into(), tolerance), "{place}: {found}, expected {expected}");
        }
        // Gymnasium sums squares of actions in single precision.
        let (reward, expected) = (out.rewards[0], result[0]);
        assert!(near(reward.into(), expected, 1e-6 + tolerance), "{place}: reward {reward}, expected {expected}");
        if !terminated {
            for (found, expected) in envs.state(0).iter().zip(numbers::<f64>(parts[1])) {
                assert!(near(*found, expected, tolerance), "{place}: {found}, expected {expected}");
            }
        }
        compared += 1;
    }
    compared
}

#[test]
fn batches_do_not_depend_on_how_they_are_split() {
    for task in [MujocoTask::Hopper, MujocoTask::Ant] {
        let Some(mut whole) = batch(task, 5) else { return };
        let mut parts = [batch(task, 2).unwrap(), batch(task, 3).unwrap()];
        let together = trace(&mut whole, 0, 120);
        let first = trace(&mut parts[0], 0, 120);
        let second = trace(&mut parts[1], 2, 120);
        for (step, row) in together.iter().enumerate() {
            assert_eq!(row[..2], first[step][..], "step {step}");
            assert_eq!(row[2..], second[step][..], "step {step}");
        }
        assert_eq!(together, trace(&mut whole, 0, 120), "once more");
    }
}

/// Random actions: what each environment saw and earned, `[steps, n]`.
fn trace(envs: &mut MujocoVec, first_index: u64, steps: usize) -> Vec<Vec<String>> {
    let n = envs.env_count();
    let mut sampler = ActionSampler::new_from(envs.action_space(), n, 3, first_index).unwrap();
    let (mut actions, mut out) = (ActionBuf::new(envs.action_space(), n), StepBuf::new(envs));
    envs.reset_from(9, first_index, &mut out.obs).unwrap();
    let obs_dim = envs.observation_space().width();
    let mut seen = vec![];
    for _ in 0..steps {
        sampler.fill(&mut actions);
        envs.step(actions.as_actions(), out.out()).unwrap();
        let rows = out.obs.chunks(obs_dim).zip(&out.rewards).zip(&out.terminated);
        seen.push(rows.map(|row| format!("{row:?}")).collect());
    }
    seen
}

#[test]
fn episodes_end_and_begin_anew_in_one_step() {
    let Some(envs) = batch(MujocoTask::Hopper, 3) else { return };
    let mut envs = envs.with_length_max(15);
    let (mut out, mut actions) = (StepBuf::new(&envs), ActionBuf::new(envs.action_space(), 3));
    let mut sampler = ActionSampler::new(envs.action_space(), 3, 1).unwrap();
    envs.reset(1, &mut out.obs).unwrap();
    let (mut returns, mut lengths, mut ends) = ([0.0f64; 3], [0u32; 3], [0, 0]);
    for _ in 0..200 {
        sampler.fill(&mut actions);
        envs.step(actions.as_actions(), out.out()).unwrap();
        (0..3).for_each(|env| returns[env] += f64::from(out.rewards[env]));
        lengths.iter_mut().for_each(|length| *length += 1);
        for episode in out.finished.iter() {
            let env = episode.env;
            assert_eq!((episode.length, episode.truncated), (lengths[env], lengths[env] == 15));
            assert_eq!((out.terminated[env], out.truncated[env]), (episode.terminated, episode.truncated));
            assert!((episode.total_reward - returns[env]).abs() < 1e-4);
            let row = &out.obs[env * 11..][..11];
            assert!((row[0] - 1.25).abs() <= 5e-3 + 1e-6, "a first observation: {row:?}");
            assert_ne!(row, episode.final_obs);
            ends[usize::from(episode.terminated)] += 1;
            (returns[env], lengths[env]) = (0.0, 0);
        }
    }
    assert!(ends[0] > 5, "{ends:?}");
}

#[test]
fn starts_are_near_the_models_and_differ() {
    let Some(mut envs) = batch(MujocoTask::HalfCheetah, 200) else { return };
    let mut obs = vec![0.0; 200 * 17];
    envs.reset(5, &mut obs).unwrap();
    let speeds: Vec<f64> = (0..200).flat_map(|env| envs.state(env)[9..].to_vec()).collect();
    let deviation = (speeds.iter().map(|speed| speed * speed).sum::<f64>() / speeds.len() as f64).sqrt();
    assert!((deviation - 0.1).abs() < 0.006, "{deviation}");
    let positions = (0..200).flat_map(|env| envs.state(env)[..9].to_vec());
    let widest = positions.fold(0.0f64, |widest, position| widest.max(position.abs()));
    assert!((0.099..=0.1).contains(&widest), "{widest}");
    let before = obs[..17].to_vec();
    envs.restart(0, &mut obs[..17]).unwrap();
    assert_ne!(before, obs[..17]);
    envs.reset(5, &mut obs).unwrap();
    assert_eq!(before, obs[..17]);
}

#[test]
fn tasks_are_made_by_their_ids_and_refuse_wrong_actions() {
    let Some(_) = batch(MujocoTask::Swimmer, 1) else { return };
    let mut envs = make_vec("Swimmer-v5", 2).unwrap();
    assert_eq!(envs.action_space().to_string(), "Box(-1.0, 1.0, (2,), float32)");
    assert_eq!(envs.observation_space().to_string(), "Box(-inf, inf, (8,), float32)");
    let mut out = StepBuf::new(envs.as_ref());
    envs.reset(0, &mut out.obs).unwrap();
    let refused = envs.step(Actions::Continuous(&[0.0; 3]), out.out()).unwrap_err().to_string();
    assert_eq!(refused, "expected 4 action values, found 3");
    let refused = envs.step(Actions::Continuous(&[0.0, 0.0, f32::NAN, 0.0]), out.out()).unwrap_err().to_string();
    assert_eq!(refused, "the action [NaN, 0.0] of environment 1 is outside Box(-1.0, 1.0, (2,), float32)");
    assert!(matches!(envs.step(Actions::Discrete(&[0; 4]), out.out()), Err(EnvError::ActionKind { .. })));
    assert!(matches!(make_vec("Swimmer-v5", 0), Err(EnvError::Empty)));

    let mut one = make("Swimmer-v5").unwrap();
    let mut obs = [0.0; 8];
    one.reset(Some(3), &mut obs).unwrap();
    let step = one.step(Actions::Continuous(&[1.0, -1.0]), &mut obs).unwrap();
    assert!(!step.is_last() && step.reward.is_finite());
    let _: &Single<MujocoVec> = &Single::new(MujocoVec::new(MujocoTask::Swimmer, 1).unwrap());
}

#[test]
fn a_policy_learns_on_normalized_observations_and_rewards() {
    let Some(envs) = batch(MujocoTask::InvertedPendulum, 8) else { return };
    let config = PpoConfig {
        total_steps: 60_000,
        n_envs: 8,
        n_steps: 64,
        learning_rate: Schedule::LinearToZero(1e-3),
        entropy_coef: 0.0,
        epochs: 10,
        ..PpoConfig::cleanrl()
    };
    let envs = NormalizeReward::new(NormalizeObs::new(ClipAction::new(envs).unwrap()).unwrap(), 0.99);
    let trained = train(&config, Box::new(envs), |_| ControlFlow::Continue(())).unwrap();
    // Random actions keep the pole up for about 6 steps.
    let score = trained.episodes.mean_return().unwrap();
    assert!(score > 100.0, "{score}");
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    let place = MujocoPlace { library: Some("/nowhere".into()), models: Some("/nowhere".into()) };
    let missing = MujocoVec::new_at(&place, MujocoTask::Ant, 1).map(drop).unwrap_err();
    let words = missing.to_string();
    assert!(words.starts_with("no MuJoCo library was found: run `pip install mujoco gymnasium`"), "{words}");
    assert!(words.contains("/nowhere/lib"), "{words}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let place = MujocoPlace { library: Some(file), models: None };
    let broken = MujocoVec::new_at(&place, MujocoTask::Ant, 1).map(drop).unwrap_err().to_string();
    assert!(broken.ends_with("Cargo.toml can't be loaded as MuJoCo"), "{broken}");
    let unknown = make("HalfCheetah-v4").map(drop).unwrap_err().to_string();
    assert!(unknown.contains(r#"did you mean "HalfCheetah-v5"?"#), "{unknown}");
    assert!(ids().all(|id| MujocoTask::ALL.iter().all(|task| task.id() != id)));

    let Some(_) = batch(MujocoTask::Hopper, 1) else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hopper.xml"), "<mujoco><worldbody><body/></worldbody></mujoco>").unwrap();
    let place = MujocoPlace { library: None, models: Some(folder.path().to_path_buf()) };
    let other = MujocoVec::new_at(&place, MujocoTask::Hopper, 1).map(drop).unwrap_err().to_string();
    assert!(other.contains("it has Sizes { qpos: 0, qvel: 0, ctrl: 0, bodies: 2 }, but the task's has"), "{other}");
    std::fs::write(folder.path().join("hopper.xml"), "<mujoco><nonsense/></mujoco>").unwrap();
    let broken = MujocoVec::new_at(&place, MujocoTask::Hopper, 1).map(drop).unwrap_err().to_string();
    assert!(broken.contains("hopper.xml can't be used") && broken.contains("nonsense"), "{broken}");
}
