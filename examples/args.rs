//! The arguments that all training examples take.

use clap::Args;
use std::path::PathBuf;

use crate::DEFAULT_ENV;

/// What to train, for how long, and what to do with the policy.
#[derive(Args, Debug)]
pub struct Common {
    /// Environment, by Gymnasium's id [default: CartPole-v1]
    #[arg(long, value_name = "ID")]
    pub env: Option<String>,

    /// Seed of everything
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Environment steps at the most
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,

    /// Mean return at which to stop
    #[arg(long, value_name = "RETURN", allow_negative_numbers = true)]
    pub target: Option<f64>,

    /// Settings to start from, by name [default: those tuned for the environment]
    #[arg(long, value_name = "NAME", conflicts_with = "resume")]
    pub preset: Option<String>,

    /// Actors that step environments
    #[arg(long, visible_aliases = ["simulators", "evaluators"], value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    pub workers: usize,

    /// File to write the trained policy to
    #[arg(long, value_name = "FILE", default_value = "policy.safetensors", conflicts_with = "evaluate")]
    checkpoint: PathBuf,

    /// Write no checkpoint
    #[arg(long, conflicts_with = "evaluate")]
    no_checkpoint: bool,

    /// Go on from a checkpoint, for more --steps
    #[arg(long, value_name = "FILE", conflicts_with = "evaluate")]
    pub resume: Option<PathBuf>,

    /// Play the policy of a checkpoint without exploration, and train nothing
    #[arg(long, value_name = "FILE")]
    pub evaluate: Option<PathBuf>,

    /// Episodes to play with --evaluate
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    pub episodes: usize,

    /// Print the summary only
    #[arg(long, short)]
    pub quiet: bool,

    /// Print the summary as one line of JSON, and nothing else
    #[arg(long)]
    pub json: bool,
}

impl Common {
    /// The environment.
    pub fn env(&self) -> &str {
        self.env.as_deref().unwrap_or(DEFAULT_ENV)
    }

    /// The return at which to stop: what was asked for, or that at which CartPole-v1 counts as solved.
    pub fn target(&self, solved: f64) -> Option<f64> {
        self.target.or((self.env() == DEFAULT_ENV).then_some(solved))
    }

    /// Where to write the policy, if anywhere.
    pub fn checkpoint(&self) -> Option<PathBuf> {
        (!self.no_checkpoint).then(|| self.checkpoint.clone())
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number, at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}
