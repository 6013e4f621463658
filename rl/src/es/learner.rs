//! The learner: pure, it knows nothing of the engine.

use rayline::{Buf, Tensor};

use super::noise::{PARAMETERS_STREAM, RoundSeeds};
use super::{Directions, EsConfig, EsError, EsPolicy, EsStats, Harvest, PolicyNet, PolicySpec, Sample, centered_ranks};
use crate::env::wrappers::RunningStats;
use crate::nn::{Adam, Random, global_norm};

/// Adam's epsilon in the paper's program.
const ADAM_EPSILON: f32 = 1e-8;
/// Least variance that an observation is divided by the root of, as in the paper's program.
const OBS_VARIANCE_MIN: f64 = 1e-2;

/// Improves a policy from what its perturbations earned. Deterministic.
///
/// ```
/// use rayline_rl::env::make_vec;
/// use rayline_rl::es::{EsConfig, EsLearner, PairRange, PairRunner, noise_table};
///
/// let config = EsConfig::cartpole();
/// let envs = make_vec("CartPole-v1", config.pairs as usize)?;
/// let spec = config.policy_spec(envs.observation_space(), envs.action_space());
/// let mut learner = EsLearner::new(config.clone(), spec.clone())?;
/// let mut runner = PairRunner::new(config.clone(), spec, envs)?;
/// let noise = noise_table(config.seed, config.noise_len);
/// let all = PairRange { first: 0, count: config.pairs };
/// for round in 0..3 {
///     let harvest = runner.run(noise.data(), &learner.policy(), all, &|| false)?;
///     let gradient = learner.directions(&harvest)?.sum(noise.data());
///     assert_eq!(learner.update(&harvest, &gradient)?.round, round + 1);
/// }
/// # Ok::<(), rayline_rl::es::EsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct EsLearner {
    pub(super) config: EsConfig,
    pub(super) net: PolicyNet,
    pub(super) parameters: Vec<f32>,
    pub(super) adam: Adam,
    pub(super) obs_stats: RunningStats,
    pub(super) rounds: u64,
    pub(super) env_steps: u64,
}

impl EsLearner {
    /// A learner with new parameters.
    ///
    /// # Errors
    /// [`EsError::Config`] if a setting can't work.
    pub fn new(config: EsConfig, spec: PolicySpec) -> Result<Self, EsError> {
        config.validate()?;
        let net = PolicyNet::new(spec);
        config.validate_noise(net.parameter_count())?;
        let parameters = net.initial_parameters(&mut Random::new(config.seed, PARAMETERS_STREAM));
        let adam = Adam { epsilon: ADAM_EPSILON, ..Adam::new(parameters.len()) };
        let obs_stats = RunningStats::new(net.spec().obs_dim);
        Ok(Self { config, net, parameters, adam, obs_stats, rounds: 0, env_steps: 0 })
    }

    /// The directions of the pairs in `harvest`, weighted by the ranks that their two sides have among all sides: their
    /// sum is the gradient estimate, as the paper's program scales it (over twice the pairs, and not over sigma).
    ///
    /// # Errors
    /// [`EsError::NotFinite`] for a return that is no number; [`EsError::Mismatch`] without samples.
    pub fn directions(&self, harvest: &Harvest) -> Result<Directions, EsError> {
        let samples = &harvest.samples;
        if samples.is_empty() {
            let (expected, found) = ("at least one sample".to_owned(), "none".to_owned());
            return Err(EsError::Mismatch { what: "a harvest", expected, found });
        }
        let returns: Vec<f32> = [0, 1].iter().flat_map(|side| samples.iter().map(|s| s.returns[*side])).collect();
        if let Some(value) = returns.iter().copied().find(|value| !value.is_finite()) {
            return Err(EsError::NotFinite { what: "a return", value, round: self.rounds });
        }
        let ranks = centered_ranks(&returns);
        let (positive, negative) = ranks.split_at(samples.len());
        let share = 1.0 / (2 * samples.len()) as f32;
        let weights = positive.iter().zip(negative).map(|(p, n)| (p - n) * share).collect();
        let seeds = RoundSeeds::new(self.config.seed, self.rounds);
        let lens = [self.parameters.len(), self.config.noise_len];
        let offset = |sample: &Sample| seeds.draws(sample.pair, lens, 0.0).offset as u64;
        Ok(Directions::new(samples.iter().map(offset).collect(), weights, self.parameters.len()))
    }

