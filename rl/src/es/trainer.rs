//! A run on the engine: a learner in the driver, evaluators as actors.

use std::ops::ControlFlow;
use std::time::Duration;

use rayline::{Data, ObjectRef, Tensor, put, wait};
use tracing::warn;

use super::tree::tree;
use super::{
    EsCheckpoint, EsConfig, EsError, EsLearner, EsPolicy, EsProgress, EsStats, Evaluation, Evaluator, EvaluatorRef,
    Harvest, PairRange, join_all, noise_table, sum_all,
};
use crate::env::make_vec;

/// Calls of a round from which a tree of tasks joins what they bring in; fewer are joined in the driver.
const TREE_CALLS_MIN: usize = 256;

/// A learner and its evaluators. Synchronous: all pairs of a round are tried around the same parameters.
///
/// The same seed gives the same run, bit for bit, for any number of evaluators, even where it changes between rounds; see
/// [`EsConfig::enough`] for what gives that up. An evaluator that fails costs the round what it was to try, and is
/// replaced before the next.
///
/// ```
/// use rayline_rl::es::{EsConfig, EsTrainer};
///
/// let config = EsConfig { total_steps: 10_000, ..EsConfig::cartpole() };
/// let mut trainer = EsTrainer::new("CartPole-v1", config, 2)?;
/// while !trainer.is_done() {
///     trainer.step()?;
/// }
/// assert!(trainer.learner().env_steps() >= 10_000);
/// # Ok::<(), rayline_rl::es::EsError>(())
/// ```
pub struct EsTrainer {
    env: String,
    learner: EsLearner,
    noise: ObjectRef<Tensor<f32>>,
    settings: ObjectRef<EsConfig>,
    evaluators: Vec<EvaluatorRef>,
    /// Places of the evaluators of which a call has failed in this round.
    failed: Vec<usize>,
}

/// What became of the calls of a round.
struct Collected<T> {
    /// Those that are in, in the order of their calls.
    ready: Vec<Call<T>>,
    calls: usize,
    late: usize,
}

/// One call, and the place of its evaluator.
struct Call<T> {
    evaluator: usize,
    value: ObjectRef<T>,
}

impl EsTrainer {
    /// A run from the start with `evaluators` actors, each with environments called `env` of its own.
    ///
    /// # Errors
    /// [`EsError::Config`] for settings that can't work, [`EsError::Env`] for an unknown environment.
    pub fn new(env: &str, config: EsConfig, evaluators: usize) -> Result<Self, EsError> {
        let probe = make_vec(env, 1)?;
        let spec = config.policy_spec(probe.observation_space(), probe.action_space());
        spec.check(probe.as_ref())?;
        Self::with_learner(env, EsLearner::new(config, spec)?, evaluators)
    }

    /// A run that goes on from a checkpoint, as if it had never stopped.
    ///
    /// # Errors
    /// As [`EsTrainer::new`]; [`EsError::Mismatch`] where the environment isn't one that the checkpoint's network fits.
    pub fn resume(env: &str, checkpoint: EsCheckpoint, evaluators: usize) -> Result<Self, EsError> {
        checkpoint.policy_spec().check(make_vec(env, 1)?.as_ref())?;
        Self::with_learner(env, EsLearner::from_checkpoint(checkpoint)?, evaluators)
    }

    fn with_learner(env: &str, learner: EsLearner, evaluators: usize) -> Result<Self, EsError> {
        let config = learner.config();
        let (noise, settings) = (put(noise_table(config.seed, config.noise_len)), put(config.clone()));
        let (evaluators_wanted, evaluators, failed) = (evaluators, Vec::new(), Vec::new());
        let mut trainer = Self { env: env.to_owned(), learner, noise, settings, evaluators, failed };
        trainer.set_evaluators(evaluators_wanted)?;
        Ok(trainer)
    }

    /// Takes on evaluators, or lets go of some, until there are `count`. What is learned does not depend on it.
    ///
    /// # Errors
    /// [`EsError::Config`] for none.
    pub fn set_evaluators(&mut self, count: usize) -> Result<(), EsError> {
        if count == 0 {
            let (why, remedy) = ("somebody has to try the pairs", "take at least one");
            return Err(EsError::Config { field: "evaluators", value: count.to_string(), why, remedy });
        }
        self.evaluators.truncate(count);
        while self.evaluators.len() < count {
            self.evaluators.push(self.evaluator());
        }
        Ok(())
    }

    /// One round: evaluators try all pairs, then the learner learns from those that are in.
    ///
    /// # Errors
    /// [`EsError::NoSamples`] if none is; as [`EsLearner::directions`] and [`EsLearner::update`].
    pub fn step(&mut self) -> Result<EsStats, EsError> {
        let harvest = self.harvest()?;
        let gradient = sum_all(&self.noise, self.learner.directions(&harvest)?)?;
        let stats = self.learner.update(&harvest, &gradient);
        self.replace_failed();
        stats
    }

    /// Plays episodes with the policy as it is, spread over the evaluators: `config.eval_episodes` of them, but for those
    /// lost to failures.
    ///
    /// # Errors
    /// [`EsError::NoSamples`] if none came in.
    pub fn evaluate(&mut self) -> Result<Evaluation, EsError> {
        let (policy, episodes) = (put(self.learner.policy()), self.learner.config().eval_episodes);
        let calls = self.calls(episodes, |evaluator, range| evaluator.play(&policy, range));
        let collected = self.collect(calls, 1.0);
        let parts = self.take_each(collected)?;
        self.replace_failed();
        Ok(Evaluation { episodes: parts.into_iter().flatten().collect() })
    }

