//! The settings of a run from the command line: a file, then `--set`, then the flags of their own.

use std::path::PathBuf;

use clap::Args;
use rayline_rl::settings::{Assignment, RunConfig, SettingsError, SettingsFile};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::at_least_one;

/// What changes settings.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingsArgs {
    /// Settings in TOML: keys of the run at the top, those of the algorithm in [ppo] or [es]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Environment, by its id [default: CartPole-v1]
    #[arg(long, value_name = "ID")]
    pub env: Option<String>,

    /// Settings to start from, by name [default: those tuned for the environment]
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,

    /// Seed of everything
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Environment steps at the most
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,

    /// Mean return at which to stop
    #[arg(long, value_name = "RETURN", allow_negative_numbers = true)]
    pub target: Option<f64>,

    /// Actors that step environments
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub workers: Option<usize>,

    /// One setting, in TOML: --set gamma=0.99 --set 'hidden=[64, 64]'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl SettingsArgs {
    /// The settings of the run, over `base`.
    ///
    /// # Errors
    /// [`SettingsError`] for the first that is wrong.
    pub fn run(&self, base: &RunConfig) -> Result<RunConfig, SettingsError> {
        let mut config = self.file()?.run(base)?;
        for assignment in self.assignments()?.iter().filter(|assignment| assignment.is_for(base)) {
            config = assignment.apply(&config)?;
        }
        config.env = self.env.clone().unwrap_or(config.env);
        config.preset = self.preset.clone().or(config.preset);
        config.target = self.target.or(config.target);
        config.workers = self.workers.unwrap_or(config.workers);
        let sound = [
            ("workers", config.workers as u64, config.workers > 0),
            ("eval_episodes", 0, config.eval_episodes != Some(0)),
        ];
        match sound.into_iter().find(|(_, _, is_sound)| !is_sound) {
            Some((key, value, _)) => Err(self.unsound(key, value)),
            None => Ok(config),
        }
    }

    /// The settings of the algorithm that is called `name`, over `base`.
    ///
    /// # Errors
    /// As [`SettingsArgs::run`].
    pub fn algorithm<S>(&self, name: &str, base: &S) -> Result<S, SettingsError>
    where
        S: Serialize + DeserializeOwned + Clone,
    {
        let mut config = self.file()?.algorithm(name, base)?;
        let run = RunConfig::default();
        for assignment in self.assignments()?.iter().filter(|assignment| !assignment.is_for(&run)) {
            config = assignment.apply(&config)?;
        }
        for (key, flag, value) in [("seed", "--seed", self.seed), ("total_steps", "--steps", self.steps)] {
            if let Some(value) = value {
                let assignment = Assignment { place: flag.to_owned(), key: key.to_owned(), value: json!(value) };
                config = assignment.apply(&config)?;
            }
        }
        Ok(config)
    }

    fn file(&self) -> Result<SettingsFile, SettingsError> {
        self.config.as_deref().map_or_else(|| Ok(SettingsFile::default()), SettingsFile::read)
    }

    fn assignments(&self) -> Result<Vec<Assignment>, SettingsError> {
        self.set.iter().map(|text| Assignment::parse(text)).collect()
    }

    fn unsound(&self, key: &str, value: u64) -> SettingsError {
        let place = self.config.as_ref().map_or_else(|| "--set".to_owned(), |path| path.display().to_string());
        let (value, reason) = (value.to_string(), "it must be at least 1".to_owned());
        SettingsError::Value { place, key: key.to_owned(), value, reason }
    }
}

/// An error about a preset of which there is none by this name.
pub fn unknown_preset(name: &str, presets: &[(&str, Option<&str>)]) -> SettingsError {
    let names: Vec<&str> = presets.iter().map(|(name, _)| *name).collect();
    let (place, key, value) = ("--preset".to_owned(), "preset".to_owned(), name.to_owned());
    SettingsError::Value { place, key, value, reason: format!("there are {}", names.join(", ")) }
}
