//! The command line.

use clap::{Parser, ValueEnum};
use rayline_rl::ppo::{PpoConfig, Schedule};
use std::path::PathBuf;

/// What is trained where nothing is said.
pub const DEFAULT_ENV: &str = "CartPole-v1";

/// Trains a policy with PPO on parallel simulators, in this process: no daemon, no configuration.
///
/// Stops when the mean return of the last 100 episodes reaches the target, or after the given number of steps; prints
/// the learning curve and writes a checkpoint.
#[derive(Parser, Debug)]
#[command(name = "ppo", version, after_help = EXAMPLES)]
pub struct Args {
    /// Environment, by Gymnasium's id [default: CartPole-v1]
    #[arg(long, value_name = "ID")]
    pub env: Option<String>,

    /// Seed of everything: the same seed and simulators give the same run
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Actors that step the environments
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    pub simulators: usize,

    /// Settings to start from [default: those tuned for the environment]
    #[arg(long, value_name = "NAME")]
    pub preset: Option<Preset>,

    /// Environment steps at the most
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,

    /// Mean return of 100 episodes at which to stop [default: 475 for CartPole-v1]
    #[arg(long, value_name = "RETURN", allow_negative_numbers = true)]
    pub target: Option<f64>,

    /// Environments over all simulators
    #[arg(long, value_name = "N")]
    pub envs: Option<usize>,

    /// Adam's step size at the start
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f32>,

    /// File to write the trained policy to
    #[arg(long, value_name = "FILE", default_value = "ppo.safetensors", conflicts_with = "evaluate")]
    pub checkpoint: PathBuf,

    /// Write no checkpoint
    #[arg(long, conflicts_with = "evaluate")]
    pub no_checkpoint: bool,

    /// Go on from a checkpoint, for more --steps
    #[arg(long, value_name = "FILE", conflicts_with_all = ["evaluate", "preset"])]
    pub resume: Option<PathBuf>,

    /// Play the policy of a checkpoint without exploration, and train nothing
    #[arg(long, value_name = "FILE")]
    pub evaluate: Option<PathBuf>,

    /// Episodes to evaluate
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    pub episodes: usize,

    /// Print the summary only
    #[arg(long, short)]
    pub quiet: bool,

    /// Print the summary as one line of JSON, and nothing else
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "Examples:
  ppo                                          CartPole-v1 to a mean return of 475
  ppo --env Pendulum-v1 --steps 200000         another environment
  ppo --evaluate ppo.safetensors               play what was learned
  ppo --resume ppo.safetensors --steps 200000  learn on";

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
    /// Tuned for Pendulum-v1
    Pendulum,
    /// CleanRL's, to be compared with
    Cleanrl,
}

impl Args {
    /// The settings of a run from the start.
    pub fn config(&self, env: &str) -> PpoConfig {
        let mut config = match self.preset {
            Some(Preset::Cartpole) => PpoConfig::cartpole(),
            Some(Preset::Pendulum) => PpoConfig::pendulum(),
            Some(Preset::Cleanrl) => PpoConfig::cleanrl(),
            None => crate::preset(env),
        };
        self.override_settings(&mut config);
        config
    }

    /// Changes what the command line says.
    pub fn override_settings(&self, config: &mut PpoConfig) {
        config.seed = self.seed.unwrap_or(config.seed);
        config.total_steps = self.steps.unwrap_or(config.total_steps);
        config.n_envs = self.envs.unwrap_or(config.n_envs);
        if let Some(rate) = self.learning_rate {
            config.learning_rate = match config.learning_rate {
                Schedule::Constant(_) => Schedule::Constant(rate),
                Schedule::LinearToZero(_) => Schedule::LinearToZero(rate),
            };
        }
    }

    /// Where to write the policy, if anywhere.
    pub fn checkpoint_path(&self) -> Option<PathBuf> {
        (!self.no_checkpoint).then(|| self.checkpoint.clone())
    }
}

/// The return at which an environment counts as solved.
pub fn default_target(env: &str) -> Option<f64> {
    (env == DEFAULT_ENV).then_some(475.0)
}
