//! The command `rayline-rl`, as its users call it.

#![cfg(feature = "command")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rayline_rl::env::{ActionBuf, ActionSampler, StepBuf, make_vec};
use rayline_rl::nn::ActionRows;
use rayline_rl::policy::TrainedPolicy;
use safetensors::SafeTensors;
use serde_json::Value;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rayline-rl"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// What it prints, if it succeeds.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Its exit code and what it says, if it fails.
fn refused(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = run(folder, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The rows of a table without the columns that time makes: the last two.
fn rows(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("progress.csv")).unwrap();
    text.lines().map(|row| row.rsplitn(3, ',').last().unwrap().to_owned()).collect()
}

#[test]
fn a_run_that_reaches_its_target_stops_and_keeps_all_that_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    let summary = json(&done(folder.path(), &["train", "ppo", "--json", "--target", "100", "--seed", "3"]));
    let run = folder.path().join("runs/CartPole-v1-ppo-1");
    assert_eq!((summary["reached"].as_bool(), summary["algorithm"].as_str()), (Some(true), Some("ppo")));
    assert!(summary["steps"].as_u64().unwrap() < 100_000 && summary["mean_return"].as_f64().unwrap() >= 100.0);
    assert_eq!(json(&fs::read_to_string(run.join("summary.json")).unwrap()), summary);
    let header = rows(&run)[0].clone();
    assert!(header.starts_with("step,rollout/ep_rew_mean,"), "{header}");
    let names: Vec<_> = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().starts_with("events.out.tfevents.")), "{names:?}");
    let best = TrainedPolicy::load(&run.join("best.safetensors")).unwrap();
    assert_eq!((best.env(), &best.notes()["best"]), (Some("CartPole-v1"), &summary["best"]));

    // The settings that it wrote give the same run.
    let same = ["train", "ppo", "--json", "--config", "runs/CartPole-v1-ppo-1/settings.toml"];
    assert_eq!(json(&done(folder.path(), &same))["steps"], summary["steps"]);
    assert_eq!(rows(&folder.path().join("runs/CartPole-v1-ppo-2")), rows(&run));
}

/// Kills a run once it has a checkpoint, goes on with it, and compares it with one that was left alone.
fn survives_a_kill(algorithm: &str, settings: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let train = |out: &'static str| [&["train", algorithm, "--json", "--out", out][..], settings].concat();
    done(folder.path(), &train("whole"));
    let mut process = command(folder.path(), &train("killed")).stdout(Stdio::null()).spawn().unwrap();
    let checkpoint = folder.path().join("killed/checkpoint.safetensors");
    let begin = Instant::now();
    while !checkpoint.exists() {
        assert!(begin.elapsed() < Duration::from_secs(60), "no checkpoint");
        sleep(Duration::from_millis(1));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!folder.path().join("killed/summary.json").exists(), "it had ended before it was killed");
    done(folder.path(), &["train", "--resume", "killed", "--json"]);
    let policy = |name: &str| TrainedPolicy::load(&folder.path().join(name).join("checkpoint.safetensors")).unwrap();
    assert!(policy("killed") == policy("whole"), "the resumed run is another");
    assert_eq!(rows(&folder.path().join("killed")), rows(&folder.path().join("whole")));
}

#[test]
fn a_run_of_ppo_that_is_killed_and_resumed_is_the_run_that_was_not_bit_for_bit() {
    let settings = ["--preset", "cleanrl", "--steps", "100000", "--workers", "3", "--set", "checkpoint_steps=8000"];
    survives_a_kill("ppo", &settings);
}

#[test]
fn a_run_of_evolution_strategies_that_is_killed_and_resumed_is_the_run_that_was_not_bit_for_bit() {
    survives_a_kill("es", &["--env", "Pendulum-v1", "--steps", "600000", "--set", "checkpoint_steps=20000"]);
}

