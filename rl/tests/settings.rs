//! Settings from files and flags: what they say, and how mistakes are told.

#![cfg(feature = "settings")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use rayline_rl::es::EsConfig;
use rayline_rl::nn::Activation;
use rayline_rl::ppo::{Minibatches, PpoConfig, Schedule};
use rayline_rl::settings::{Assignment, RunConfig, SettingsError, SettingsFile, to_toml};

fn parse(text: &str) -> Result<SettingsFile, SettingsError> {
    SettingsFile::parse("train.toml", text)
}

fn ppo(text: &str) -> Result<PpoConfig, SettingsError> {
    parse(text)?.algorithm("ppo", &PpoConfig::cartpole())
}

fn set(text: &str) -> Result<PpoConfig, SettingsError> {
    Assignment::parse(text)?.apply(&PpoConfig::cartpole())
}

#[test]
fn a_file_changes_what_it_names_and_nothing_else() {
    let text = "
        env = \"Pendulum-v1\"
        target = -200
        [ppo]
        total_steps = 1e5
        hidden = [16, 8]
        activation = \"relu\"
        clip = { constant = 0.1 }
        max_grad_norm = \"none\"
        [es]
        sigma = 0.25
    ";
    let want = PpoConfig {
        total_steps: 100_000,
        hidden: vec![16, 8],
        activation: Activation::Relu,
        clip: Schedule::Constant(0.1),
        max_grad_norm: None,
        ..PpoConfig::cartpole()
    };
    assert_eq!(ppo(text).unwrap(), want);
    let run = parse(text).unwrap().run(&RunConfig::default()).unwrap();
    assert_eq!(run, RunConfig { env: "Pendulum-v1".into(), target: Some(-200.0), ..RunConfig::default() });
    let es = parse(text).unwrap().algorithm("es", &EsConfig::cartpole()).unwrap();
    assert_eq!(es, EsConfig { sigma: 0.25, ..EsConfig::cartpole() });
}

#[test]
fn a_bare_number_keeps_the_kind_that_the_preset_has() {
    assert_eq!(set("learning_rate=1e-3").unwrap().learning_rate, Schedule::LinearToZero(1e-3));
    assert_eq!(set("minibatches=64").unwrap().minibatches, Minibatches::Rows(64));
    assert_eq!(set("minibatches={count=4}").unwrap().minibatches, Minibatches::Count(4));
    assert_eq!(set("value_clip=0.5").unwrap().value_clip, Some(Schedule::Constant(0.5)));
    assert_eq!(set("activation=relu").unwrap().activation, Activation::Relu);
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_nearest() {
    let said = |text: &str| ppo(text).unwrap_err().to_string();
    assert_eq!(
        said("\n[ppo]\ngamma = 0.9\nlearning_rat = 1\n"),
        "train.toml:4: there is no setting \"learning_rat\": did you mean \"learning_rate\"?"
    );
    assert_eq!(said("[pppo]\n"), "train.toml:1: there is no setting \"pppo\": did you mean \"ppo\"?");
    let top = parse("envv = \"a\"").unwrap().run(&RunConfig::default()).unwrap_err().to_string();
    assert_eq!(top, "train.toml:1: there is no setting \"envv\": did you mean \"env\"?");
    let flag = set("gama=1").unwrap_err().to_string();
    assert_eq!(flag, "--set: there is no setting \"gama\": did you mean \"gamma\"?");
}

#[test]
fn a_wrong_type_is_told_with_its_line_and_what_is_wanted() {
    let said = |text: &str| ppo(text).unwrap_err().to_string();
    assert_eq!(
        said("[ppo]\n\ngamma = \"high\""),
        "train.toml:3: gamma can't be \"high\": invalid type: string \"high\", expected f32"
    );
    assert!(said("[ppo]\nn_envs = 2.5").starts_with("train.toml:2: n_envs can't be 2.5: invalid type"));
    assert!(said("[ppo]\nn_envs = -1").starts_with("train.toml:2: n_envs can't be -1: invalid value"));
    assert!(said("[ppo]\nclip = { rising = 1 }").contains("unknown variant `rising`"));
    assert!(said("[ppo]\ngamma = nan").starts_with("train.toml:2: gamma can't be this: settings are finite"));
    assert!(set("n_envs=none").unwrap_err().to_string().starts_with("--set: n_envs can't be \"none\""));
    assert!(matches!(set("gamma"), Err(SettingsError::Syntax { .. })));
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let said = ppo("[ppo]\ngamma = \n").unwrap_err().to_string();
    assert!(said.starts_with("train.toml:2: "), "{said}");
    let missing = SettingsFile::read("nowhere/train.toml".as_ref()).unwrap_err();
    assert_eq!(missing.to_string(), "can't read nowhere/train.toml");
}

#[test]
fn written_settings_are_the_same_over_any_preset() {
    let run = RunConfig { target: Some(475.5), ..RunConfig::default() };
    let config = PpoConfig {
        learning_rate: Schedule::Constant(1e-7),
        target_kl: Some(0.015),
        seed: u64::MAX,
        ..PpoConfig::cartpole()
    };
    let text = to_toml(&run, "ppo", &config);
    let file = parse(&text).unwrap();
    assert_eq!(file.run(&RunConfig { workers: 9, ..RunConfig::default() }).unwrap(), run);
    for base in [PpoConfig::cleanrl(), PpoConfig::pendulum()] {
        assert_eq!(file.algorithm("ppo", &base).unwrap(), config, "{text}");
    }
    let config = EsConfig::pendulum();
    let file = parse(&to_toml(&run, "es", &config)).unwrap();
    assert_eq!(file.algorithm("es", &EsConfig::openai()).unwrap(), config);
}
