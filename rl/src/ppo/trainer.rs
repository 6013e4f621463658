//! Training on the engine: a learner in the driver, simulators as actors.

use std::ops::ControlFlow;

use rayline::put;

use super::evaluation::Evaluations;
use super::learners::Learners;
use super::pipeline::Pipeline;
use super::{
    Callback, Checkpoint, CollectorSeed, EpisodeWindow, EvaluationPlan, FailedUpdate, PolicyEvaluation, PpoConfig,
    PpoError, PpoLearner, Progress, ReplicaRef, Simulator, SimulatorRef, UpdateStats,
};
use crate::env::make_vec;
use crate::misfit::{misfit, unfit_observations};

/// A learner and its simulators. All batches of a round are of the policy of its begin; with [`PpoConfig::max_lag`] from 1
/// on, simulators gather while the learner learns, and it is told how old what it learned from was
/// ([`UpdateStats::lag`]).
///
/// The same seed and the same number of simulators give the same run, bit for bit, either way.
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
    pipeline: Pipeline,
    episodes: EpisodeWindow,
    evaluations: Option<Evaluations>,
    /// Those that step together with `learner`, if any.
    learners: Option<Learners>,
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
        let pipeline = Pipeline::new(begin_simulators(env, &learner, simulators), config.max_lag);
        let (env, episodes) = (env.to_owned(), EpisodeWindow::new(100));
        Ok(Self { env, pipeline, learner, episodes, evaluations: None, learners: None, failed: None })
    }

    /// Learns with `learners` learners, each on a share of each batch: this one and actors beside it, which step against the
    /// mean of their gradients and so have the same parameters always. One that dies fails the update; with the next one, all
    /// go on as copies of the first. Minibatches are those of the settings, in equal
    /// shares; advantages are normalised within a share.
    ///
    /// # Errors
    /// [`PpoError::Config`] unless the simulators have equal numbers of environments and can be dealt out to the learners.
    pub fn with_learners(mut self, learners: usize) -> Result<Self, PpoError> {
        let (rollouts, envs) = (self.pipeline.rollouts_per_update(), self.learner.config().n_envs);
        let is_even = envs.is_multiple_of(self.pipeline.simulator_count()) && learners > 0;
        if !is_even || !rollouts.is_multiple_of(learners) {
            let (why, remedy) = (
                "each learner needs as many rows as the others",
                "take a number that divides the rollouts of an update, from simulators with equal numbers of environments",
            );
            return Err(PpoError::Config { field: "learners", value: learners.to_string(), why, remedy });
        }
        self.learners = if learners > 1 { Some(Learners::new(learners, &self.learner)?) } else { None };
        Ok(self)
    }

    /// The learners besides the first.
    pub fn replicas(&self) -> &[ReplicaRef] {
        self.learners.as_ref().map_or(&[], Learners::replicas)
    }

    /// Parameters of all learners besides the first.
    ///
    /// # Errors
    /// [`PpoError::Learner`] if one is dead.
    pub fn replica_parameters(&self) -> Result<Vec<Vec<f32>>, PpoError> {
        self.learners.as_ref().map_or(Ok(Vec::new()), Learners::parameters)
    }

    /// Has snapshots played without exploration by an actor, beside training, which never waits for it. What comes in is
    /// told by [`Progress::evaluation`]; training is the same with or without.
    ///
    /// # Errors
    /// [`PpoError::Config`] for a plan that can't work.
    pub fn with_evaluation(mut self, plan: EvaluationPlan) -> Result<Self, PpoError> {
        self.evaluations = Some(Evaluations::new(&self.env, plan)?);
        Ok(self)
    }

    /// Begins all environments anew, with the random numbers that [`Trainer::resume`] would give them from a checkpoint
    /// taken now. After it, this run and one that is resumed from that checkpoint are the same, bit for bit, but for
    /// [`Trainer::episodes`], which are to be handed on.
    pub fn restart_simulators(&mut self) {
        let simulators = begin_simulators(&self.env, &self.learner, self.pipeline.simulator_count());
        self.pipeline = Pipeline::new(simulators, self.learner.config().max_lag);
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
        let batches = self.pipeline.next(self.learner.snapshot())?;
        for batch in &batches {
            self.episodes.extend(&batch.episodes);
        }
        if let Some(learners) = &mut self.learners {
            return learners.update(&mut self.learner, batches);
        }
        let updated = self.learner.update(&batches);
        if let Err(PpoError::NotFinite { .. }) = updated {
            self.failed = Some(FailedUpdate { checkpoint: self.learner.checkpoint(), rollouts: batches });
        }
        updated
    }

    /// What the last step failed on, after [`PpoError::NotFinite`]; nothing is kept where several learners share a batch.
    pub fn failed_update(&self) -> Option<&FailedUpdate> {
        self.failed.as_ref()
    }

    /// Steps until the steps of the settings are done, or `on_update` breaks.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn run(&mut self, mut on_update: impl FnMut(Progress<'_>) -> ControlFlow<()>) -> Result<(), PpoError> {
        self.advance(|progress| Ok(on_update(progress)))
    }

    /// Steps until the steps of the settings are done, or one of `callbacks` breaks.
    ///
    /// # Errors
    /// As [`Trainer::step`], and what a callback fails with.
    pub fn run_with(&mut self, callbacks: &mut [&mut dyn Callback]) -> Result<(), PpoError> {
        self.advance(|progress| {
            let mut flow = ControlFlow::Continue(());
            for callback in callbacks.iter_mut() {
                if callback.on_update(&progress)?.is_break() {
                    flow = ControlFlow::Break(());
                }
            }
            Ok(flow)
        })
    }

    /// Waits for the evaluation under way, if any.
    pub fn finish_evaluation(&mut self) -> Option<PolicyEvaluation> {
        self.evaluations.as_mut().and_then(Evaluations::finish)
    }

    /// Evaluations that were due while the last one was still under way, and so were not made.
    pub fn evaluations_passed_over(&self) -> u64 {
        self.evaluations.as_ref().map_or(0, Evaluations::passed_over)
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

    fn advance(
        &mut self,
        mut on_update: impl FnMut(Progress<'_>) -> Result<ControlFlow<()>, PpoError>,
    ) -> Result<(), PpoError> {
        while !self.is_done() {
            let stats = self.step()?;
            let evaluation = self.evaluations.as_mut().and_then(|evaluations| evaluations.poll(&self.learner));
            let (env_steps, learner, episodes) = (self.learner.env_steps(), &self.learner, &self.episodes);
            let progress = Progress { env_steps, episodes, stats: &stats, evaluation: evaluation.as_ref(), learner };
            if on_update(progress)?.is_break() {
                break;
            }
        }
        Ok(())
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
