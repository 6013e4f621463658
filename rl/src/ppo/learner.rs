//! The learner.

use std::sync::Arc;

use super::batch::{Assembly, Batch};
use super::loss::Losses;
use super::passes::{MemoryPass, PolicyPass, ValuePass};
use super::stats::{StatsSums, explained_variance};
use super::vtrace::Vtrace;
use super::{PolicySnapshot, PpoConfig, PpoError, RolloutBatch, SeenStats, UpdateStats};
use crate::nn::{ActorCritic, ActorCriticSpec, Adam, Random, global_norm};

/// Stream of the generator that initialises and shuffles; collectors take those above.
const LEARNER_STREAM: u64 = 0;

/// Rows of a minibatch times parameters from which a second thread pays: 128 rows of two networks of 2x64. From there
/// on updates are 1.25 to 1.6 times as fast where a second core is free, and no slower where it is not; at half of it,
/// nothing is gained.
const TWO_THREADS_WORK_MIN: usize = 1 << 20;

/// Improves a policy from rollouts. Deterministic, whatever the number of threads.
#[derive(Clone, Debug)]
pub struct PpoLearner {
    pub(super) config: PpoConfig,
    pub(super) model: ActorCritic,
    pub(super) parameters: Vec<f32>,
    pub(super) adam: Adam,
    pub(super) random: Random,
    pub(super) updates: u64,
    pub(super) env_steps: u64,
    pub(super) seen: SeenStats,
    scratch: Scratch,
}

/// Memory that updates reuse; no part of the state.
#[derive(Clone, Debug)]
struct Scratch {
    batch: Batch,
    minibatch: Batch,
    order: Vec<u32>,
    gradient: Vec<f32>,
    policy: PolicyPass,
    value: ValuePass,
    memory: MemoryPass,
    /// Rows of the minibatch's sequences.
    rows: Vec<u32>,
}

/// An update under way.
#[derive(Clone, Debug)]
pub(super) struct Run {
    rates: Rates,
    /// Rows of the batch, or its sequences, in the order of this epoch.
    order: Vec<u32>,
    minibatch_units: usize,
    epochs: usize,
    /// Epoch and minibatch that are next; `None` at the end.
    place: Option<[usize; 2]>,
    sums: StatsSums,
    /// What is known from the begin.
    stats: UpdateStats,
}

/// The settings in force during one update.
#[derive(Clone, Copy, Debug)]
struct Rates {
    learning_rate: f32,
    clip: f32,
    value_clip: Option<f32>,
    two_threads: bool,
}

impl PpoLearner {
    /// A learner with new parameters.
    ///
    /// # Errors
    /// [`PpoError::Config`] if a setting can't work.
    pub fn new(config: PpoConfig, spec: ActorCriticSpec) -> Result<Self, PpoError> {
        config.validate()?;
        if spec.head.is_unbounded_squash() {
            let (why, remedy) = ("the actions have no finite bounds to be squashed into", "set it to false");
            return Err(PpoError::Config { field: "squash", value: "true".into(), why, remedy });
        }
        let model = ActorCritic::new(spec);
        let mut random = Random::new(config.seed, LEARNER_STREAM);
        let parameters = model.initial_parameters(&mut random);
        let adam = Adam::new(parameters.len());
        let seen = SeenStats::default();
        Ok(Self::from_parts(config, model, (parameters, adam), random, ([0, 0], seen)))
    }

    /// Learns from the rollouts of one or several collectors, which need not be of equal size.
    ///
    /// # Errors
    /// [`PpoError::Mismatch`] if a rollout doesn't fit the model, [`PpoError::Stale`] if it is older than
    /// `config.max_lag` allows where that isn't 0, and nothing has changed. [`PpoError::NotFinite`] if a
    /// loss or a gradient is no number; the steps before it have been made.
    pub fn update(&mut self, rollouts: &[RolloutBatch]) -> Result<UpdateStats, PpoError> {
        let mut run = self.begin(rollouts, &[], 1)?;
        // Inside the pool, handing a part to the other thread costs no system call.
        match run.rates.two_threads {
            true => rayon::scope(|_| self.run_to_end(&mut run))?,
            false => self.run_to_end(&mut run)?,
        }
        Ok(self.finish(run))
    }

