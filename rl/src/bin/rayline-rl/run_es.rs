//! A run of evolution strategies.

use std::error::Error;
use std::path::Path;

use rayline_rl::es::{EsCheckpoint, EsConfig, EsProgress, EsTrainer};
use rayline_rl::ppo::EpisodeWindow;
use rayline_rl::record::Scalars;
use rayline_rl::settings::{RunConfig, to_toml};

use crate::run::{Notes, Position, Run, Told};
use crate::settings::{SettingsArgs, unknown_preset};

/// Name of the algorithm.
pub const NAME: &str = "es";

pub struct EsRun {
    trainer: EsTrainer,
    run: RunConfig,
    mean_return: Option<f64>,
}

impl EsRun {
    /// A run from the start.
    pub fn begin(args: &SettingsArgs, run: RunConfig) -> Result<Self, Box<dyn Error>> {
        let base = match &run.preset {
            Some(name) => EsConfig::preset(name).ok_or_else(|| unknown_preset(name, &EsConfig::PRESETS))?,
            None => EsConfig::for_env(&run.env),
        };
        let config = evaluated(args.algorithm(NAME, &base)?, &run);
        Ok(Self { trainer: EsTrainer::new(&run.env, config, run.workers)?, run, mean_return: None })
    }

    /// A run that goes on.
    pub fn resume(args: &SettingsArgs, mut checkpoint: EsCheckpoint, notes: &Notes) -> Result<Self, Box<dyn Error>> {
        let run = args.run(&notes.run)?;
        *checkpoint.config_mut() = evaluated(args.algorithm(NAME, checkpoint.config())?, &run);
        let trainer = EsTrainer::resume(&run.env, checkpoint, run.workers)?;
        Ok(Self { trainer, run, mean_return: notes.mean_return })
    }
}

impl Run for EsRun {
    fn name(&self) -> &'static str {
        NAME
    }

    fn position(&self) -> Position {
        let learner = self.trainer.learner();
        let total_steps = learner.config().total_steps;
        Position { env_steps: learner.env_steps(), total_steps, updates: learner.rounds() }
    }

    fn seed(&self) -> u64 {
        self.trainer.learner().config().seed
    }

    fn settings(&self) -> String {
        to_toml(&self.run, NAME, self.trainer.learner().config())
    }

    fn step(&mut self) -> Result<Told, Box<dyn Error>> {
        let stats = self.trainer.step()?;
        let every = self.trainer.learner().config().eval_every;
        let is_due = every > 0 && stats.round.is_multiple_of(every);
        let evaluation = if is_due { Some(self.trainer.evaluate()?) } else { None };
        let learner = self.trainer.learner();
        let progress =
            EsProgress { env_steps: learner.env_steps(), stats: &stats, evaluation: evaluation.as_ref(), learner };
        let scalars = Scalars::of_es(&progress);
        self.mean_return = evaluation.as_ref().and_then(|evaluation| evaluation.mean_return()).or(self.mean_return);
        Ok(Told {
            scalars,
            mean_return: self.mean_return,
            is_judged: is_due,
            evaluation: evaluation.map(|evaluation| evaluation.episodes),
            details: format!(
                "perturbed {:.1}, best {:.1}  |w| {:.2}",
                stats.mean_return, stats.max_return, stats.parameter_norm
            ),
        })
    }

    fn save(&self, path: &Path, notes: &Notes) -> Result<(), Box<dyn Error>> {
        let mut checkpoint = self.trainer.learner().checkpoint();
        checkpoint.set_notes(serde_json::to_value(notes)?);
        Ok(checkpoint.save(path)?)
    }

    /// Nothing: what a round does depends on the checkpoint alone.
    fn pass_checkpoint(&mut self) {}

    /// Never: a round is a function of the checkpoint before it.
    fn save_failure(&self, _: &Path) -> Result<bool, Box<dyn Error>> {
        Ok(false)
    }

    fn episodes(&self) -> Option<EpisodeWindow> {
        None
    }
}

/// The settings with what the run says of evaluations.
fn evaluated(config: EsConfig, run: &RunConfig) -> EsConfig {
    EsConfig {
        eval_every: run.eval_every.unwrap_or(config.eval_every),
        eval_episodes: run.eval_episodes.unwrap_or(config.eval_episodes),
        ..config
    }
}
