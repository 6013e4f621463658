//! The task that a trial is.

use rayline::task;
use serde::{Deserialize, Serialize};

use crate::env::make_vec;
use crate::misfit::unfit_observations;
use crate::policy::evaluation_seed;
use crate::ppo::{Checkpoint, Collector, CollectorSeed, PpoConfig, PpoError, PpoLearner, evaluate_snapshot};

/// Environments at the most in which a policy is evaluated.
const ENVS_MAX: usize = 32;

/// What a trial is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Order {
    pub env: String,
    /// A policy to go on with, and the settings to do it by.
    pub start: Start,
    /// Environment steps after which it stops, those before it went on included.
    pub until: u64,
    /// Episodes of the evaluation.
    pub episodes: usize,
}

/// Where a trial begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Start {
    /// With a new policy.
    New(PpoConfig),
    /// Where another has stopped.
    From(Box<Checkpoint>),
}

/// What a trial leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Trained {
    pub checkpoint: Checkpoint,
    pub score: f64,
}

/// Trains in one thread, and plays the policy without exploration. A function of its argument, so that a trial that was
/// lost with its worker is the same again.
#[task(cpu = 1, retries = 2)]
pub(super) fn train(order: Order) -> Result<Trained, PpoError> {
    let Order { env, start, until, episodes } = order;
    let config = match &start {
        Start::New(config) => config.clone(),
        Start::From(checkpoint) => checkpoint.config().clone(),
    };
    let envs = make_vec(&env, config.n_envs)?;
    if let Some(misfit) = unfit_observations(envs.observation_space()) {
        return Err(PpoError::misfit(misfit));
    }
    let spec = config.model_spec(envs.observation_space(), envs.action_space());
    let mut learner = match start {
        Start::New(config) => PpoLearner::new(config, spec.clone())?,
        Start::From(checkpoint) => PpoLearner::from_checkpoint(*checkpoint)?,
    };
    // Who goes on takes other random numbers than at the start.
    let seed = config.seed.wrapping_add(learner.updates().wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let seed = CollectorSeed { seed, index: 0, first_env: 0 };
    let mut collector = Collector::new(spec, envs, config.n_steps, seed)?;
    while learner.env_steps() < until {
        let batch = collector.collect(&learner.snapshot())?;
        learner.update(&[batch])?;
    }
    let score = score(&env, &learner, episodes)?;
    Ok(Trained { checkpoint: learner.checkpoint(), score })
}

/// The mean return of `episodes` episodes without exploration, the same ones for all trials.
fn score(env: &str, learner: &PpoLearner, episodes: usize) -> Result<f64, PpoError> {
    let mut envs = make_vec(env, episodes.min(ENVS_MAX))?;
    let ends = evaluate_snapshot(learner.model(), &learner.snapshot(), envs.as_mut(), episodes, evaluation_seed(0))?;
    let returns = ends.iter().map(|end| end.total_reward);
    Ok(returns.sum::<f64>() / ends.len() as f64)
}
