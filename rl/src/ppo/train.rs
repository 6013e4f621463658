//! Training in one thread.

use std::ops::ControlFlow;

use super::{Collector, CollectorSeed, EpisodeWindow, PolicyEvaluation, PpoConfig, PpoError, PpoLearner, UpdateStats};
use crate::env::VecEnv;

/// How far training is, told after each update.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Environment steps done.
    pub env_steps: u64,
    /// The last 100 episodes.
    pub episodes: &'a EpisodeWindow,
    /// What the update did.
    pub stats: &'a UpdateStats,
    /// The evaluation that has come in since the last update, if any: of an earlier policy than that of now.
    pub evaluation: Option<&'a PolicyEvaluation>,
    /// The learner, for snapshots and checkpoints.
    pub learner: &'a PpoLearner,
}

/// What training leaves.
#[derive(Debug)]
pub struct Trained {
    /// The learner.
    pub learner: PpoLearner,
    /// The last 100 episodes.
    pub episodes: EpisodeWindow,
}

/// Trains with one collector in this thread for `config.total_steps` steps, or until `on_update` breaks.
///
/// # Errors
/// As [`PpoLearner::new`], [`Collector::collect`] and [`PpoLearner::update`]; [`PpoError::Config`] if the number of
/// environments is not `config.n_envs`.
pub fn train(
    config: &PpoConfig,
    envs: Box<dyn VecEnv>,
    mut on_update: impl FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Trained, PpoError> {
    if envs.env_count() != config.n_envs {
        let (why, remedy) = ("that many environments were not given", "make as many environments as it says");
        return Err(PpoError::Config { field: "n_envs", value: config.n_envs.to_string(), why, remedy });
    }
    let spec = config.model_spec(envs.observation_space(), envs.action_space());
    let mut learner = PpoLearner::new(config.clone(), spec)?;
    let seed = CollectorSeed { seed: config.seed, index: 0, first_env: 0 };
    let mut collector = Collector::from_config(config, envs, seed)?;
    let mut episodes = EpisodeWindow::new(100);
    while learner.env_steps() < config.total_steps {
        let batch = collector.collect(&learner.snapshot())?;
        episodes.extend(&batch.episodes);
        let stats = learner.update(std::slice::from_ref(&batch))?;
        let env_steps = learner.env_steps();
        let progress = Progress { env_steps, episodes: &episodes, stats: &stats, evaluation: None, learner: &learner };
        if on_update(progress).is_break() {
            break;
        }
    }
    Ok(Trained { learner, episodes })
}