    /// The parameters as they are now, for collectors.
    pub fn snapshot(&self) -> PolicySnapshot {
        let scaling = self.seen.obs_scaling(self.config.obs_clip).map(Arc::new);
        PolicySnapshot { version: self.updates, parameters: self.parameters.as_slice().into(), scaling }
    }

    /// The settings.
    pub fn config(&self) -> &PpoConfig {
        &self.config
    }

    /// The networks' layout.
    pub fn model(&self) -> &ActorCritic {
        &self.model
    }

    /// Updates made.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Environment steps learned from.
    pub fn env_steps(&self) -> u64 {
        self.env_steps
    }

    /// What was seen and earned so far, where that is normalised.
    pub fn seen(&self) -> &SeenStats {
        &self.seen
    }

    /// Puts a learner together from its state, as a checkpoint has it.
    pub(super) fn from_parts(
        config: PpoConfig,
        model: ActorCritic,
        (parameters, adam): (Vec<f32>, Adam),
        random: Random,
        ([updates, env_steps], seen): ([u64; 2], SeenStats),
    ) -> Self {
        let scratch = Scratch::new(&model);
        let seen = seen.fit(&config, model.spec().obs_dim);
        Self { config, model, parameters, adam, random, updates, env_steps, seen, scratch }
    }

    /// Updates made since the oldest policy acted that gathered `rollouts`.
    fn lag_of(&self, rollouts: &[RolloutBatch]) -> u64 {
        let lags = rollouts.iter().map(|rollout| self.updates.saturating_sub(rollout.policy_version));
        lags.max().unwrap_or(0)
    }

    /// An error unless all sequences are of one length, where there is a memory.
    fn check_steps(&self, rollouts: &[RolloutBatch]) -> Result<(), PpoError> {
        let Some(first) = rollouts.first().filter(|_| self.model.lstm().is_some()) else { return Ok(()) };
        match rollouts.iter().find(|rollout| rollout.steps != first.steps) {
            None => Ok(()),
            Some(other) => {
                let (expected, found) = (format!("all {}", first.steps), other.steps.to_string());
                Err(PpoError::Mismatch { what: "steps of the rollouts", expected, found })
            }
        }
    }

    /// Lays out `rollouts`, and takes in what they have seen. Nothing has changed where they don't fit.
    fn assemble(&mut self, rollouts: &[RolloutBatch], seen: &[SeenStats]) -> Result<(), PpoError> {
        rollouts.iter().try_for_each(|rollout| rollout.check(&self.model))?;
        self.check_steps(rollouts)?;
        let (lag, max_lag) = (self.lag_of(rollouts), self.config.max_lag);
        if max_lag > 0 && lag > max_lag {
            return Err(PpoError::Stale { lag, max_lag });
        }
        rollouts.iter().map(|rollout| &rollout.seen).chain(seen).for_each(|seen| self.seen.add(seen));
        let PpoConfig { gamma, gae_lambda: lambda, rho_clip, trace_clip, reward_clip, .. } = self.config;
        let how = Assembly {
            model: &self.model,
            parameters: &self.parameters,
            version: self.updates,
            corrects_lag: max_lag > 0,
            vtrace: Vtrace { gamma, lambda, rho_clip, trace_clip },
            reward_scaling: self.seen.reward_scale().map(|scale| [scale, reward_clip]),
        };
        self.scratch.batch.assemble(rollouts, &how);
        Ok(())
    }

    fn rates(&self, minibatch_rows: usize) -> Rates {
        let progress = self.env_steps as f64 / self.config.total_steps as f64;
        let work = minibatch_rows * self.parameters.len();
        Rates {
            learning_rate: self.config.learning_rate.at(progress),
            clip: self.config.clip.at(progress),
            value_clip: self.config.value_clip.map(|clip| clip.at(progress)),
            two_threads: self.config.learner_threads > 1 && work >= TWO_THREADS_WORK_MIN,
        }
    }