    /// Steps until the steps of the settings are done, or `on_round` breaks; evaluates where that is due.
    ///
    /// # Errors
    /// As [`EsTrainer::step`] and [`EsTrainer::evaluate`].
    pub fn run(&mut self, mut on_round: impl FnMut(EsProgress<'_>) -> ControlFlow<()>) -> Result<(), EsError> {
        while !self.is_done() {
            let stats = self.step()?;
            let eval_every = self.learner.config().eval_every;
            let is_due = eval_every > 0 && stats.round.is_multiple_of(eval_every);
            let evaluation = if is_due { Some(self.evaluate()?) } else { None };
            let (env_steps, learner) = (self.learner.env_steps(), &self.learner);
            let progress = EsProgress { env_steps, stats: &stats, evaluation: evaluation.as_ref(), learner };
            if on_round(progress).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Whether all steps of the settings are done.
    pub fn is_done(&self) -> bool {
        self.learner.env_steps() >= self.learner.config().total_steps
    }

    /// The learner, for policies and checkpoints.
    pub fn learner(&self) -> &EsLearner {
        &self.learner
    }

    /// The evaluators.
    pub fn evaluators(&self) -> &[EvaluatorRef] {
        &self.evaluators
    }

    fn evaluator(&self) -> EvaluatorRef {
        Evaluator::remote(self.env.clone(), &self.settings, &self.noise)
    }

    fn harvest(&mut self) -> Result<Harvest, EsError> {
        let policy: ObjectRef<EsPolicy> = put(self.learner.policy());
        let config = self.learner.config();
        let (pairs, enough) = (config.pairs, config.enough);
        let calls = self.calls(pairs, |evaluator, range| evaluator.run(&policy, range));
        let collected = self.collect(calls, enough);
        if collected.ready.len() >= TREE_CALLS_MIN {
            let joined = join_all(collected.ready.iter().map(|call| call.value.clone()).collect());
            if let Some(Ok(harvest)) = joined.map(ObjectRef::take) {
                return Ok(harvest);
            }
            // One of them has failed, and with it the tree: which one, they say themselves.
        }
        Ok(tree(self.take_each(collected)?, join_group).unwrap_or_default())
    }

    /// One call for each range of `count` pairs or episodes, dealt out to the evaluators in turn.
    fn calls<T>(&self, count: u32, call: impl Fn(&EvaluatorRef, PairRange) -> ObjectRef<T>) -> Vec<Call<T>> {
        let config = self.learner.config();
        let each = config.pairs_per_call.min(config.pairs);
        let ranges = (0..count).step_by(each as usize);
        let calls = ranges.enumerate().map(|(at, first)| {
            let evaluator = at % self.evaluators.len();
            let range = PairRange { first, count: each.min(count - first) };
            Call { evaluator, value: call(&self.evaluators[evaluator], range) }
        });
        calls.collect()
    }

    /// Waits until the share `enough` of `calls` is in, or patience is at its end; cancels those that are late.
    fn collect<T: Data>(&self, calls: Vec<Call<T>>, enough: f32) -> Collected<T> {
        let needed = (f64::from(enough) * calls.len() as f64).ceil() as usize;
        let patience = self.learner.config().patience_ms.map(Duration::from_millis);
        let watched = calls.iter().map(|call| call.value.clone()).collect();
        drop(wait(watched, needed.min(calls.len()), patience));
        let count = calls.len();
        let (ready, late): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.value.is_ready());
        let collected = Collected { calls: count, late: late.len(), ready };
        late.into_iter().for_each(|call| call.value.cancel());
        collected
    }

    /// The values of those that are in and haven't failed; notes whose calls have.
    fn take_each<T: Data>(&mut self, collected: Collected<T>) -> Result<Vec<T>, EsError> {
        let Collected { ready, calls, late } = collected;
        let (mut values, mut source, mut failed) = (Vec::with_capacity(ready.len()), None, 0);
        for call in ready {
            match call.value.take() {
                Ok(value) => values.push(value),
                Err(error) => {
                    warn!(evaluator = call.evaluator, %error, "an evaluator failed; the round goes on without");
                    self.failed.push(call.evaluator);
                    failed += 1;
                    source.get_or_insert(error);
                }
            }
        }
        if values.is_empty() {
            self.replace_failed();
            return Err(EsError::NoSamples { round: self.learner.rounds(), calls, failed, late, source });
        }
        Ok(values)
    }

    fn replace_failed(&mut self) {
        let mut failed = std::mem::take(&mut self.failed);
        failed.sort_unstable();
        failed.dedup();
        for place in failed {
            let evaluator = self.evaluator();
            // One that was let go of meanwhile needs no successor.
            if let Some(failed) = self.evaluators.get_mut(place) {
                *failed = evaluator;
            }
        }
    }
}

/// Joins neighbours as the task of the tree does.
fn join_group(group: Vec<Harvest>) -> Harvest {
    let mut all = Harvest::default();
    group.iter().for_each(|harvest| all.join(harvest));
    all
}
