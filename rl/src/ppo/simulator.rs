//! A collector as an actor: its environments are stepped where the actor lives, beside others.

use std::sync::{Mutex, PoisonError};

use rayline::{Actor, methods};

use super::{Collector, CollectorSeed, PolicySnapshot, PpoConfig, PpoError, RolloutBatch};
use crate::env::make_vec;

/// Some of a run's environments, stepped by an actor of the engine.
///
/// It holds no CPU of its own: each batch is a call that runs on the executor.
#[derive(Actor)]
pub struct Simulator {
    /// Never locked: a call by `&mut self` has it alone. The lock makes the environments shareable, which need only be
    /// movable.
    collector: Mutex<Collector>,
}

#[methods]
impl Simulator {
    /// `envs` environments called `env`, to be stepped as `config` says.
    ///
    /// # Errors
    /// [`PpoError::Env`] for an unknown environment; as [`Collector::new`].
    pub fn new(env: String, envs: usize, config: &PpoConfig, seed: CollectorSeed) -> Result<Self, PpoError> {
        let envs = make_vec(&env, envs)?;
        Ok(Self { collector: Mutex::new(Collector::from_config(config, envs, seed)?) })
    }

    /// The next steps of all its environments, with `policy`.
    ///
    /// # Errors
    /// As [`Collector::collect`].
    pub fn collect(&mut self, policy: &PolicySnapshot) -> Result<RolloutBatch, PpoError> {
        self.collector.get_mut().unwrap_or_else(PoisonError::into_inner).collect(policy)
    }
}