    /// Begins an update of `learners` learners that each see as many rows; `seen` is what is not in the rollouts.
    pub(super) fn begin(
        &mut self,
        rollouts: &[RolloutBatch],
        seen: &[SeenStats],
        learners: usize,
    ) -> Result<Run, PpoError> {
        seen.iter().try_for_each(|seen| seen.check(self.model.spec().obs_dim))?;
        let lag = self.lag_of(rollouts);
        self.assemble(rollouts, seen)?;
        if self.scratch.batch.rows() == 0 {
            let (expected, found) = ("at least one row".to_string(), "none".to_string());
            return Err(PpoError::Mismatch { what: "rollouts", expected, found });
        }
        Ok(self.run_over_batch(lag, learners))
    }

    /// An update over the batch as it lies there.
    fn run_over_batch(&mut self, lag: u64, learners: usize) -> Run {
        let batch = &self.scratch.batch;
        let explained_variance = explained_variance(&batch.returns, &batch.values);
        let (rows, units) = (batch.rows() * learners, batch.unit_count());
        let minibatch_rows = self.config.minibatches.rows(rows).div_ceil(learners);
        // A unit is a row, or the rows of a sequence.
        let minibatch_units = (minibatch_rows * units / batch.rows()).max(1);
        let rates = self.rates(minibatch_rows);
        let mut order = std::mem::take(&mut self.scratch.order);
        order.clear();
        order.extend(0..units as u32);
        let stats =
            UpdateStats { explained_variance, learning_rate: rates.learning_rate, rows, lag, ..Default::default() };
        let (epochs, place) = (self.config.epochs, Some([0, 0]));
        Run { rates, order, minibatch_units, epochs, place, sums: StatsSums::default(), stats }
    }

    /// All epochs over the batch, or as many as `target_kl` lets.
    fn run_to_end(&mut self, run: &mut Run) -> Result<(), PpoError> {
        while !run.is_done() {
            let losses = self.differentiate_next(run);
            self.step(run, losses)?;
        }
        Ok(())
    }

    /// Fills the gradient of the whole loss on the next minibatch.
    pub(super) fn differentiate_next(&mut self, run: &mut Run) -> Losses {
        let minibatch = run.place.map_or(0, |[_, minibatch]| minibatch);
        if minibatch == 0 {
            run.sums.begin_epoch();
            self.random.shuffle(&mut run.order);
        }
        let start = minibatch * run.minibatch_units;
        let units = &run.order[start..(start + run.minibatch_units).min(run.order.len())];
        self.differentiate(units, run.rates)
    }

    /// Steps against the gradient, unless `target_kl` ends the update before.
    pub(super) fn step(&mut self, run: &mut Run, losses: Losses) -> Result<(), PpoError> {
        let norm = global_norm(&self.scratch.gradient);
        self.check_finite(losses, norm, run.place.unwrap_or_default())?;
        run.sums.add_divergence(losses);
        if self.config.target_kl.is_some_and(|target| losses.surrogate.approx_kl > 1.5 * target) {
            run.place = None;
            return Ok(());
        }
        let bound = self.config.max_grad_norm.unwrap_or(f32::INFINITY);
        let scale = (bound / (norm + 1e-6)).min(1.0);
        self.adam.step(&mut self.parameters, &self.scratch.gradient, run.rates.learning_rate, scale);
        run.sums.add_step(losses, norm);
        run.advance();
        Ok(())
    }

    /// Ends an update.
    pub(super) fn finish(&mut self, run: Run) -> UpdateStats {
        self.updates += 1;
        self.env_steps += run.stats.rows as u64;
        self.scratch.order = run.order;
        let UpdateStats { explained_variance, learning_rate, rows, lag, .. } = run.stats;
        UpdateStats { explained_variance, learning_rate, rows, lag, ..run.sums.means() }
    }

    /// The gradient that was filled last.
    pub(super) fn gradient(&self) -> &[f32] {
        &self.scratch.gradient
    }

