//! `rayline-rl search`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rayline_rl::ppo::PpoConfig;
use rayline_rl::search::{Found, Method, SearchPlan, SearchSpace, Trial, search, to_csv, to_text};
use rayline_rl::settings::{RunConfig, SettingsFile, to_toml};
use serde_json::json;

use crate::folder::RunFolder;
use crate::run::Notes;
use crate::run_ppo::NAME;
use crate::settings::{SettingsArgs, unknown_preset};
use crate::{Done, at_least_one, output};

/// Search over PPO's settings, with trials on all CPUs or on the cluster: the same seed gives the same table.
///
/// What is tried is in the table [search] of --config: setting = { uniform = [low, high] }, or log_uniform, or integer, or
/// { choice = [..] }. Without it: learning_rate, gamma, gae_lambda, entropy_coef and clip. The folder of the search has
/// trials.csv, trials.json, and of the best trial best.toml (for `train --config`) and best.safetensors.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Search {
    #[command(flatten)]
    settings: SettingsArgs,

    /// How settings are found
    #[arg(long, value_enum, default_value = "random")]
    method: SearchMethod,

    /// Trials, or members of the population
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    trials: usize,

    /// Rounds of a population, between which the worst take over from the best
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    rounds: usize,

    /// Episodes by which a trial is judged
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    episodes: usize,

    /// Folder to write to, which must not exist [default: runs/ENV-search-N]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Print the rows as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  rayline-rl search --trials 32 --steps 50000
  rayline-rl search --method population --env Pendulum-v1 --trials 8 --rounds 10
  RAYLINE_ADDRESS=head:6380 rayline-rl search --config search.toml --trials 256";

/// How settings are found.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SearchMethod {
    /// Independent trials
    Random,
    /// Population-based training
    Population,
}

impl Search {
    /// Does as it says.
    pub fn run(&self) -> Done {
        let run = self.settings.run(&RunConfig::default())?;
        let plan = self.plan(&run)?;
        let shows = !self.json;
        let mut said = Ok(());
        let found = search(&plan, |trial| {
            if shows && said.is_ok() {
                said = output::line(&line(trial));
            }
        })?;
        said?;
        let folder = match &self.out {
            Some(path) => RunFolder::create(path).map_err(|error| format!("can't make {}: {error}", path.display()))?,
            None => RunFolder::create_numbered(&run.env, "search")?,
        };
        write(&folder, &run, &found)?;
        if self.json {
            return Ok(output::line(&json!(found.trials).to_string())?);
        }
        output::line(&format!("\n{}", to_text(&found.trials)))?;
        let folder = folder.path().display();
        Ok(output::line(&format!(
            "the table is in {folder}; train with `rayline-rl train ppo --config {folder}/best.toml`"
        ))?)
    }

    fn plan(&self, run: &RunConfig) -> Result<SearchPlan, Box<dyn Error>> {
        let base = match &run.preset {
            Some(name) => PpoConfig::preset(name).ok_or_else(|| unknown_preset(name, &PpoConfig::PRESETS))?,
            None => PpoConfig::for_env(&run.env),
        };
        let base = self.settings.algorithm(NAME, &base)?;
        let file = self.settings.config.as_deref().map_or_else(|| Ok(SettingsFile::default()), SettingsFile::read)?;
        let space = match file.table("search").next() {
            Some(_) => SearchSpace::new(&base, file.table("search"))?,
            None => SearchSpace::usual(),
        };
        let method = match self.method {
            SearchMethod::Random => Method::Random,
            SearchMethod::Population => Method::Population { rounds: self.rounds },
        };
        let (trials, episodes, seed) = (self.trials, self.episodes, base.seed);
        Ok(SearchPlan { env: run.env.clone(), base, space, method, trials, seed, episodes })
    }
}

fn line(trial: &Trial) -> String {
    let Trial { trial: number, round, score, error, env_steps, .. } = trial;
    match (score, error) {
        (Some(score), _) => format!("round {round}, trial {number}: {score:.2} after {env_steps} steps"),
        (None, error) => format!("round {round}, trial {number} failed: {}", error.as_deref().unwrap_or("no score")),
    }
}

fn write(folder: &RunFolder, run: &RunConfig, found: &Found) -> Done {
    fs::write(folder.path().join("trials.csv"), to_csv(&found.trials))?;
    fs::write(folder.path().join("trials.json"), format!("{}\n", serde_json::to_string_pretty(&found.trials)?))?;
    if let Some((trial, checkpoint)) = &found.best {
        let mut checkpoint = checkpoint.clone();
        let notes = Notes { run: run.clone(), best: trial.score, ..Notes::default() };
        checkpoint.set_notes(serde_json::to_value(notes)?);
        checkpoint.save(folder.best())?;
        fs::write(folder.path().join("best.toml"), to_toml(run, NAME, checkpoint.config()))?;
    }
    Ok(())
}
