//! Tries pairs in environments; knows nothing of the engine.

use serde::{Deserialize, Serialize};

use super::noise::RoundSeeds;
use super::rows::Rows;
use super::{EsConfig, EsError, EsPolicy, Harvest, PolicyNet, PolicySpec, Sample};
use crate::env::wrappers::RunningStats;
use crate::env::{StepBuf, VecEnv};
use crate::nn::{ActionRows, ActionsMut, PolicyOutputs, Random};
use crate::ppo::EpisodeEnd;

/// Steps between two looks at whether the work is still wanted.
const STEPS_PER_LOOK: u32 = 64;
/// Rows of observations after which statistics take them in.
const OBSERVED_ROWS: usize = 1024;

/// Some pairs of a round: those from `first` on, `count` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairRange {
    /// Place of the first in the round.
    pub first: u32,
    /// How many, at most as many as the runner has environments.
    pub count: u32,
}

/// A batch of environments in which pairs are tried and policies played. One per evaluator.
///
/// Each environment plays another perturbation; the two sides of a pair begin their episodes in the same states.
pub struct PairRunner {
    config: EsConfig,
    net: PolicyNet,
    envs: Box<dyn VecEnv>,
    out: StepBuf,
    rows: Rows,
    /// Perturbed parameters, `[envs, parameters]`.
    parameters: Vec<f32>,
    /// What the network sees, `[envs, obs_dim]`.
    obs: Vec<f32>,
    outputs: Vec<f32>,
    actions: ActionRows,
    scratch: [Vec<f32>; 2],
    /// One for each row, empty where actions get no noise.
    action_noise: Vec<Random>,
    observed: Observed,
}

/// Observations on their way into statistics.
#[derive(Debug, Default)]
struct Observed {
    /// Whether a row's observations count, `[envs]`; empty where none does.
    rows: Vec<bool>,
    buffer: Vec<f32>,
    stats: Option<RunningStats>,
}

impl PairRunner {
    /// A runner over `envs`.
    ///
    /// # Errors
    /// [`EsError::Mismatch`] if the environments' spaces aren't those of `spec`.
    pub fn new(config: EsConfig, spec: PolicySpec, envs: Box<dyn VecEnv>) -> Result<Self, EsError> {
        spec.check(envs.as_ref())?;
        let (rows, out, net) = (envs.env_count(), StepBuf::new(envs.as_ref()), PolicyNet::new(spec));
        let (outputs, actions) = (vec![0.0; rows * net.spec().head.outputs()], net.spec().head.actions(rows));
        Ok(Self {
            obs: out.obs.clone(),
            config,
            net,
            envs,
            out,
            outputs,
            actions,
            rows: Rows::default(),
            parameters: Vec::new(),
            scratch: Default::default(),
            action_noise: Vec::new(),
            observed: Observed::default(),
        })
    }

