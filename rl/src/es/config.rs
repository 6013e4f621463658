//! The settings of a run.

use serde::{Deserialize, Serialize};

use super::{EsError, PolicySpec};
use crate::env::Space;
use crate::nn::Activation;

/// All settings of evolution strategies. Unnamed fields of a deserialised one are those of [`EsConfig::openai`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EsConfig {
    /// Seed of everything: noise, parameters, environments.
    pub seed: u64,
    /// Environment steps of the whole run; it ends with the round that exceeds them.
    pub total_steps: u64,
    /// Pairs of a round: directions, each tried on either side of the parameters.
    pub pairs: u32,
    /// Pairs that an evaluator tries in one call, in as many environments beside each other. Episodes of one call wait
    /// for the longest of them.
    pub pairs_per_call: u32,
    /// Episodes of each side of a pair.
    pub episodes: u32,
    /// Steps after which an episode is cut short; `None` leaves that to the environment.
    pub episode_steps_max: Option<u32>,
    /// Standard deviation of the perturbations.
    pub sigma: f32,
    /// Adam's step size.
    pub learning_rate: f32,
    /// Weight of the parameters themselves in the gradient, which pulls them towards 0.
    pub weight_decay: f32,
    /// Numbers in the noise table, 4 bytes each.
    pub noise_len: usize,
    /// Widths of the hidden layers; none for a linear policy.
    pub hidden: Vec<usize>,
    /// Nonlinearity of the hidden layers.
    pub activation: Activation,
    /// Shift and scale observations by the mean and deviation of all that were observed in earlier rounds.
    pub normalize_obs: bool,
    /// Bound of normalised observations on either side.
    pub obs_clip: f32,
    /// Share of the pairs whose observations are counted, in [0, 1].
    pub observed_share: f32,
    /// Standard deviation of the noise that continuous actions get while pairs are tried; 0 for none.
    pub action_noise: f32,
    /// Share of a round's calls that must be in before those that are late are cut off, in (0, 1]. At 1 all are waited
    /// for, and a run is reproducible.
    pub enough: f32,
    /// How long a round waits for its calls at the most; `None` for as long as it takes.
    pub patience_ms: Option<u64>,
    /// Rounds between two evaluations of the policy without perturbation; 0 for none.
    pub eval_every: u64,
    /// Episodes of an evaluation.
    pub eval_episodes: u32,
}

impl Default for EsConfig {
    fn default() -> Self {
        Self::openai()
    }
}

impl EsConfig {
    /// The network for these spaces.
    pub fn policy_spec(&self, observation: &Space, action: &Space) -> PolicySpec {
        PolicySpec::for_spaces(observation, action, &self.hidden, self.activation)
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`EsError::Config`] for the first that can't work.
    pub fn validate(&self) -> Result<(), EsError> {
        self.validate_sizes()?;
        self.validate_learning()?;
        self.validate_observations()?;
        self.validate_waiting()
    }

    /// An error unless the noise table holds a direction of `parameters` numbers.
    pub(super) fn validate_noise(&self, parameters: usize) -> Result<(), EsError> {
        let advice = ("it is shorter than one direction", "make it many times as long as the policy has parameters");
        check(self.noise_len >= parameters, "noise_len", self.noise_len, advice)
    }

    fn validate_sizes(&self) -> Result<(), EsError> {
        let sizes = [
            ("pairs", self.pairs, "a gradient needs directions", "set it to 1 or more; 16 to 5000 are usual"),
            ("pairs_per_call", self.pairs_per_call, "a call would try nothing", "set it to 1 or more; 16 is usual"),
            ("episodes", self.episodes, "a perturbation is judged by its episodes", "set it to 1 or more"),
        ];
        for (field, value, why, remedy) in sizes {
            check(value > 0, field, value, (why, remedy))?;
        }
        check(
            self.total_steps > 0,
            "total_steps",
            self.total_steps,
            ("nothing would be tried", "set it to 1 or more"),
        )?;
        let advice = ("an episode needs steps", "set it to 1 or more, or leave it out");
        check(self.episode_steps_max != Some(0), "episode_steps_max", 0, advice)?;
        let widths = self.hidden.iter().all(|width| *width > 0);
        check(widths, "hidden", format!("{:?}", self.hidden), ("a layer needs units", "leave out layers of width 0"))?;
        let is_evaluated = self.eval_every == 0 || self.eval_episodes > 0;
        check(
            is_evaluated,
            "eval_episodes",
            self.eval_episodes,
            ("an evaluation needs episodes", "set it to 1 or more"),
        )
    }

