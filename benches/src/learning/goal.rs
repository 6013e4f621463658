//! What is to be reached, and who has published it.

use rayline_rl::es::EsConfig;
use rayline_rl::ppo::PpoConfig;

/// A return that others have published for an environment after so many steps.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The environment, by its id.
    pub env: &'static str,
    /// What is trained.
    pub settings: Settings,
    /// Environment steps of our runs.
    pub steps: u64,
    /// Environment steps of the published ones.
    pub published_steps: u64,
    /// The published return, and its deviation as published; 0 where none is.
    pub published: (f64, f64),
    /// Who has published it, for what.
    pub source: &'static str,
}

/// An algorithm with its preset.
#[derive(Clone, Copy, Debug)]
pub enum Settings {
    /// PPO.
    Ppo(fn() -> PpoConfig),
    /// Evolution strategies.
    Es(fn() -> EsConfig),
}

impl Goal {
    /// The least mean return that counts as reached: the published one less its deviation.
    pub fn bar(&self) -> f64 {
        self.published.0 - self.published.1
    }

    /// `ppo` or `es`.
    pub fn algorithm(&self) -> &'static str {
        match self.settings {
            Settings::Ppo(_) => "ppo",
            Settings::Es(_) => "es",
        }
    }
}

/// All goals. Returns of Stable-Baselines3 are one run's, played without exploration; those of CleanRL are means over
/// three seeds, with exploration.
pub const GOALS: &[Goal] = &[
    Goal {
        env: "CartPole-v1",
        settings: Settings::Ppo(PpoConfig::cartpole),
        steps: 100_000,
        published_steps: 100_000,
        published: (500.0, 0.0),
        source: "RL Baselines3 Zoo, PPO",
    },
    Goal {
        env: "CartPole-v1",
        settings: Settings::Ppo(PpoConfig::cleanrl),
        steps: 500_000,
        published_steps: 500_000,
        published: (490.04, 6.12),
        source: "CleanRL, PPO",
    },
    Goal {
        env: "Acrobot-v1",
        settings: Settings::Ppo(PpoConfig::acrobot),
        steps: 500_000,
        published_steps: 500_000,
        published: (-86.36, 1.32),
        source: "CleanRL, PPO",
    },
    Goal {
        env: "Acrobot-v1",
        settings: Settings::Ppo(PpoConfig::acrobot),
        steps: 1_000_000,
        published_steps: 1_000_000,
        published: (-73.506, 18.201),
        source: "RL Baselines3 Zoo, PPO",
    },
    Goal {
        env: "MountainCarContinuous-v0",
        settings: Settings::Ppo(PpoConfig::mountain_car_continuous),
        steps: 500_000,
        published_steps: 20_000,
        published: (88.343, 2.572),
        source: "RL Baselines3 Zoo, PPO",
    },
    Goal {
        env: "CartPole-v1",
        settings: Settings::Es(EsConfig::cartpole),
        steps: 500_000,
        published_steps: 50_000,
        published: (500.0, 0.0),
        source: "RL Baselines3 Zoo, ARS",
    },
    Goal {
        env: "Pendulum-v1",
        settings: Settings::Es(EsConfig::pendulum),
        steps: 2_000_000,
        published_steps: 2_000_000,
        published: (-212.54, 160.444),
        source: "RL Baselines3 Zoo, ARS",
    },
    Goal {
        env: "Pendulum-v1",
        settings: Settings::Ppo(PpoConfig::pendulum),
        steps: 100_000,
        published_steps: 100_000,
        published: (-172.225, 104.0),
        source: "RL Baselines3 Zoo, PPO",
    },
];