    /// Tries the pairs of `pairs` around `policy`: what they earned is a function of the settings, the policy and the
    /// pair alone.
    ///
    /// # Errors
    /// [`EsError::Mismatch`] if policy, noise or pairs don't fit; [`EsError::Env`] if an environment fails;
    /// [`EsError::Cancelled`] once `is_cancelled` says so.
    pub fn run(
        &mut self,
        noise: &[f32],
        policy: &EsPolicy,
        pairs: PairRange,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Harvest, EsError> {
        self.check(policy, noise.len(), pairs.count as usize)?;
        let seeds = RoundSeeds::new(self.config.seed, policy.round);
        let range = pairs.first..pairs.first + pairs.count;
        let lens = [self.net.parameter_count(), noise.len()];
        let observed_share = if self.config.normalize_obs { self.config.observed_share } else { 0.0 };
        let draws: Vec<_> = range.clone().map(|pair| seeds.draws(pair, lens, observed_share)).collect();
        let mut samples: Vec<Sample> = range.map(|pair| Sample { pair, returns: [0.0; 2], steps: [0; 2] }).collect();
        self.observed.begin(draws.iter().map(|draws| draws.is_observed), self.envs.env_count());
        for (side, sign) in [1.0, -1.0].into_iter().enumerate() {
            let offsets = draws.iter().map(|draws| draws.offset);
            self.perturb(policy.parameters.data(), noise, sign * self.config.sigma, offsets);
            self.action_noise.clear();
            if self.config.action_noise > 0.0 {
                self.action_noise.extend(draws.iter().map(|draws| draws.action_noise[side].clone()));
            }
            let stride = self.net.parameter_count();
            let beginning = (seeds.envs, pairs.first.into(), self.config.episodes);
            self.play_out(policy, stride, (pairs.count as usize, beginning), is_cancelled)?;
            self.tally(&mut samples, side);
        }
        Ok(Harvest { samples, obs_stats: self.observed.finish(self.net.spec().obs_dim) })
    }

    /// Plays `episodes.count` episodes, from number `episodes.first` of the round's evaluation on, with the policy as it
    /// is and without noise: one in each environment. In the order of their numbers.
    ///
    /// # Errors
    /// As [`PairRunner::run`].
    pub fn play(
        &mut self,
        policy: &EsPolicy,
        episodes: PairRange,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<EpisodeEnd>, EsError> {
        let count = episodes.count as usize;
        self.check(policy, self.net.parameter_count(), count)?;
        let seeds = RoundSeeds::new(self.config.seed, policy.round);
        self.parameters.clear();
        self.parameters.extend_from_slice(policy.parameters.data());
        self.action_noise.clear();
        self.observed.begin(std::iter::empty(), 0);
        self.play_out(policy, 0, (count, (seeds.evaluation, episodes.first.into(), 1)), is_cancelled)?;
        let mut ends = self.rows.ends.clone();
        ends.sort_unstable_by_key(|(row, _)| *row);
        Ok(ends.into_iter().map(|(_, end)| end).collect())
    }

    fn check(&self, policy: &EsPolicy, noise_len: usize, count: usize) -> Result<(), EsError> {
        let (parameters, envs) = (self.net.parameter_count(), self.envs.env_count());
        let scaling = if self.config.normalize_obs { 2 * self.net.spec().obs_dim } else { 0 };
        let mismatch =
            |what, expected: String, found: usize| Err(EsError::Mismatch { what, expected, found: found.to_string() });
        match policy {
            policy if policy.parameters.len() != parameters => {
                mismatch("parameters of the policy", format!("{parameters} numbers"), policy.parameters.len())
            }
            policy if policy.obs_scaling.len() != scaling => {
                mismatch("statistics of the policy", format!("{scaling} numbers"), policy.obs_scaling.len())
            }
            _ if noise_len < parameters => mismatch("noise", format!("at least {parameters} numbers"), noise_len),
            _ if count > envs => mismatch("pairs of one call", format!("at most {envs}"), count),
            _ => Ok(()),
        }
    }

    /// Writes `parameters + scale * direction` for each direction.
    fn perturb(&mut self, parameters: &[f32], noise: &[f32], scale: f32, offsets: impl Iterator<Item = usize>) {
        self.parameters.clear();
        for offset in offsets {
            let direction = &noise[offset..];
            self.parameters.extend(parameters.iter().zip(direction).map(|(p, e)| p + scale * e));
        }
    }

    /// Plays `episodes` episodes in each of the first `used` environments.
    fn play_out(
        &mut self,
        policy: &EsPolicy,
        stride: usize,
        (used, (seed, first_index, episodes)): (usize, (u64, u64, u32)),
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<(), EsError> {
        self.rows.begin(self.envs.env_count(), used, episodes);
        self.envs.reset_from(seed, first_index, &mut self.out.obs)?;
        let mut steps = 0u32;
        while self.rows.any_active() {
            if steps.is_multiple_of(STEPS_PER_LOOK) && is_cancelled() {
                return Err(EsError::Cancelled);
            }
            steps = steps.wrapping_add(1);
            self.observed.see(&self.out.obs, &self.rows.active);
            self.act(policy, stride);
            self.envs.step(self.actions.as_actions(), self.out.out())?;
            self.rows.step(&self.out.rewards, &self.out.finished);
            if let Some(steps_max) = self.config.episode_steps_max {
                let (envs, obs, width) = (&mut self.envs, &mut self.out.obs, self.net.spec().obs_dim);
                self.rows.cut(steps_max, |row| envs.restart(row, &mut obs[row * width..(row + 1) * width]))?;
            }
        }
        Ok(())
    }

    /// Chooses the actions of the active rows; the others repeat their last.
    fn act(&mut self, policy: &EsPolicy, stride: usize) {
        self.obs.copy_from_slice(&self.out.obs);
        let width = self.net.spec().obs_dim;
        if !policy.obs_scaling.is_empty() {
            let (mean, scale) = policy.obs_scaling.split_at(width);
            let clip = self.config.obs_clip;
            for row in self.obs.chunks_exact_mut(width) {
                for (x, (mean, scale)) in row.iter_mut().zip(mean.iter().zip(scale)) {
                    *x = ((*x - mean) * scale).clamp(-clip, clip);
                }
            }
        }
        let input = (&self.obs[..], &self.rows.active[..]);
        self.net.forward_rows((&self.parameters, stride), input, &mut self.scratch, &mut self.outputs);
        let numbers = self.actions.len();
        let outputs = PolicyOutputs { values: &self.outputs, log_std: &[], mask: None };
        self.net.spec().head.mode(outputs, self.actions.slice_mut(0..numbers));
        if let ActionsMut::Continuous(values) = self.actions.slice_mut(0..numbers) {
            let width = self.net.spec().head.width();
            for (row, random) in self.action_noise.iter_mut().enumerate().filter(|(row, _)| self.rows.active[*row]) {
                let noise = &mut self.scratch[0];
                noise.resize(width.max(noise.len()), 0.0);
                random.fill_normal(&mut noise[..width]);
                let values = &mut values[row * width..(row + 1) * width];
                values.iter_mut().zip(noise.iter()).for_each(|(x, e)| *x += self.config.action_noise * e);
            }
        }
    }

    /// Adds what the rows earned to their pairs.
    fn tally(&self, samples: &mut [Sample], side: usize) {
        let mut totals = vec![0.0; samples.len()];
        for (row, end) in &self.rows.ends {
            totals[*row] += end.total_reward;
            samples[*row].steps[side] += end.length;
        }
        for (sample, total) in samples.iter_mut().zip(totals) {
            sample.returns[side] = (total / f64::from(self.config.episodes)) as f32;
        }
    }
}

impl Observed {
    fn begin(&mut self, observed: impl Iterator<Item = bool>, rows: usize) {
        self.rows.clear();
        self.rows.extend(observed);
        self.buffer.clear();
        self.stats = None;
        match self.rows.contains(&true) {
            true => self.rows.resize(rows, false),
            false => self.rows.clear(),
        }
    }

    /// Sees those rows of `obs` that play and count.
    fn see(&mut self, obs: &[f32], active: &[bool]) {
        if self.rows.is_empty() {
            return;
        }
        let width = obs.len() / active.len();
        let counted = self.rows.iter().zip(active).map(|(counts, plays)| *counts && *plays);
        for (obs, _) in obs.chunks_exact(width).zip(counted).filter(|(_, counts)| *counts) {
            self.buffer.extend_from_slice(obs);
        }
        if self.buffer.len() >= OBSERVED_ROWS * width {
            self.flush(width);
        }
    }

    /// All that was seen since `begin`.
    fn finish(&mut self, width: usize) -> Option<RunningStats> {
        if !self.buffer.is_empty() {
            self.flush(width);
        }
        self.stats.take()
    }

    fn flush(&mut self, width: usize) {
        self.stats.get_or_insert_with(|| RunningStats::new(width)).update(&self.buffer);
        self.buffer.clear();
    }
}
