//! A policy from a checkpoint.

use std::path::Path;

use super::{PolicyActor, PolicyError};
use crate::env::{StepBuf, VecEnv};
use crate::es::{EsCheckpoint, PolicyNet};
use crate::misfit::misfit;
use crate::nn::{ActionHead, ActorCritic};
use crate::ppo::{Checkpoint, EpisodeEnd, play_watched};
use crate::state_file;

/// The checkpoint of a run, of whichever algorithm.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TrainedPolicy {
    /// PPO's.
    Ppo(Box<Checkpoint>),
    /// That of evolution strategies.
    Es(Box<EsCheckpoint>),
}

impl TrainedPolicy {
    /// Reads the checkpoint at `path`.
    ///
    /// # Errors
    /// [`PolicyError::Checkpoint`], [`PolicyError::Ppo`] or [`PolicyError::Es`] if it can't be read, is none, or is
    /// damaged.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        match state_file::format(path)?.as_deref() {
            Some(state_file::ES) => Ok(Self::Es(Box::new(EsCheckpoint::load(path)?))),
            _ => Ok(Self::Ppo(Box::new(Checkpoint::load(path)?))),
        }
    }

    /// The environment that it was trained for, where the program that trained it has noted that under `run.env`, as the
    /// command does.
    pub fn env(&self) -> Option<&str> {
        self.notes()["run"]["env"].as_str()
    }

    /// What the program that trained it has noted.
    pub fn notes(&self) -> &serde_json::Value {
        match self {
            Self::Ppo(checkpoint) => checkpoint.notes(),
            Self::Es(checkpoint) => checkpoint.notes(),
        }
    }

    /// The policy, to be played.
    ///
    /// # Errors
    /// [`PolicyError::Es`] if the checkpoint's settings were changed to ones that can't work; [`PolicyError::Memory`].
    pub fn actor(&self) -> Result<PolicyActor, PolicyError> {
        Ok(match self {
            Self::Ppo(checkpoint) if checkpoint.model_spec().lstm_units.is_some() => {
                return Err(PolicyError::Memory { what: "asked row by row" });
            }
            Self::Ppo(checkpoint) => {
                PolicyActor::ppo(ActorCritic::new(checkpoint.model_spec().clone()), checkpoint.snapshot())
            }
            Self::Es(checkpoint) => {
                let net = PolicyNet::new(checkpoint.policy_spec().clone());
                PolicyActor::es(net, checkpoint.policy()?, checkpoint.config().obs_clip)
            }
        })
    }

    /// Plays at least `episodes` episodes in `envs` without exploration, and returns those that ended, in the order of
    /// time. Each environment contributes the same number, so that short episodes are not overrepresented. `watch` sees
    /// the observations (`[envs, obs_dim]`) before each step, as long as episodes that count are played.
    ///
    /// The same seed and number of environments give the same episodes.
    ///
    /// # Errors
    /// [`PolicyError::Spaces`] if the policy isn't for such environments; [`PolicyError::Env`] if one fails.
    pub fn play(
        &self,
        envs: &mut dyn VecEnv,
        episodes: usize,
        seed: u64,
        mut watch: impl FnMut(&[f32]),
    ) -> Result<Vec<EpisodeEnd>, PolicyError> {
        if let Self::Ppo(checkpoint) = self {
            let model = ActorCritic::new(checkpoint.model_spec().clone());
            check_spaces((model.spec().obs_dim, model.head()), envs)?;
            return Ok(play_watched(&model, &checkpoint.snapshot(), envs, (episodes, seed), watch)?);
        }
        let mut actor = self.actor()?;
        check_spaces((actor.obs_dim(), actor.head()), envs)?;
        let each = episodes.div_ceil(envs.env_count());
        let (mut played, mut ends, mut out) = (vec![0; envs.env_count()], Vec::new(), StepBuf::new(envs));
        envs.reset(seed, &mut out.obs)?;
        while played.iter().any(|played| *played < each) {
            watch(&out.obs);
            let actions = actor.act(&out.obs);
            envs.step(actions.as_actions(), out.out())?;
            for episode in out.finished.iter().filter(|episode| played[episode.env] < each) {
                ends.push(EpisodeEnd { total_reward: episode.total_reward, length: episode.length });
            }
            out.finished.iter().for_each(|episode| played[episode.env] += 1);
        }
        Ok(ends)
    }
}

/// A seed for evaluations of a run with `seed`, other than those that it trains with.
pub fn evaluation_seed(seed: u64) -> u64 {
    seed ^ 0x5EED_0F0E_7A10_A7E5
}

fn check_spaces((obs_dim, head): (usize, &ActionHead), envs: &dyn VecEnv) -> Result<(), PolicyError> {
    match misfit(obs_dim, head, envs.observation_space(), envs.action_space()) {
        Some((what, expected, found)) => Err(PolicyError::Spaces { what, expected, found }),
        None => Ok(()),
    }
}
