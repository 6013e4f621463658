//! The command line.

use clap::{Parser, ValueEnum};
use rayline_rl::es::EsConfig;
use std::path::PathBuf;

/// What is trained where nothing is said.
pub const DEFAULT_ENV: &str = "CartPole-v1";

/// Trains a policy with evolution strategies on parallel evaluators, in this process or on the cluster that
/// RAYLINE_ADDRESS names.
///
/// Stops when the mean return of an evaluation reaches the target, or after the given number of steps; prints the
/// learning curve and writes a checkpoint.
#[derive(Parser, Debug)]
#[command(name = "es", version, after_help = EXAMPLES)]
pub struct Args {
    /// Environment, by Gymnasium's id [default: CartPole-v1]
    #[arg(long, value_name = "ID")]
    pub env: Option<String>,

    /// Seed of everything: the same seed gives the same run, for any number of evaluators
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Actors that try perturbations
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    pub evaluators: usize,

    /// Settings to start from [default: those tuned for the environment]
    #[arg(long, value_name = "NAME")]
    pub preset: Option<Preset>,

    /// Environment steps at the most
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,

    /// Mean return of an evaluation at which to stop [default: 500 for CartPole-v1]
    #[arg(long, value_name = "RETURN", allow_negative_numbers = true)]
    pub target: Option<f64>,

    /// Directions tried in a round, each on either side
    #[arg(long, value_name = "N")]
    pub pairs: Option<u32>,

    /// Standard deviation of the perturbations
    #[arg(long, value_name = "SIGMA")]
    pub sigma: Option<f32>,

    /// Adam's step size
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f32>,

    /// Share of a round's calls to wait for before late ones are cut off
    #[arg(long, value_name = "SHARE")]
    pub enough: Option<f32>,

    /// File to write the trained policy to
    #[arg(long, value_name = "FILE", default_value = "es.safetensors", conflicts_with = "evaluate")]
    pub checkpoint: PathBuf,

    /// Write no checkpoint
    #[arg(long, conflicts_with = "evaluate")]
    pub no_checkpoint: bool,

    /// Go on from a checkpoint, for more --steps
    #[arg(long, value_name = "FILE", conflicts_with_all = ["evaluate", "preset"])]
    pub resume: Option<PathBuf>,

    /// Play the policy of a checkpoint without perturbation, and train nothing
    #[arg(long, value_name = "FILE")]
    pub evaluate: Option<PathBuf>,

    /// Episodes to play with --evaluate
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub episodes: u32,

    /// Print the summary only
    #[arg(long, short)]
    pub quiet: bool,

    /// Print the summary as one line of JSON, and nothing else
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "Examples:
  es                                          CartPole-v1 to a mean return of 500
  es --env Pendulum-v1 --target -200          another environment
  es --evaluate es.safetensors                play what was learned
  es --resume es.safetensors --steps 9000000  learn on
  RAYLINE_ADDRESS=head:6380 es --evaluators 64  the same on a cluster";

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number, at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A set of settings.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Preset {
    /// Tuned for CartPole-v1, in the least wall time
    Cartpole,
    /// For Pendulum-v1
    Pendulum,
    /// Those of the paper, for Humanoid
    Openai,
}

impl Args {
    /// The settings of a run from the start.
    pub fn config(&self, env: &str) -> EsConfig {
        let preset = self.preset.unwrap_or(match env {
            "CartPole-v1" => Preset::Cartpole,
            "Pendulum-v1" => Preset::Pendulum,
            _ => Preset::Openai,
        });
        let mut config = match preset {
            Preset::Cartpole => EsConfig::cartpole(),
            Preset::Pendulum => EsConfig::pendulum(),
            Preset::Openai => EsConfig::openai(),
        };
        self.override_settings(&mut config);
        config
    }

    /// Changes what the command line says.
    pub fn override_settings(&self, config: &mut EsConfig) {
        config.seed = self.seed.unwrap_or(config.seed);
        config.total_steps = self.steps.unwrap_or(config.total_steps);
        config.pairs = self.pairs.unwrap_or(config.pairs);
        config.sigma = self.sigma.unwrap_or(config.sigma);
        config.learning_rate = self.learning_rate.unwrap_or(config.learning_rate);
        config.enough = self.enough.unwrap_or(config.enough);
    }

    /// Where to write the policy, if anywhere.
    pub fn checkpoint_path(&self) -> Option<PathBuf> {
        (!self.no_checkpoint).then(|| self.checkpoint.clone())
    }
}

/// The return at which an environment counts as solved.
pub fn default_target(env: &str) -> Option<f64> {
    (env == DEFAULT_ENV).then_some(500.0)
}
