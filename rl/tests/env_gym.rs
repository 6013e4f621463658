//! Environments of Gymnasium in Python processes: against Gymnasium's own vector environment, and when they fail. Where
//! there is no Gymnasium each test is skipped, with its reason printed.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rayline_rl::env::gym::{Gym, GymError, GymVec};
use rayline_rl::env::wrappers::FlattenObs;
use rayline_rl::env::{Actions, Env, EnvError, StepBuf, VecEnv, make, make_vec};
use rayline_rl::gym;

/// Whether there is Gymnasium; prints a reason if not.
fn has_gymnasium() -> bool {
    match gym("CartPole-v1").build() {
        Ok(_) => true,
        Err(EnvError::Gym(error @ (GymError::NoPython { .. } | GymError::NoGymnasium { .. }))) => {
            println!("skipped: {error}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gym")
}

fn odd() -> Gym {
    gym("Odd-v0").path(folder()).module("odd")
}

/// What a batch gives, in the form of `reference.py`.
fn lines(envs: &mut dyn VecEnv, steps: usize, seed: u64) -> Vec<Vec<f32>> {
    let n = envs.env_count();
    let mut out = StepBuf::new(envs);
    envs.reset(seed, &mut out.obs).unwrap();
    let mut lines = vec![out.obs.clone()];
    let width = envs.action_space().width();
    for t in 0..steps {
        let choices: Vec<u32> = (0..n).map(|env| ((t + env) / 4 % 2) as u32).collect();
        let values: Vec<f32> = choices.iter().flat_map(|choice| vec![*choice as f32 - 0.5; width]).collect();
        let is_discrete = envs.action_space().is_discrete();
        let actions = if is_discrete { Actions::Discrete(&choices) } else { Actions::Continuous(&values) };
        envs.step(actions, out.out()).unwrap();
        let flags = out.terminated.iter().chain(&out.truncated).map(|flag| f32::from(u8::from(*flag)));
        let line = out.obs.iter().chain(&out.rewards).copied().chain(flags);
        lines.push(line.chain(out.finished.final_obs().iter().copied()).collect());
    }
    lines
}

#[test]
fn environments_are_gymnasiums() {
    if !has_gymnasium() {
        return;
    }
    for (id, steps) in [("CartPole-v1", 130), ("Pendulum-v1", 205)] {
        let arguments = [id, "5", &steps.to_string(), "11"];
        let output = Command::new("python3").arg(folder().join("reference.py")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let expected = text.lines().map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect());
        let expected: Vec<Vec<f32>> = expected.collect();
        for processes in [1, 3] {
            let mut envs = gym(id).envs(5).processes(processes).build().unwrap();
            assert_eq!(envs.process_count(), processes);
            let found = lines(&mut envs, steps, 11);
            assert_eq!(found.len(), expected.len());
            for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_eq!(found, expected, "{id} with {processes} processes, step {step}");
            }
        }
        // So some episodes ended.
        assert!(expected.iter().any(|line| line.len() > expected[1].len()), "{id}");
    }
}

#[test]
fn spaces_of_every_kind_pass() {
    if !has_gymnasium() {
        return;
    }
    let mut envs = odd().envs(3).processes(2).build().unwrap();
    let image = "Box(0.0, 255.0, (2, 2), float32)";
    let described = format!("Dict('at': Dict('000': Discrete(6), '001': {image}), 'did': MultiDiscrete([3 2])");
    assert_eq!(envs.observation_space().to_string(), format!("{described}, 'pid': Box(0.0, inf, (1,), float32))"));
    assert_eq!(envs.action_space().to_string(), "MultiDiscrete([3 2])");
    let mut out = StepBuf::new(&envs);
    envs.reset(40, &mut out.obs).unwrap();
    // The seeds are 40, 41 and 42, and are what the image shows.
    let row = |obs: &[f32], env: usize| obs[env * 8..][..7].to_vec();
    assert_eq!(row(&out.obs, 2), [0.0, 42.0, 42.0, 42.0, 42.0, 0.0, 0.0]);
    let actions = [0, 1, 2, 0, 1, 1];
    for time in 1..=5 {
        envs.step(Actions::Discrete(&actions), out.out()).unwrap();
        assert_eq!(out.rewards, [time as f32; 3]);
        if time < 5 {
            assert_eq!(row(&out.obs, 1), [time as f32, 41.0, 41.0, 41.0, 41.0, 2.0, 0.0]);
        }
    }
    assert_eq!((&out.terminated[..], out.finished.len()), (&[true; 3][..], 3));
    let episode = out.finished.episode(1);
    assert_eq!((episode.env, episode.total_reward, episode.length), (1, 15.0, 5));
    assert_eq!(row(episode.final_obs, 0), [5.0, 41.0, 41.0, 41.0, 41.0, 2.0, 0.0]);
    assert_eq!(row(&out.obs, 1), [0.0, 41.0, 41.0, 41.0, 41.0, 0.0, 0.0]);

    envs.step(Actions::Discrete(&actions), out.out()).unwrap();
    let mut first = [0.0; 8];
    envs.restart(2, &mut first).unwrap();
    assert_eq!(first[0], 0.0);
    envs.step(Actions::Discrete(&actions), out.out()).unwrap();
    assert_eq!([out.obs[0], out.obs[8], out.obs[16]], [2.0, 2.0, 1.0], "only the third began anew");
    assert_eq!(FlattenObs::new(envs).observation_space().width(), 6 + 4 + 5 + 1);
}

#[test]
fn actions_outside_their_space_are_refused_before_python_sees_them() {
    if !has_gymnasium() {
        return;
    }
    let mut envs = make_vec("gym:CartPole-v1", 2).unwrap();
    let mut out = StepBuf::new(envs.as_ref());
    envs.reset(0, &mut out.obs).unwrap();
    let refused = envs.step(Actions::Discrete(&[0, 2]), out.out()).unwrap_err().to_string();
    assert!(refused.contains("of environment 1 is outside Discrete(2)"), "{refused}");
    assert!(matches!(envs.step(Actions::Discrete(&[0]), out.out()), Err(EnvError::ActionLen { .. })));
    assert!(matches!(envs.step(Actions::Continuous(&[0.0; 2]), out.out()), Err(EnvError::ActionKind { .. })));
    envs.step(Actions::Discrete(&[0, 1]), out.out()).unwrap();

    let mut one = make("gym:CartPole-v1").unwrap();
    let mut obs = [0.0; 4];
    one.reset(Some(1), &mut obs).unwrap();
    assert_eq!(one.step(Actions::Discrete(&[1]), &mut obs).unwrap().reward, 1.0);
}

#[test]
fn processes_can_be_stepped_each_for_itself() {
    if !has_gymnasium() {
        return;
    }
    let mut envs = odd().envs(4).processes(2).build().unwrap();
    let mut all = StepBuf::new(&envs);
    envs.reset(0, &mut all.obs).unwrap();
    assert_eq!((envs.envs_of(0), envs.envs_of(1)), (0..2, 2..4));
    let mut half = gym_half(&envs);
    let wrong = |error: EnvError| assert!(matches!(error, EnvError::Gym(GymError::OutOfTurn { .. })), "{error}");
    wrong(envs.wait_any().unwrap_err());
    wrong(envs.receive(0, half.out()).unwrap_err());
    envs.send(0, Actions::Discrete(&[0; 4])).unwrap();
    wrong(envs.send(0, Actions::Discrete(&[0; 4])).unwrap_err());
    wrong(envs.step(Actions::Discrete(&[0; 8]), all.out()).unwrap_err());
    let mut steps = [0; 2];
    envs.send(1, Actions::Discrete(&[0; 4])).unwrap();
    while steps.iter().sum::<u32>() < 40 {
        let ready = envs.wait_any().unwrap();
        envs.receive(ready, half.out()).unwrap();
        steps[ready] += 1;
        let expected = (steps[ready] - 1) % 5 + 1;
        assert_eq!(half.rewards, [expected as f32; 2], "process {ready}");
        half.finished.iter().for_each(|episode| assert_eq!((episode.env < 2, episode.length), (true, 5)));
        envs.send(ready, Actions::Discrete(&[0; 4])).unwrap();
    }
    assert!(steps.iter().all(|steps| *steps > 0), "{steps:?}");
    // A reset takes back what nobody received.
    envs.reset(3, &mut all.obs).unwrap();
    envs.send_all(Actions::Discrete(&[0; 8])).unwrap();
    envs.receive_all(all.out()).unwrap();
    assert_eq!(all.rewards, [1.0; 4]);
}

/// Room for the steps of the first process.
fn gym_half(envs: &GymVec) -> StepBuf {
    let mut half = StepBuf::new(envs);
    half.obs.truncate(half.obs.len() / 2);
    half.rewards.truncate(2);
    half.terminated.truncate(2);
    half.truncated.truncate(2);
    half
}

/// Steps until something fails.
fn until_failure(envs: &mut GymVec) -> EnvError {
    let mut out = StepBuf::new(envs);
    envs.reset(0, &mut out.obs).unwrap();
    let actions = vec![0; envs.env_count() * 2];
    loop {
        if let Err(error) = envs.step(Actions::Discrete(&actions), out.out()) {
            return error;
        }
    }
}

#[test]
fn an_exception_comes_with_its_traceback() {
    if !has_gymnasium() {
        return;
    }
    let mut envs = odd().envs(2).processes(1).kwarg("trouble", "raise").build().unwrap();
    let error = until_failure(&mut envs).to_string();
    assert!(error.starts_with("Odd-v0 raised an exception in Python:\nTraceback"), "{error}");
    assert!(error.contains("return 1 / 0") && error.contains("ZeroDivisionError"), "{error}");
    let again = envs.reset(0, &mut [0.0; 16]).unwrap_err().to_string();
    assert_eq!(again, "the Python process of Odd-v0 has failed before: make a new batch");

    let unknown = gym("Nothing-v0").build().map(drop).unwrap_err().to_string();
    assert!(unknown.contains("Nothing") && unknown.contains("NameNotFound"), "{unknown}");
    let text = gym("CartPole-v1").module("no_such_module").build().map(drop).unwrap_err().to_string();
    assert!(text.contains("No module named 'no_such_module'"), "{text}");
}

#[test]
fn a_killed_process_is_an_error_and_not_a_hang() {
    if !has_gymnasium() {
        return;
    }
    let begin = Instant::now();
    let mut envs = odd().envs(2).processes(2).kwarg("trouble", "die").build().unwrap();
    let error = until_failure(&mut envs);
    let EnvError::Gym(GymError::Died { status, .. }) = &error else { panic!("{error}") };
    assert!(status.to_string().contains("signal: 9"), "{status}");
    assert!(begin.elapsed() < Duration::from_secs(30));

    let mut envs = odd().kwarg("trouble", "hang").timeout(Duration::from_secs(3)).build().unwrap();
    let error = until_failure(&mut envs).to_string();
    assert_eq!(error, "the Python process of Odd-v0 did not answer within 3s");
    drop(envs);
    assert!(begin.elapsed() < Duration::from_secs(40));
}

#[test]
fn processes_end_with_their_batch() {
    if !has_gymnasium() {
        return;
    }
    let mut envs = odd().envs(2).processes(2).build().unwrap();
    let mut obs = vec![0.0; 16];
    envs.reset(0, &mut obs).unwrap();
    let lives = |pid: f32| Path::new("/proc").join((pid as u32).to_string()).exists();
    assert!(lives(obs[7]) && lives(obs[15]) && obs[7] != obs[15]);
    assert_eq!([0, 1].map(|process| envs.process_id(process) as f32), [obs[7], obs[15]]);
    drop(envs);
    assert!(!lives(obs[7]) && !lives(obs[15]));
}

#[test]
fn a_missing_python_or_gymnasium_is_said_with_what_to_do() {
    let missing = gym("CartPole-v1").python("/nowhere/python").build().map(drop).unwrap_err();
    assert!(matches!(missing, EnvError::Gym(GymError::NoPython { .. })));
    assert!(missing.to_string().starts_with("/nowhere/python can't be started: name a Python"), "{missing}");
    assert!(matches!(gym("CartPole-v1").envs(0).build(), Err(EnvError::Empty)));
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return;
    }
    // Without its site packages it has no Gymnasium.
    let folder = tempfile::tempdir().unwrap();
    let python = folder.path().join("bare");
    std::fs::write(&python, "#!/bin/sh\nexec python3 -I -S \"$@\"\n").unwrap();
    let mut mode = std::fs::metadata(&python).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(&python, mode).unwrap();
    let error = gym("CartPole-v1").python(&python).build().map(drop).unwrap_err().to_string();
    assert!(error.starts_with("no Gymnasium (") && error.contains("pip install gymnasium"), "{error}");
}