#[test]
fn evaluation_is_the_same_each_time_and_draws_what_it_plays() {
    let folder = tempfile::tempdir().unwrap();
    let train = ["train", "es", "--env", "Pendulum-v1", "--steps", "20000", "--out", "run", "--quiet"];
    done(folder.path(), &train);
    let play = ["evaluate", "run", "--episodes", "7", "--json", "--gif", "a.gif", "--png", "pictures"];
    let told = json(&done(folder.path(), &play));
    assert_eq!(told["episodes"], 7);
    assert_eq!(told["mean_length"], 200.0);
    assert!(told["std"].as_f64().unwrap() > 0.0 && told["mean_return"].as_f64().unwrap() < 0.0, "{told}");
    assert_eq!(json(&done(folder.path(), &["evaluate", "run", "--episodes", "7", "--json"])), told);
    assert_eq!(fs::read_dir(folder.path().join("pictures")).unwrap().count(), 200);
    assert!(fs::read(folder.path().join("a.gif")).unwrap().starts_with(b"GIF89a"));
    let text = done(folder.path(), &["evaluate", "run", "--episodes", "3"]);
    assert!(text.contains("Pendulum-v1, 3 episodes") && text.contains(" ± "), "{text}");
}

/// The outputs of the exported network for one observation, as its description says to compute them.
fn forward(tensors: &SafeTensors<'_>, modules: &Value, obs: &[f32]) -> Vec<f32> {
    let numbers = |name: String| -> Vec<f32> {
        let (chunks, rest) = tensors.tensor(&name).unwrap().data().as_chunks::<4>();
        assert!(rest.is_empty());
        chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let mut x = obs.to_vec();
    for (at, module) in modules.as_array().unwrap().iter().enumerate() {
        if module == "tanh" {
            x.iter_mut().for_each(|x| *x = x.tanh());
            continue;
        }
        let inputs = module["linear"]["inputs"].as_u64().unwrap() as usize;
        let (weights, bias) = (numbers(format!("policy.{at}.weight")), numbers(format!("policy.{at}.bias")));
        let rows = weights.chunks_exact(inputs).zip(&bias);
        x = rows.map(|(row, bias)| bias + row.iter().zip(&x).map(|(w, x)| w * x).sum::<f32>()).collect();
    }
    x
}

#[test]
fn an_exported_policy_acts_as_the_trained_one() {
    let folder = tempfile::tempdir().unwrap();
    done(folder.path(), &["train", "ppo", "--steps", "5000", "--preset", "cleanrl", "--out", "run", "--quiet"]);
    let said = done(folder.path(), &["export", "run", "--out", "plain"]);
    assert_eq!(said.lines().count(), 2);
    let bytes = fs::read(folder.path().join("plain/policy.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let described = json(&fs::read_to_string(folder.path().join("plain/policy.json")).unwrap());
    assert_eq!(tensors.tensor("policy.0.weight").unwrap().shape(), [64, 4]);
    assert_eq!(tensors.tensor("value.4.bias").unwrap().shape(), [1]);
    assert_eq!((&described["env"], &described["action"]["kind"]), (&"CartPole-v1".into(), &"categorical".into()));
    let policy = TrainedPolicy::load(&folder.path().join("run/checkpoint.safetensors")).unwrap();
    let mut actor = policy.actor().unwrap();
    for obs in observations() {
        let outputs = forward(&tensors, &described["policy"], &obs);
        let ActionRows::Discrete(actions) = actor.act(&obs) else { panic!("CartPole takes choices") };
        // Where the two are as good as equal, rounding decides.
        if (outputs[0] - outputs[1]).abs() > 1e-5 {
            assert_eq!(actions, &[u32::from(outputs[1] > outputs[0])], "{obs:?}: {outputs:?}");
        }
    }
}

/// Some that CartPole gives.
fn observations() -> Vec<Vec<f32>> {
    let mut envs = make_vec("CartPole-v1", 50).unwrap();
    let (mut out, mut actions) = (StepBuf::new(envs.as_ref()), ActionBuf::new(envs.action_space(), 50));
    let mut sampler = ActionSampler::new(envs.action_space(), 50, 1).unwrap();
    envs.reset(1, &mut out.obs).unwrap();
    for _ in 0..20 {
        sampler.fill(&mut actions);
        envs.step(actions.as_actions(), out.out()).unwrap();
    }
    out.obs.chunks(4).map(<[f32]>::to_vec).collect()
}

#[test]
fn mistakes_are_told_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), "env = \"CartPole-v1\"\n[ppo]\ngama = 0.9\n").unwrap();
    let (code, said) = refused(folder.path(), &["train", "ppo", "--config", "a.toml"]);
    assert_eq!((code, said.trim()), (2, "error: a.toml:3: there is no setting \"gama\": did you mean \"gamma\"?"));
    let cases: [(&[&str], &str); 7] = [
        (&["train", "ppo", "--env", "CartPol-v1"], "did you mean \"CartPole-v1\"?"),
        (
            &["train", "ppo", "--preset", "openai"],
            "there are cleanrl, acrobot, cartpole, mountain_car_continuous, pendulum",
        ),
        (&["train", "ppo", "--set", "gamma=2"], "gamma is 2, but"),
        (&["train", "es", "--set", "clip=0.1"], "there is no setting \"clip\""),
        (&["train", "ppo", "--set", "eval_episodes=0"], "eval_episodes can't be 0: it must be at least 1"),
        (&["train", "--resume", "nowhere"], "checkpoint nowhere/checkpoint.safetensors: reading failed"),
        (&["train", "ppo", "--config", "b.toml"], "can't read b.toml"),
    ];
    for (arguments, want) in cases {
        let (_, said) = refused(folder.path(), arguments);
        assert!(said.contains(want), "{arguments:?}: {said}");
    }
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn what_can_not_be_played_is_told() {
    let folder = tempfile::tempdir().unwrap();
    done(folder.path(), &["train", "ppo", "--steps", "300", "--out", "run", "--quiet"]);
    let (_, said) = refused(folder.path(), &["evaluate", "run", "--env", "Pendulum-v1"]);
    assert!(said.contains("trained for width 4") && said.contains("(3,)"), "both shapes are named: {said}");
    let (_, said) = refused(folder.path(), &["train", "ppo", "--out", "run"]);
    assert!(said.contains("can't make run"), "{said}");
    fs::write(folder.path().join("junk"), "junk").unwrap();
    let (_, said) = refused(folder.path(), &["export", "junk"]);
    assert!(said.contains("checkpoint junk: not safetensors"), "{said}");
}

#[test]
fn a_search_leaves_its_table_and_settings_that_train() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), "[search]\nlearning_rate = { log_uniform = [1e-4, 1e-2] }\n").unwrap();
    let arguments = ["search", "--config", "a.toml", "--trials", "3", "--steps", "3000", "--out", "found", "--json"];
    let rows = json(&done(folder.path(), &arguments));
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!(json(&fs::read_to_string(folder.path().join("found/trials.json")).unwrap()), rows);
    let csv = fs::read_to_string(folder.path().join("found/trials.csv")).unwrap();
    assert!(csv.starts_with("trial,round,parent,learning_rate,env_steps,score,error\n0,0,,"), "{csv}");
    assert_eq!(csv.lines().count(), 4);
    done(folder.path(), &["train", "ppo", "--config", "found/best.toml", "--steps", "300", "--quiet"]);
    done(folder.path(), &["evaluate", "found", "--episodes", "2"]);
    let population = ["search", "--method", "population", "--trials", "2", "--rounds", "2", "--steps", "2000"];
    let text = done(folder.path(), &population);
    assert!(text.contains("round 1, trial 1: ") && text.contains("runs/CartPole-v1-search-1"), "{text}");
}