    fn validate_learning(&self) -> Result<(), EsError> {
        let positive = |value: f32| value.is_finite() && value > 0.0;
        let advice = ("perturbations would not differ", "set it above 0; 0.02 to 0.5 are usual");
        check(positive(self.sigma), "sigma", self.sigma, advice)?;
        let advice = ("nothing would be learned", "set it above 0; 0.01 to 0.1 are usual");
        check(positive(self.learning_rate), "learning_rate", self.learning_rate, advice)?;
        let weights = [("weight_decay", self.weight_decay), ("action_noise", self.action_noise)];
        for (field, value) in weights {
            let advice = ("it scales what is added", "set it to 0 or above");
            check(value.is_finite() && value >= 0.0, field, value, advice)?;
        }
        Ok(())
    }

    fn validate_observations(&self) -> Result<(), EsError> {
        let advice = ("observations would all be the same", "set it above 0; 5 is usual");
        check(self.obs_clip > 0.0, "obs_clip", self.obs_clip, advice)?;
        let advice = ("it is a share of the pairs", "set it between 0 and 1; 0.01 to 1 are usual");
        check((0.0..=1.0).contains(&self.observed_share), "observed_share", self.observed_share, advice)
    }

    fn validate_waiting(&self) -> Result<(), EsError> {
        let advice = ("it is a share of the calls", "set it above 0 and at most 1; 0.9 to 1 are usual");
        check(self.enough > 0.0 && self.enough <= 1.0, "enough", self.enough, advice)?;
        check(
            self.patience_ms != Some(0),
            "patience_ms",
            0,
            ("no call is in at once", "set it above 0, or leave it out"),
        )
    }
}

/// An error about `field` unless `fits`.
fn check(
    fits: bool,
    field: &'static str,
    value: impl ToString,
    (why, remedy): (&'static str, &'static str),
) -> Result<(), EsError> {
    if fits { Ok(()) } else { Err(EsError::Config { field, value: value.to_string(), why, remedy }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(change: impl FnOnce(&mut EsConfig)) -> String {
        let mut config = EsConfig::openai();
        change(&mut config);
        config.validate().expect_err("the change makes it unsound").to_string()
    }

    #[test]
    fn presets_are_sound() {
        for config in [EsConfig::openai(), EsConfig::cartpole(), EsConfig::pendulum()] {
            config.validate().unwrap();
        }
    }

    #[test]
    fn unsound_settings_are_named_with_reason_and_remedy() {
        assert_eq!(
            message(|c| c.sigma = 0.0),
            "sigma is 0, but perturbations would not differ: set it above 0; 0.02 to 0.5 are usual"
        );
        assert!(message(|c| c.pairs = 0).starts_with("pairs is 0"));
        assert!(message(|c| c.pairs_per_call = 0).starts_with("pairs_per_call is 0"));
        assert!(message(|c| c.episodes = 0).starts_with("episodes is 0"));
        assert!(message(|c| c.total_steps = 0).starts_with("total_steps is 0"));
        assert!(message(|c| c.episode_steps_max = Some(0)).starts_with("episode_steps_max is 0"));
        assert!(message(|c| c.learning_rate = f32::NAN).starts_with("learning_rate is NaN"));
        assert!(message(|c| c.weight_decay = -1.0).starts_with("weight_decay is -1"));
        assert!(message(|c| c.action_noise = f32::INFINITY).starts_with("action_noise is inf"));
        assert!(message(|c| c.hidden = vec![64, 0]).starts_with("hidden is [64, 0]"));
        assert!(message(|c| c.obs_clip = 0.0).starts_with("obs_clip is 0"));
        assert!(message(|c| c.observed_share = 1.1).starts_with("observed_share is 1.1"));
        assert!(message(|c| c.enough = 0.0).starts_with("enough is 0"));
        assert!(message(|c| c.enough = f32::NAN).starts_with("enough is NaN"));
        assert!(message(|c| c.patience_ms = Some(0)).starts_with("patience_ms is 0"));
        let unevaluated = message(|c| (c.eval_every, c.eval_episodes) = (1, 0));
        assert!(unevaluated.starts_with("eval_episodes is 0"));
        let short = EsConfig { noise_len: 9, ..EsConfig::openai() }.validate_noise(10).unwrap_err();
        assert!(short.to_string().starts_with("noise_len is 9"), "{short}");
    }

    #[test]
    fn survives_json_and_rejects_unknown_fields() {
        let config = EsConfig::cartpole();
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<EsConfig>(&json).unwrap(), config);
        let partial: EsConfig = serde_json::from_str(r#"{"seed": 3}"#).unwrap();
        assert_eq!(partial, EsConfig { seed: 3, ..EsConfig::openai() });
        assert!(serde_json::from_str::<EsConfig>(r#"{"sed": 3}"#).is_err());
    }
}
