//! The settings of a training run.

use serde::{Deserialize, Serialize};

use super::{PpoError, Schedule};
use crate::env::Space;
use crate::nn::{ActionHead, Activation, ActorCriticSpec, StdSource};

/// All settings of PPO. Unnamed fields of a deserialised one are those of [`PpoConfig::cleanrl`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// Seed of everything: parameters, sampling, shuffling, environments.
    pub seed: u64,
    /// Environment steps of the whole run, over which schedules run.
    pub total_steps: u64,
    /// Environments over all collectors.
    pub n_envs: usize,
    /// Steps of each environment between two updates.
    pub n_steps: usize,
    /// How a batch of `n_envs * n_steps` rows is split.
    pub minibatches: Minibatches,
    /// Passes over each batch.
    pub epochs: usize,
    /// Adam's step size.
    pub learning_rate: Schedule,
    /// Discount per step, in [0, 1].
    pub gamma: f32,
    /// Lambda of generalised advantage estimation, in [0, 1].
    pub gae_lambda: f32,
    /// How far the probability ratio may leave 1 before its gradient is cut.
    pub clip: Schedule,
    /// How far the value may move from the old one before its gradient is cut; `None` for a plain squared error.
    pub value_clip: Option<Schedule>,
    /// Weight of the entropy bonus.
    pub entropy_coef: f32,
    /// Weight of the value loss, which is *half* the mean squared error, as CleanRL's (a coefficient of
    /// Stable-Baselines3, which takes the whole error, is doubled here).
    pub value_coef: f32,
    /// Bound of the global gradient norm; `None` for none.
    pub max_grad_norm: Option<f32>,
    /// Stops an update once `approx_kl` of a minibatch exceeds 1.5 times this, before that minibatch's step
    /// (as Stable-Baselines3); `None` for never.
    pub target_kl: Option<f32>,
    /// Shift and scale the advantages of each minibatch to mean 0 and standard deviation 1.
    pub normalize_advantage: bool,
    /// Shift and scale observations to mean 0 and standard deviation 1 by running statistics.
    pub normalize_obs: bool,
    /// Bound of scaled observations on either side.
    pub obs_clip: f32,
    /// Divide rewards by the running deviation of the discounted return.
    pub normalize_reward: bool,
    /// Bound of scaled rewards on either side.
    pub reward_clip: f32,
    /// Updates that the learner may be ahead of the policy that gathered what it learns from. 0: it waits for each round,
    /// and simulators wait for it. From 1 on they gather while it learns, and V-trace corrects for the lag.
    pub max_lag: u64,
    /// Bound of the ratio of the present to the acting policy that weighs a step's own error in V-trace.
    pub rho_clip: f32,
    /// Bound of the ratio that weighs the errors of later steps in V-trace.
    pub trace_clip: f32,
    /// Units of a memory (LSTM) that both networks see observations through; `None` for no memory. With one, minibatches are
    /// of whole sequences: each has the rows of some environments at all steps.
    pub lstm_units: Option<usize>,
    /// Widths of the hidden layers, the same for policy and value.
    pub hidden: Vec<usize>,
    /// Nonlinearity of the hidden layers.
    pub activation: Activation,
    /// Where the standard deviations of a Gaussian policy come from.
    pub std: StdSource,
    /// Squashes the actions of a Gaussian policy into their bounds, which must be finite, by `tanh`; else the environment
    /// clips them.
    pub squash: bool,
    /// Log standard deviation that a Gaussian policy starts from.
    pub initial_log_std: f32,
    /// Threads of an update: with 2, policy and value are differentiated side by side (in rayon's pool) where
    /// minibatches are large enough to gain from it. The numbers are the same.
    pub learner_threads: usize,
}

/// How a batch is split into minibatches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Minibatches {
    /// Into this many, of equal size but for the last.
    Count(usize),
    /// Into minibatches of this many rows; the last may have fewer.
    Rows(usize),
}

impl Minibatches {
    /// Rows of a minibatch of a batch of `rows` rows, at least 1.
    pub fn rows(self, rows: usize) -> usize {
        match self {
            Self::Count(count) => rows.div_ceil(count.max(1)).max(1),
            Self::Rows(size) => size.max(1),
        }
    }
}

impl Default for PpoConfig {
    fn default() -> Self {
        Self::cleanrl()
    }
}

