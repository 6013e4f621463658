//! Settings that are known to work.

use super::EsConfig;
use crate::nn::Activation;

impl EsConfig {
    /// Names of the presets, each with the environment that it is tuned for; the paper's is for none of ours.
    pub const PRESETS: [(&'static str, Option<&'static str>); 3] =
        [("openai", None), ("cartpole", Some("CartPole-v1")), ("pendulum", Some("Pendulum-v1"))];

    /// The preset of this name, one of [`EsConfig::PRESETS`].
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "openai" => Some(Self::openai()),
            "cartpole" => Some(Self::cartpole()),
            "pendulum" => Some(Self::pendulum()),
            _ => None,
        }
    }

    /// The preset that is tuned for `env`; the paper's where none is.
    pub fn for_env(env: &str) -> Self {
        let tuned = Self::PRESETS.into_iter().find(|(_, tuned_for)| *tuned_for == Some(env));
        tuned.and_then(|(name, _)| Self::preset(name)).unwrap_or_else(Self::openai)
    }

    /// Those of the paper's program for `Humanoid`: 10,000 episodes a round, two layers of 256. The noise table has 32 M
    /// numbers (128 MiB) instead of 250 M.
    ///
    /// Source: Salimans et al. 2017; openai/evolution-strategies-starter, `configurations/humanoid.json`.
    pub fn openai() -> Self {
        Self {
            seed: 1,
            total_steps: 1_000_000_000,
            pairs: 5_000,
            pairs_per_call: 16,
            episodes: 1,
            episode_steps_max: None,
            sigma: 0.02,
            learning_rate: 0.01,
            weight_decay: 0.005,
            noise_len: 1 << 25,
            hidden: vec![256, 256],
            activation: Activation::Tanh,
            normalize_obs: true,
            obs_clip: 5.0,
            observed_share: 0.01,
            action_noise: 0.01,
            enough: 1.0,
            patience_ms: None,
            eval_every: 1,
            eval_episodes: 30,
        }
    }

    /// `CartPole-v1` in the least wall time, with a linear policy of 10 parameters: a mean return of 500 over 20
    /// episodes after 128 k steps (52 k to 393 k), for all of 50 seeds.
    ///
    /// Found by trying 8 settings on seeds 1 to 18; the figures are from seeds 101 to 150. With half the step size it is
    /// 177 k steps (44 k to 383 k), for all of the same seeds.
    pub fn cartpole() -> Self {
        Self {
            total_steps: 5_000_000,
            pairs: 16,
            pairs_per_call: 8,
            sigma: 0.5,
            learning_rate: 0.2,
            weight_decay: 0.0,
            noise_len: 1 << 16,
            hidden: vec![],
            normalize_obs: false,
            action_noise: 0.0,
            eval_episodes: 20,
            ..Self::openai()
        }
    }

    /// `Pendulum-v1`: a mean return of -250 over 30 episodes after 0.6 M to 1.5 M steps for 5 of 10 seeds (101 to 110);
    /// the others stay between -700 and -830, from some -1200 at the start. Found by trying 12 settings on seeds 3 to 6;
    /// none was robust.
    pub fn pendulum() -> Self {
        Self {
            total_steps: 2_000_000,
            pairs: 16,
            pairs_per_call: 8,
            sigma: 0.1,
            learning_rate: 0.1,
            weight_decay: 0.0,
            noise_len: 1 << 20,
            hidden: vec![16],
            observed_share: 0.25,
            eval_every: 5,
            ..Self::openai()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_name_and_environment() {
        for (name, env) in EsConfig::PRESETS {
            let preset = EsConfig::preset(name).expect("a preset of the list");
            preset.validate().expect("a preset is sound");
            assert_eq!(EsConfig::for_env(env.unwrap_or("Humanoid-v5")), preset, "{name}");
        }
        assert_eq!(EsConfig::preset("other"), None);
    }
}