    /// Takes a step up the `gradient` (`[parameters]`) that `harvest` led to, and takes in what was observed.
    ///
    /// # Errors
    /// [`EsError::Mismatch`] if the gradient has another length; [`EsError::NotFinite`] if it, an observation or what
    /// follows is no number, and nothing has changed.
    pub fn update(&mut self, harvest: &Harvest, gradient: &[f32]) -> Result<EsStats, EsError> {
        let (expected, found) = (self.parameters.len(), gradient.len());
        if expected != found {
            let (expected, found) = (format!("{expected} numbers"), found.to_string());
            return Err(EsError::Mismatch { what: "the gradient", expected, found });
        }
        let gradient_norm = self.finite("the gradient's norm", global_norm(gradient))?;
        let decay = self.config.weight_decay;
        let descent: Vec<f32> = gradient.iter().zip(&self.parameters).map(|(g, p)| decay * p - g).collect();
        let (mut parameters, mut adam) = (self.parameters.clone(), self.adam.clone());
        adam.step(&mut parameters, &descent, self.config.learning_rate, 1.0);
        let parameter_norm = self.finite("the parameters' norm", global_norm(&parameters))?;
        let mut obs_stats = self.obs_stats.clone();
        if let Some(observed) = &harvest.obs_stats {
            obs_stats.add(observed);
            let sum: f64 = obs_stats.mean().iter().chain(obs_stats.variance()).sum();
            self.finite("an observation", sum as f32)?;
        }
        (self.parameters, self.adam, self.obs_stats) = (parameters, adam, obs_stats);
        self.rounds += 1;
        self.env_steps += harvest.env_steps();
        Ok(EsStats { round: self.rounds, gradient_norm, parameter_norm, ..summary(harvest, self.config.pairs) })
    }

    /// The policy as it is now, for evaluators.
    pub fn policy(&self) -> EsPolicy {
        let obs_scaling = match self.config.normalize_obs {
            true => self.obs_scaling(),
            false => Vec::new(),
        };
        let parameters = Tensor::from(Buf::from(self.parameters.clone()));
        EsPolicy { round: self.rounds, parameters, obs_scaling }
    }

    /// The settings.
    pub fn config(&self) -> &EsConfig {
        &self.config
    }

    /// The network's layout.
    pub fn net(&self) -> &PolicyNet {
        &self.net
    }

    /// Flat parameters of the network.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// What was observed so far.
    pub fn obs_stats(&self) -> &RunningStats {
        &self.obs_stats
    }

    /// Rounds completed.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Environment steps of all rounds, evaluations left out.
    pub fn env_steps(&self) -> u64 {
        self.env_steps
    }

    /// Means, then inverse deviations.
    fn obs_scaling(&self) -> Vec<f32> {
        let means = self.obs_stats.mean().iter().map(|mean| *mean as f32);
        let scales = self.obs_stats.variance().iter().map(|v| v.max(OBS_VARIANCE_MIN).sqrt().recip() as f32);
        means.chain(scales).collect()
    }

    fn finite(&self, what: &'static str, value: f32) -> Result<f32, EsError> {
        if value.is_finite() { Ok(value) } else { Err(EsError::NotFinite { what, value, round: self.rounds }) }
    }
}

/// What the samples of a round of `pairs` pairs say.
fn summary(harvest: &Harvest, pairs: u32) -> EsStats {
    let found = harvest.samples.len();
    let returns = || harvest.samples.iter().flat_map(|sample| sample.returns);
    let share = 1.0 / (2 * found).max(1) as f64;
    let env_steps = harvest.env_steps();
    EsStats {
        pairs: found,
        lost_pairs: (pairs as usize).saturating_sub(found),
        mean_return: (returns().map(f64::from).sum::<f64>() * share) as f32,
        max_return: returns().fold(f32::NEG_INFINITY, f32::max),
        mean_steps: (env_steps as f64 * share) as f32,
        env_steps,
        ..EsStats::default()
    }
}