impl PpoConfig {
    /// Rows of a batch: environment steps between two updates.
    pub fn batch_rows(&self) -> usize {
        self.n_envs * self.n_steps
    }

    /// The networks for these spaces.
    pub fn model_spec(&self, observation: &Space, action: &Space) -> ActorCriticSpec {
        let spec = ActorCriticSpec::for_spaces(observation, action, &self.hidden, self.activation);
        let head = ActionHead::for_policy(action, self.std, self.squash);
        ActorCriticSpec { head, initial_log_std: self.initial_log_std, lstm_units: self.lstm_units, ..spec }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`PpoError::Config`] for the first that can't work.
    pub fn validate(&self) -> Result<(), PpoError> {
        self.validate_sizes()?;
        self.validate_learning()?;
        self.validate_bounds()
    }

    fn validate_sizes(&self) -> Result<(), PpoError> {
        let sizes = [
            ("n_envs", self.n_envs, "experience comes from environments", "set it to 1 or more"),
            ("n_steps", self.n_steps, "a rollout needs steps", "set it to 1 or more; 32 to 2048 are usual"),
            ("epochs", self.epochs, "the batch would never be learned from", "set it to 1 or more; 4 to 20 are usual"),
        ];
        for (field, value, why, remedy) in sizes {
            check(value > 0, field, value, (why, remedy))?;
        }
        check(self.total_steps > 0, "total_steps", self.total_steps, ("schedules run over it", "set it to 1 or more"))?;
        let rows = self.batch_rows();
        let (fits, shown) = match self.minibatches {
            Minibatches::Count(n) => (n > 0 && n <= rows, format!("{n} (count)")),
            Minibatches::Rows(n) => (n > 0 && n <= rows, format!("{n} (rows)")),
        };
        let why = "a batch of n_envs * n_steps rows can't be split so";
        check(fits, "minibatches", &shown, (why, "choose a number from 1 to n_envs * n_steps"))?;
        let (threads, why) = (self.learner_threads, "the two networks are what is shared out");
        check((1..=2).contains(&threads), "learner_threads", threads, (why, "set it to 1 or 2"))?;
        let fits = match (self.lstm_units, self.minibatches) {
            (Some(_), Minibatches::Count(n)) => n <= self.n_envs,
            (Some(_), Minibatches::Rows(n)) => n >= self.n_steps,
            (None, _) => true,
        };
        let why = "with lstm_units, minibatches are of whole sequences, one for each environment";
        check(fits, "minibatches", shown, (why, "take no more minibatches than n_envs, of at least n_steps rows"))?;
        let (units, why) = (self.lstm_units.unwrap_or(1), "a memory needs units");
        check(units > 0, "lstm_units", units, (why, "leave it out for no memory"))?;
        let widths = self.hidden.iter().all(|w| *w > 0);
        check(widths, "hidden", format!("{:?}", self.hidden), ("a layer needs units", "leave out layers of width 0"))
    }

    fn validate_learning(&self) -> Result<(), PpoError> {
        let positive = |value: f32| value.is_finite() && value > 0.0;
        let rate = self.learning_rate.start();
        check(
            positive(rate),
            "learning_rate",
            rate,
            ("nothing would be learned", "set it above 0; 1e-5 to 3e-3 are usual"),
        )?;
        for (field, value) in [("gamma", self.gamma), ("gae_lambda", self.gae_lambda)] {
            let advice = ("it weighs the future by powers of it", "set it between 0 and 1; 0.9 to 0.999 are usual");
            check((0.0..=1.0).contains(&value), field, value, advice)?;
        }
        let weight = |value: f32| value.is_finite() && value >= 0.0;
        for (field, value) in [("entropy_coef", self.entropy_coef), ("value_coef", self.value_coef)] {
            check(weight(value), field, value, ("it weighs a loss", "set it to 0 or above"))?;
        }
        let log_std = self.initial_log_std;
        let advice = ("its exponential is the exploration's scale", "set it between -20 and 10; 0 to -2 are usual");
        check((-20.0..=10.0).contains(&log_std), "initial_log_std", log_std, advice)
    }

