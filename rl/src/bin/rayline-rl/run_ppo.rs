//! A run of PPO.

use std::error::Error;
use std::path::Path;

use rayline_rl::env::make_vec;
use rayline_rl::policy::evaluation_seed;
use rayline_rl::ppo::{Checkpoint, EpisodeEnd, EpisodeWindow, PpoConfig, Progress, Trainer, evaluate_snapshot};
use rayline_rl::record::Scalars;
use rayline_rl::settings::{RunConfig, to_toml};

use crate::run::{Notes, Position, Run, Told};
use crate::settings::{SettingsArgs, unknown_preset};

/// Name of the algorithm.
pub const NAME: &str = "ppo";
/// Updates between two evaluations where nothing is said.
const EVAL_EVERY: u64 = 16;
/// Episodes of an evaluation where nothing is said.
const EVAL_EPISODES: u32 = 10;

pub struct PpoRun {
    trainer: Trainer,
    run: RunConfig,
}

impl PpoRun {
    /// A run from the start.
    pub fn begin(args: &SettingsArgs, run: RunConfig) -> Result<Self, Box<dyn Error>> {
        let base = match &run.preset {
            Some(name) => PpoConfig::preset(name).ok_or_else(|| unknown_preset(name, &PpoConfig::PRESETS))?,
            None => PpoConfig::for_env(&run.env),
        };
        let config = args.algorithm(NAME, &base)?;
        Ok(Self { trainer: Trainer::new(&run.env, config, run.workers)?, run })
    }

    /// A run that goes on.
    pub fn resume(args: &SettingsArgs, mut checkpoint: Checkpoint, notes: &Notes) -> Result<Self, Box<dyn Error>> {
        *checkpoint.config_mut() = args.algorithm(NAME, checkpoint.config())?;
        let run = args.run(&notes.run)?;
        let mut trainer = Trainer::resume(&run.env, checkpoint, run.workers)?;
        notes.episodes.iter().for_each(|episodes| trainer.set_episodes(episodes.clone()));
        Ok(Self { trainer, run })
    }

    fn play(&self) -> Result<Vec<EpisodeEnd>, Box<dyn Error>> {
        let episodes = self.run.eval_episodes.unwrap_or(EVAL_EPISODES) as usize;
        let learner = self.trainer.learner();
        let mut envs = make_vec(&self.run.env, episodes)?;
        let seed = evaluation_seed(learner.config().seed);
        Ok(evaluate_snapshot(learner.model(), &learner.snapshot(), envs.as_mut(), episodes, seed)?)
    }
}

impl Run for PpoRun {
    fn name(&self) -> &'static str {
        NAME
    }

    fn position(&self) -> Position {
        let learner = self.trainer.learner();
        let total_steps = learner.config().total_steps;
        Position { env_steps: learner.env_steps(), total_steps, updates: learner.updates() }
    }

    fn seed(&self) -> u64 {
        self.trainer.learner().config().seed
    }

    fn settings(&self) -> String {
        to_toml(&self.run, NAME, self.trainer.learner().config())
    }

    fn step(&mut self) -> Result<Told, Box<dyn Error>> {
        let stats = self.trainer.step()?;
        let (learner, episodes) = (self.trainer.learner(), self.trainer.episodes());
        let every = self.run.eval_every.unwrap_or(EVAL_EVERY);
        let is_due = every > 0 && learner.updates().is_multiple_of(every);
        let evaluation = if is_due { Some(self.play()?) } else { None };
        let env_steps = learner.env_steps();
        let progress = Progress { env_steps, episodes, stats: &stats, evaluation: None, learner };
        let loss = stats.policy_loss + stats.value_loss;
        Ok(Told {
            scalars: Scalars::of_ppo(&progress).with_evaluation(evaluation.as_deref()),
            mean_return: episodes.mean_return(),
            is_judged: episodes.is_full(),
            evaluation,
            details: format!("loss {loss:+.3}  entropy {:.3}  kl {:.4}", stats.entropy, stats.approx_kl),
        })
    }

    fn save(&self, path: &Path, notes: &Notes) -> Result<(), Box<dyn Error>> {
        let mut checkpoint = self.trainer.learner().checkpoint();
        checkpoint.set_notes(serde_json::to_value(notes)?);
        Ok(checkpoint.save(path)?)
    }

    fn pass_checkpoint(&mut self) {
        self.trainer.restart_simulators();
    }

    fn save_failure(&self, path: &Path) -> Result<bool, Box<dyn Error>> {
        let failed = self.trainer.failed_update();
        failed.map_or(Ok(()), |failed| failed.save(path))?;
        Ok(failed.is_some())
    }

    fn episodes(&self) -> Option<EpisodeWindow> {
        Some(self.trainer.episodes().clone())
    }
}
