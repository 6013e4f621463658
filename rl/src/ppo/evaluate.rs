//! Measures a policy without exploration.

use super::mask::Mask;
use super::memory::Memory;
use super::{EpisodeEnd, ObsScaling, PolicySnapshot, PpoError};
use crate::env::{StepBuf, VecEnv};
use crate::nn::{ActorCritic, Workspace};

/// Plays at least `episodes` episodes with the most probable action in each state, and returns those that ended, in
/// order of time. Each environment contributes the same number, so that short episodes are not overrepresented.
/// Observations are taken as they are; see [`evaluate_snapshot`] where they are normalised.
///
/// # Errors
/// [`PpoError::Env`] if an environment fails.
pub fn evaluate(
    model: &ActorCritic,
    parameters: &[f32],
    envs: &mut dyn VecEnv,
    episodes: usize,
    seed: u64,
) -> Result<Vec<EpisodeEnd>, PpoError> {
    play(model, (parameters, None), envs, (episodes, seed), |_| {})
}

/// As [`evaluate`], with the scaling of observations that the snapshot bears, which stays as it is.
///
/// # Errors
/// [`PpoError::Env`] if an environment fails.
pub fn evaluate_snapshot(
    model: &ActorCritic,
    policy: &PolicySnapshot,
    envs: &mut dyn VecEnv,
    episodes: usize,
    seed: u64,
) -> Result<Vec<EpisodeEnd>, PpoError> {
    play_watched(model, policy, envs, (episodes, seed), |_| {})
}

/// As [`evaluate_snapshot`]; `watch` sees the observations (`[envs, obs_dim]`) before each step, as they are.
pub(crate) fn play_watched(
    model: &ActorCritic,
    policy: &PolicySnapshot,
    envs: &mut dyn VecEnv,
    plan: (usize, u64),
    watch: impl FnMut(&[f32]),
) -> Result<Vec<EpisodeEnd>, PpoError> {
    play(model, (&policy.parameters, policy.scaling.as_deref()), envs, plan, watch)
}

fn play(
    model: &ActorCritic,
    (parameters, scaling): (&[f32], Option<&ObsScaling>),
    envs: &mut dyn VecEnv,
    (episodes, seed): (usize, u64),
    mut watch: impl FnMut(&[f32]),
) -> Result<Vec<EpisodeEnd>, PpoError> {
    let each = episodes.div_ceil(envs.env_count());
    let (mut out, mut workspace) = (StepBuf::new(envs), Workspace::default());
    let mut actions = model.head().actions(envs.env_count());
    let numbers = actions.len();
    let mut memory = Memory::new(model, envs.env_count());
    let mut mask = Mask::new(model.head(), envs);
    let (mut played, mut ends) = (vec![0; envs.env_count()], Vec::new());
    envs.reset(seed, &mut out.obs)?;
    while played.iter().any(|played| *played < each) {
        mask.see(envs)?;
        watch(&out.obs);
        if let Some(scaling) = scaling {
            scaling.apply(&mut out.obs);
        }
        let features = match &mut memory {
            Some(memory) => {
                memory.begin();
                memory.step(model, parameters, &out.obs)
            }
            None => &out.obs,
        };
        let seen = (features, mask.flags());
        model.act_greedily(parameters, seen, &mut workspace, actions.slice_mut(0..numbers));
        envs.step(actions.as_actions(), out.out())?;
        if let Some(memory) = &mut memory {
            memory.note_ends(&out.terminated, &out.truncated);
        }
        for episode in out.finished.iter().filter(|episode| played[episode.env] < each) {
            ends.push(EpisodeEnd { total_reward: episode.total_reward, length: episode.length });
        }
        out.finished.iter().for_each(|episode| played[episode.env] += 1);
    }
    Ok(ends)
}