    fn validate_bounds(&self) -> Result<(), PpoError> {
        let bounds = [
            ("clip", Some(self.clip.start()), "set it above 0; 0.1 to 0.3 are usual"),
            ("value_clip", self.value_clip.map(Schedule::start), "set it above 0, or leave it out"),
            ("max_grad_norm", self.max_grad_norm, "set it above 0 (0.5 is usual), or leave it out"),
            ("obs_clip", Some(self.obs_clip), "set it above 0; 10 is usual"),
            ("reward_clip", Some(self.reward_clip), "set it above 0; 10 is usual"),
            ("rho_clip", Some(self.rho_clip), "set it above 0; 1 is usual"),
            ("trace_clip", Some(self.trace_clip), "set it above 0; 1 is usual"),
            ("target_kl", self.target_kl, "set it above 0 (0.01 to 0.05 are usual), or leave it out"),
        ];
        for (field, value, remedy) in bounds {
            let fits = value.is_none_or(|value| value.is_finite() && value > 0.0);
            check(fits, field, value.unwrap_or_default(), ("a bound that is not positive stops all learning", remedy))?;
        }
        Ok(())
    }
}

/// An error about `field` unless `fits`.
fn check(
    fits: bool,
    field: &'static str,
    value: impl ToString,
    (why, remedy): (&'static str, &'static str),
) -> Result<(), PpoError> {
    if fits { Ok(()) } else { Err(PpoError::Config { field, value: value.to_string(), why, remedy }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(change: impl FnOnce(&mut PpoConfig)) -> String {
        let mut config = PpoConfig::cleanrl();
        change(&mut config);
        config.validate().expect_err("the change makes it unsound").to_string()
    }

    #[test]
    fn presets_are_sound() {
        for config in [PpoConfig::cleanrl(), PpoConfig::cartpole(), PpoConfig::pendulum()] {
            config.validate().unwrap();
        }
    }

    #[test]
    fn unsound_settings_are_named_with_reason_and_remedy() {
        assert_eq!(
            message(|c| c.gamma = 1.5),
            "gamma is 1.5, but it weighs the future by powers of it: set it between 0 and 1; 0.9 to 0.999 are usual"
        );
        assert!(message(|c| c.n_envs = 0).starts_with("n_envs is 0"));
        assert!(message(|c| c.minibatches = Minibatches::Count(513)).starts_with("minibatches is 513 (count)"));
        assert!(message(|c| c.minibatches = Minibatches::Rows(0)).starts_with("minibatches is 0 (rows)"));
        assert!(message(|c| c.learning_rate = Schedule::Constant(f32::NAN)).starts_with("learning_rate is NaN"));
        assert!(message(|c| c.gae_lambda = f32::NAN).starts_with("gae_lambda is NaN"));
        assert!(message(|c| c.clip = Schedule::Constant(0.0)).starts_with("clip is 0"));
        assert!(message(|c| c.target_kl = Some(-1.0)).starts_with("target_kl is -1"));
        assert!(message(|c| c.lstm_units = Some(0)).starts_with("lstm_units is 0"));
        let many = |c: &mut PpoConfig| (c.lstm_units, c.minibatches) = (Some(8), Minibatches::Count(5));
        assert!(message(many).starts_with("minibatches is 5 (count), but with lstm_units"));
        assert!(message(|c| c.reward_clip = 0.0).starts_with("reward_clip is 0"));
        assert!(message(|c| c.rho_clip = f32::NAN).starts_with("rho_clip is NaN"));
        assert!(message(|c| c.hidden = vec![64, 0]).starts_with("hidden is [64, 0]"));
        assert!(message(|c| c.learner_threads = 3).starts_with("learner_threads is 3"));
        assert!(message(|c| c.total_steps = 0).starts_with("total_steps is 0"));
        assert!(message(|c| c.entropy_coef = -0.1).starts_with("entropy_coef is -0.1"));
    }

    #[test]
    fn survives_json_and_rejects_unknown_fields() {
        let config = PpoConfig::cartpole();
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<PpoConfig>(&json).unwrap(), config);
        let partial: PpoConfig = serde_json::from_str(r#"{"seed": 3}"#).unwrap();
        assert_eq!(partial, PpoConfig { seed: 3, ..PpoConfig::cleanrl() });
        assert!(serde_json::from_str::<PpoConfig>(r#"{"sed": 3}"#).is_err());
    }

    #[test]
    fn minibatches_cover_the_batch() {
        assert_eq!(Minibatches::Count(4).rows(512), 128);
        assert_eq!(Minibatches::Count(3).rows(10), 4);
        assert_eq!(Minibatches::Rows(64).rows(512), 64);
    }
}
