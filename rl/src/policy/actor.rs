//! A policy in use.

use crate::es::{EsPolicy, PolicyNet};
use crate::nn::{ActionHead, ActionRows, ActorCritic, PolicyOutputs, Workspace};
use crate::ppo::PolicySnapshot;

/// Chooses the most probable action in each state; keeps the memory for it.
pub struct PolicyActor {
    network: Network,
    actions: ActionRows,
}

enum Network {
    Ppo { model: ActorCritic, policy: PolicySnapshot, obs: Vec<f32>, workspace: Workspace },
    Es { net: PolicyNet, policy: EsPolicy, obs_clip: f32, obs: Vec<f32>, scratch: [Vec<f32>; 2], outputs: Vec<f32> },
}

impl PolicyActor {
    /// The policy that PPO has trained, which has no memory.
    pub(super) fn ppo(model: ActorCritic, policy: PolicySnapshot) -> Self {
        let actions = model.head().actions(0);
        let (obs, workspace) = (Vec::new(), Workspace::default());
        Self { network: Network::Ppo { model, policy, obs, workspace }, actions }
    }

    /// The policy that evolution strategies have trained.
    pub(super) fn es(net: PolicyNet, policy: EsPolicy, obs_clip: f32) -> Self {
        let actions = net.spec().head.actions(0);
        let (obs, scratch, outputs) = (Vec::new(), Default::default(), Vec::new());
        Self { network: Network::Es { net, policy, obs_clip, obs, scratch, outputs }, actions }
    }

    /// Actions for each row of `obs` (`[rows, obs_dim]`), `[rows, width]`, all choices being allowed.
    ///
    /// # Panics
    /// If `obs` is no whole number of rows.
    pub fn act(&mut self, obs: &[f32]) -> &ActionRows {
        let (obs_dim, head) = (self.obs_dim(), self.head());
        assert_eq!(obs.len() % obs_dim, 0, "rows of {obs_dim} numbers");
        let rows = obs.len() / obs_dim;
        if self.actions.len() != rows * head.width() {
            self.actions = head.actions(rows);
        }
        let numbers = self.actions.len();
        let actions = self.actions.slice_mut(0..numbers);
        match &mut self.network {
            Network::Ppo { model, policy, obs: scaled, workspace } => {
                scaled.clear();
                scaled.extend_from_slice(obs);
                if let Some(scaling) = &policy.scaling {
                    scaling.apply(scaled);
                }
                model.act_greedily(&policy.parameters, (scaled, None), workspace, actions);
            }
            Network::Es { net, policy, obs_clip, obs: scaled, scratch, outputs } => {
                scaled.clear();
                scaled.extend_from_slice(obs);
                scale(scaled, &policy.obs_scaling, obs_dim, *obs_clip);
                outputs.resize(rows * net.spec().head.outputs(), 0.0);
                net.forward_rows((policy.parameters.data(), 0), (scaled, &vec![true; rows]), scratch, outputs);
                let outputs = PolicyOutputs { values: outputs, log_std: &[], mask: None };
                net.spec().head.mode(outputs, actions);
            }
        }
        &self.actions
    }

    /// Numbers of an observation.
    pub fn obs_dim(&self) -> usize {
        match &self.network {
            Network::Ppo { model, .. } => model.spec().obs_dim,
            Network::Es { net, .. } => net.spec().obs_dim,
        }
    }

    /// What actions are like.
    pub fn head(&self) -> &ActionHead {
        match &self.network {
            Network::Ppo { model, .. } => model.head(),
            Network::Es { net, .. } => &net.spec().head,
        }
    }
}

/// Shifts and scales observations as evaluators do; `scaling` is `[2, obs_dim]`, or empty for none.
fn scale(obs: &mut [f32], scaling: &[f32], obs_dim: usize, clip: f32) {
    if scaling.is_empty() {
        return;
    }
    let (means, scales) = scaling.split_at(obs_dim);
    for row in obs.chunks_exact_mut(obs_dim) {
        for (x, (mean, scale)) in row.iter_mut().zip(means.iter().zip(scales)) {
            *x = ((*x - mean) * scale).clamp(-clip, clip);
        }
    }
}