    /// The same to write to.
    pub(super) fn gradient_mut(&mut self) -> &mut [f32] {
        &mut self.scratch.gradient
    }

    /// Fills the gradient of the whole loss on the minibatch of these rows of the batch, or of these sequences.
    fn differentiate(&mut self, units: &[u32], rates: Rates) -> Losses {
        let Self { config, model, parameters, scratch, .. } = self;
        let Scratch { batch, minibatch, gradient, policy, value, memory, rows, .. } = scratch;
        minibatch.gather_units(batch, units, rows);
        if config.normalize_advantage {
            minibatch.normalize_advantages();
        }
        let (policy_gradient, rest) = gradient.split_at_mut(model.value_range().start);
        let (value_gradient, rest) = rest.split_at_mut(model.value_range().len());
        let (log_std_gradient, memory_gradient) = rest.split_at_mut(model.log_std_range().len());
        let policy_settings = (rates.clip, config.entropy_coef);
        let value_settings = (rates.value_clip, config.value_coef);
        let policy_gradient = (policy_gradient, log_std_gradient);
        let (model, parameters, minibatch) = (&*model, parameters.as_slice(), &*minibatch);
        let features = memory.features(model, parameters, minibatch);
        let seen = (minibatch, features);
        let ((surrogate, entropy), value_loss) = both(
            rates.two_threads,
            || policy.differentiate(model, parameters, seen, policy_settings, policy_gradient),
            || value.differentiate(model, parameters, seen, value_settings, value_gradient),
        );
        memory.differentiate(model, parameters, minibatch, (policy, value), memory_gradient);
        Losses { surrogate, value: value_loss, entropy }
    }

    fn check_finite(&self, losses: Losses, norm: f32, [epoch, minibatch]: [usize; 2]) -> Result<(), PpoError> {
        let quantities =
            [("the policy loss", losses.surrogate.loss), ("the value loss", losses.value), ("the gradient norm", norm)];
        match quantities.into_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((what, value)) => {
                let (update, env_steps) = (self.updates, self.env_steps);
                Err(PpoError::NotFinite { what, value, update, epoch, minibatch, env_steps })
            }
        }
    }
}

impl Run {
    /// Whether all minibatches are done.
    pub fn is_done(&self) -> bool {
        self.place.is_none()
    }

    fn advance(&mut self) {
        let minibatches = self.order.len().div_ceil(self.minibatch_units);
        self.place = self.place.and_then(|[epoch, minibatch]| match minibatch + 1 < minibatches {
            true => Some([epoch, minibatch + 1]),
            false => (epoch + 1 < self.epochs).then_some([epoch + 1, 0]),
        });
    }
}

impl Scratch {
    fn new(model: &ActorCritic) -> Self {
        Self {
            batch: Batch::new(model),
            minibatch: Batch::new(model),
            order: Vec::new(),
            gradient: vec![0.0; model.parameter_count()],
            policy: PolicyPass::default(),
            value: ValuePass::default(),
            memory: MemoryPass::default(),
            rows: Vec::new(),
        }
    }
}

