//! Training on the engine: a learner in the driver, simulators as actors.

use std::ops::ControlFlow;

use rayline::put;

use super::{
    Checkpoint, CollectorSeed, EpisodeWindow, FailedUpdate, PpoConfig, PpoError, PpoLearner, Progress, RolloutBatch,
    Simulator, SimulatorRef, UpdateStats,
};
use crate::env::make_vec;
use crate::misfit::{misfit, unfit_observations};

/// A learner and its simulators. Synchronous: all batches of a round are of the policy of its begin.
///
/// The same seed and the same number of simulators give the same run, bit for bit.
///
/// ```
/// use rayline_rl::ppo::{PpoConfig, Trainer};
///
/// let config = PpoConfig { total_steps: 2_000, ..PpoConfig::cartpole() };
/// let mut trainer = Trainer::new("CartPole-v1", config, 2)?;
/// while !trainer.is_done() {
///     trainer.step()?;
/// }
/// assert!(trainer.learner().env_steps() >= 2_000);
/// # Ok::<(), rayline_rl::ppo::PpoError>(())
/// ```
pub struct Trainer {
    env: String,
    learner: PpoLearner,
    simulators: Vec<SimulatorRef>,
    episodes: EpisodeWindow,
    failed: Option<FailedUpdate>,
}

impl Trainer {
    /// A run from the start: `config.n_envs` environments called `env`, spread over `simulators` actors.
    ///
    /// # Errors
    /// [`PpoError::Config`] for settings that can't work, [`PpoError::Env`] for an unknown environment.
    pub fn new(env: &str, config: PpoConfig, simulators: usize) -> Result<Self, PpoError> {
        let probe = make_vec(env, 1)?;
        if let Some(misfit) = unfit_observations(probe.observation_space()) {
            return Err(PpoError::misfit(misfit));
        }
        let spec = config.model_spec(probe.observation_space(), probe.action_space());
        Self::with_learner(env, PpoLearner::new(config, spec)?, simulators)
    }

    /// A run that goes on from a checkpoint. The environments begin anew, with other episodes than before.
    ///
    /// # Errors
    /// As [`Trainer::new`]; [`PpoError::Mismatch`] where the environment isn't one that the checkpoint's networks fit.
    pub fn resume(env: &str, checkpoint: Checkpoint, simulators: usize) -> Result<Self, PpoError> {
        let probe = make_vec(env, 1)?;
        let spec = checkpoint.model_spec();
        if let Some(misfit) = misfit(spec.obs_dim, &spec.head, probe.observation_space(), probe.action_space()) {
            return Err(PpoError::misfit(misfit));
        }
        let found = checkpoint.config().model_spec(probe.observation_space(), probe.action_space());
        if found != *spec {
            let (expected, found) = (format!("{spec:?}"), format!("{found:?}"));
            return Err(PpoError::Mismatch { what: "networks of the settings", expected, found });
        }
        Self::with_learner(env, PpoLearner::from_checkpoint(checkpoint)?, simulators)
    }

    fn with_learner(env: &str, learner: PpoLearner, simulators: usize) -> Result<Self, PpoError> {
        let config = learner.config();
        if simulators == 0 || simulators > config.n_envs {
            let (why, remedy) = ("each simulator needs at least one environment", "take between 1 and n_envs");
            return Err(PpoError::Config { field: "simulators", value: simulators.to_string(), why, remedy });
        }
        let simulators = begin_simulators(env, &learner, simulators);
        Ok(Self { env: env.to_owned(), simulators, learner, episodes: EpisodeWindow::new(100), failed: None })
    }

    /// Begins all environments anew, with the random numbers that [`Trainer::resume`] would give them from a checkpoint
    /// taken now. After it, this run and one that is resumed from that checkpoint are the same, bit for bit, but for
    /// [`Trainer::episodes`], which are to be handed on.
    pub fn restart_simulators(&mut self) {
        self.simulators = begin_simulators(&self.env, &self.learner, self.simulators.len());
    }

    /// Takes over the episodes of a run that this one goes on from.
    pub fn set_episodes(&mut self, episodes: EpisodeWindow) {
        self.episodes = episodes;
    }

    /// One round: all simulators collect, then the learner learns.
    ///
    /// # Errors
    /// [`PpoError::Simulator`] where a simulator failed, as [`PpoLearner::update`].
    pub fn step(&mut self) -> Result<UpdateStats, PpoError> {
        let batches = self.collect()?;
        for batch in &batches {
            self.episodes.extend(&batch.episodes);
        }
        let updated = self.learner.update(&batches);
        if let Err(PpoError::NotFinite { .. }) = updated {
            self.failed = Some(FailedUpdate { checkpoint: self.learner.checkpoint(), rollouts: batches });
        }
        updated
    }

    /// What the last step failed on, after [`PpoError::NotFinite`].
    pub fn failed_update(&self) -> Option<&FailedUpdate> {
        self.failed.as_ref()
    }

    /// Steps until the steps of the settings are done, or `on_update` breaks.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn run(&mut self, mut on_update: impl FnMut(Progress<'_>) -> ControlFlow<()>) -> Result<(), PpoError> {
        while !self.is_done() {
            let stats = self.step()?;
            let (env_steps, learner, episodes) = (self.learner.env_steps(), &self.learner, &self.episodes);
            if on_update(Progress { env_steps, episodes, stats: &stats, learner }).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Whether all steps of the settings are done.
    pub fn is_done(&self) -> bool {
        self.learner.env_steps() >= self.learner.config().total_steps
    }

    /// The learner, for snapshots and checkpoints.
    pub fn learner(&self) -> &PpoLearner {
        &self.learner
    }

    /// The last 100 episodes.
    pub fn episodes(&self) -> &EpisodeWindow {
        &self.episodes
    }

    fn collect(&self) -> Result<Vec<RolloutBatch>, PpoError> {
        let policy = put(self.learner.snapshot());
        let batches: Vec<_> = self.simulators.iter().map(|simulator| simulator.collect(&policy)).collect();
        batches.into_iter().map(|batch| Ok(batch.take()?)).collect()
    }
}

/// Actors with the environments of a run, which begin as the learner's seed and number of updates say.
fn begin_simulators(env: &str, learner: &PpoLearner, count: usize) -> Vec<SimulatorRef> {
    let config = learner.config();
    // A run that goes on takes other random numbers than at its start.
    let seed = config.seed.wrapping_add(learner.updates().wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let shared = put(config.clone());
    let mut first_env = 0;
    let simulators = (0..count).map(|index| {
        let envs = config.n_envs / count + usize::from(index < config.n_envs % count);
        let seed = CollectorSeed { seed, index: index as u64, first_env };
        first_env += envs as u64;
        Simulator::remote(env.to_owned(), envs, &shared, seed)
    });
    simulators.collect()
}