/// The results of both, side by side where that pays.
fn both<A: Send, B: Send>(
    two_threads: bool,
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    if two_threads { rayon::join(first, second) } else { (first(), second()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{ActionHead, Activation, Bounds, DiagonalGaussian, LstmState, LstmWorkspace, StdSource, Workspace};
    use crate::ppo::{Minibatches, Schedule};

    const ROWS: usize = 24;

    /// A learner with its one minibatch in place, in which ratios and moves of the value lie on all sides of the clips
    /// and far from their kinks, where a finite difference means nothing.
    fn prepared(head: ActionHead, value_clip: Option<f32>, is_masked: bool) -> PpoLearner {
        prepared_with(head, value_clip, is_masked, None)
    }

    fn prepared_with(
        head: ActionHead,
        value_clip: Option<f32>,
        is_masked: bool,
        lstm_units: Option<usize>,
    ) -> PpoLearner {
        let config = PpoConfig {
            n_envs: ROWS,
            n_steps: 1,
            minibatches: Minibatches::Count(1),
            entropy_coef: 0.3,
            value_coef: 0.7,
            value_clip: value_clip.map(Schedule::Constant),
            ..PpoConfig::cleanrl()
        };
        let (hidden, activation) = (vec![7, 6], Activation::Tanh);
        let spec = ActorCriticSpec { obs_dim: 3, head, hidden, activation, initial_log_std: -0.3, lstm_units };
        let mut learner = PpoLearner::new(config, spec).expect("the settings are sound");
        let moves = normals(learner.parameters.len(), 0);
        learner.parameters.iter_mut().zip(moves).for_each(|(p, z)| *p += 0.15 * z);
        let rollout = experience(&learner, is_masked);
        (learner.config.gamma, learner.config.gae_lambda) = (0.9, 0.9);
        learner.assemble(&[rollout], &[]).expect("the batch fits");
        learner
    }

    /// One step of terminated episodes whose old policy and value lie around the present ones; with a memory, sequences of
    /// four steps, in which some episodes end.
    fn experience(learner: &PpoLearner, is_masked: bool) -> RolloutBatch {
        let (model, obs, mut workspace) = (&learner.model, normals(ROWS * 3, 1), Workspace::default());
        let steps = if model.lstm().is_some() { 4 } else { 1 };
        let envs = ROWS / steps;
        let memory = model
            .lstm()
            .map(|lstm| LstmState { hidden: normals(envs * lstm.units, 5), cell: normals(envs * lstm.units, 6) });
        let terminated: Vec<bool> = (0..ROWS).map(|row| steps == 1 || row % 5 == 0).collect();
        let starts: Vec<bool> = (0..ROWS).map(|row| row >= envs && terminated[row - envs]).collect();
        let features = memory.clone().map(|mut memory| {
            model.remember(&learner.parameters, (&obs, &starts), &mut memory, &mut LstmWorkspace::default()).to_vec()
        });
        let features = features.unwrap_or_else(|| obs.clone());
        let (mut actions, mut log_probs) = (model.head().actions(ROWS), vec![0.0; ROWS]);
        let numbers = actions.len();
        let tools = (&mut Random::new(2, 2), &mut workspace);
        let masks = masks(model.head(), is_masked);
        let seen = (features.as_slice(), (!masks.is_empty()).then_some(masks.as_slice()));
        model.act(&learner.parameters, seen, tools, actions.slice_mut(0..numbers), &mut log_probs);
        log_probs.iter_mut().zip([-0.5, -0.1, 0.1, 0.5].iter().cycle()).for_each(|(l, shift)| *l += shift);
        let mut values = model.values(&learner.parameters, &features, &mut workspace).to_vec();
        values.iter_mut().zip([-0.6, -0.05, 0.05, 0.6, 0.1].iter().cycle()).for_each(|(v, shift)| *v += shift);
        RolloutBatch {
            steps,
            envs,
            policy_version: 0,
            obs,
            actions,
            masks,
            log_probs,
            rewards: normals(ROWS, 3),
            values,
            next_values: vec![0.0; ROWS],
            terminated,
            truncated: vec![false; ROWS],
            episodes: vec![],
            seen: Default::default(),
            memory,
        }
    }

    /// In every other row, all but the first choice of each component that has more than two.
    fn masks(head: &ActionHead, is_masked: bool) -> Vec<bool> {
        let ActionHead::Categorical { choices } = head else { return vec![] };
        let row = |row: usize| {
            choices.iter().flat_map(move |n| (0..*n).map(move |i| i > 0 || *n < 3 || row.is_multiple_of(2)))
        };
        if is_masked { (0..ROWS).flat_map(row).collect() } else { vec![] }
    }

    fn normals(count: usize, stream: u64) -> Vec<f32> {
        let mut out = vec![0.0; count];
        Random::new(2, stream).fill_normal(&mut out);
        out
    }

    fn total(learner: &mut PpoLearner) -> f32 {
        let order: Vec<u32> = (0..learner.scratch.batch.unit_count() as u32).collect();
        let rates = learner.rates(ROWS);
        let losses = learner.differentiate(&order, rates);
        losses.surrogate.loss + learner.config.value_coef * losses.value - learner.config.entropy_coef * losses.entropy
    }

    /// Compares the gradient of the whole loss with central differences, over every parameter. The loss is of size 1,
    /// so rounding leaves an error of about 1e-4 in a difference over 2 h, and curvature adds h^2.
    fn check(head: ActionHead, value_clip: Option<f32>) {
        check_prepared(prepared(head, value_clip, false));
    }

    fn check_prepared(mut learner: PpoLearner) {
        total(&mut learner);
        let gradient = learner.scratch.gradient.clone();
        assert!(gradient.iter().all(|g| *g != 0.0), "every parameter matters");
        let h = 4e-3;
        for (i, analytic) in gradient.into_iter().enumerate() {
            let mut at = |shift: f32| {
                let kept = learner.parameters[i];
                learner.parameters[i] += shift;
                let loss = total(&mut learner);
                learner.parameters[i] = kept;
                loss
            };
            let numeric = (at(h) - at(-h)) / (2.0 * h);
            let tolerance = 5e-4 + 5e-3 * numeric.abs();
            assert!((analytic - numeric).abs() < tolerance, "parameter {i}: {analytic} against {numeric}");
        }
    }

    #[test]
    fn discrete_gradient_equals_the_finite_difference() {
        check(ActionHead::Categorical { choices: vec![3, 2] }, None);
        check(ActionHead::Categorical { choices: vec![4] }, Some(0.2));
    }

    #[test]
    fn gaussian_gradient_equals_the_finite_difference() {
        check(ActionHead::Gaussian { dims: 2 }, None);
        check(ActionHead::Gaussian { dims: 2 }, Some(0.2));
    }

    #[test]
    fn the_gradient_through_a_memory_equals_the_finite_difference() {
        for value_clip in [None, Some(0.2)] {
            check_prepared(prepared_with(ActionHead::Categorical { choices: vec![3] }, value_clip, false, Some(5)));
        }
        check_prepared(prepared_with(ActionHead::Gaussian { dims: 2 }, None, false, Some(4)));
    }

    #[test]
    fn the_gradient_under_masks_equals_the_finite_difference() {
        check_prepared(prepared(ActionHead::Categorical { choices: vec![4, 2] }, None, true));
    }

    #[test]
    fn gradients_of_deviations_by_state_and_of_squashed_actions_equal_the_finite_difference() {
        for (std, is_squashed) in [(StdSource::State, false), (StdSource::Parameter, true), (StdSource::State, true)] {
            let bounds = is_squashed.then(|| Bounds { low: vec![-1.0, 0.0], high: vec![1.0, 0.5] });
            check(ActionHead::Diagonal(DiagonalGaussian { dims: 2, std, bounds }), None);
        }
    }

    #[test]
    fn the_step_is_bounded_by_the_gradient_norm() {
        // Adam's first step is its rate times the sign of the gradient wherever that is far above epsilon, clipped or
        // not; what the clip changes is the moment.
        let moment = |bound: Option<f32>| {
            let mut learner = prepared(ActionHead::Gaussian { dims: 2 }, None, false);
            learner.config.epochs = 1;
            learner.config.max_grad_norm = bound;
            let mut run = learner.run_over_batch(0, 1);
            learner.run_to_end(&mut run).expect("random experience is finite");
            global_norm(&learner.adam.first) / 0.1
        };
        assert!((moment(Some(0.01)) - 0.01).abs() < 1e-5, "{}", moment(Some(0.01)));
        assert!(moment(None) > 0.1, "{}", moment(None));
    }

    #[test]
    fn minibatches_are_drawn_at_random() {
        let run = |stream: u64| {
            let mut learner = prepared(ActionHead::Gaussian { dims: 2 }, None, false);
            learner.config.minibatches = Minibatches::Count(2);
            learner.config.epochs = 1;
            learner.random = Random::new(1, stream);
            let mut run = learner.run_over_batch(0, 1);
            learner.run_to_end(&mut run).expect("random experience is finite");
            learner.parameters
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
