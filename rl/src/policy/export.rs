//! A policy as other tools take it.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::{PolicyError, TrainedPolicy};
use crate::es::PolicyNet;
use crate::nn::{ActionHead, Activation, ActorCritic, NamedTensor, StdSource};

/// Where an exported policy lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The parameters.
    pub weights: PathBuf,
    /// What the networks are like, as JSON.
    pub architecture: PathBuf,
}

/// Writes the policy to `folder`: `policy.safetensors` with its parameters alone, and `policy.json`, which says what the
/// networks are like.
///
/// Names and shapes are those that `torch.nn.Sequential` gives layers and nonlinearities in turn: `policy.0.weight`
/// (`[outputs, inputs]`), `policy.0.bias`, `policy.2.weight`, …, and likewise `value.*` of PPO; `log_std` where actions are
/// real numbers; `obs_mean` and `obs_scale` where observations are to be shifted, scaled, and clipped before.
///
/// # Errors
/// [`PolicyError::Write`] if the system refuses; [`PolicyError::Es`] for a checkpoint that is unsound.
pub fn export(policy: &TrainedPolicy, folder: &Path) -> Result<Exported, PolicyError> {
    let written = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).map_err(|source| PolicyError::Write { path: path.to_path_buf(), source })
    };
    if let TrainedPolicy::Ppo(checkpoint) = policy
        && checkpoint.model_spec().lstm_units.is_some()
    {
        return Err(PolicyError::Memory { what: "exported" });
    }
    fs::create_dir_all(folder).map_err(|source| PolicyError::Write { path: folder.to_path_buf(), source })?;
    let exported = Exported { weights: folder.join("policy.safetensors"), architecture: folder.join("policy.json") };
    let (tensors, architecture) = match policy {
        TrainedPolicy::Ppo(checkpoint) => {
            let model = ActorCritic::new(checkpoint.model_spec().clone());
            let mut networks = json!({
                "policy": layers(&tensors_of(&model.tensors(), "policy."), model.spec().activation),
                "value": layers(&tensors_of(&model.tensors(), "value."), model.spec().activation),
            });
            let mut tensors = plain(&model.tensors(), checkpoint.parameters());
            if let Some(scaling) = checkpoint.snapshot().scaling {
                tensors.push(Plain::vector("obs_mean", &scaling.mean));
                tensors.push(Plain::vector("obs_scale", &scaling.scale));
                networks["observations"] = scaled_observations(scaling.clip);
            }
            (tensors, described(policy, "ppo", model.head(), networks))
        }
        TrainedPolicy::Es(checkpoint) => {
            let net = PolicyNet::new(checkpoint.policy_spec().clone());
            let mut networks = json!({ "policy": layers(&net.tensors(), net.spec().activation) });
            let mut tensors = plain(&net.tensors(), checkpoint.parameters());
            let scaling = checkpoint.policy()?.obs_scaling;
            if !scaling.is_empty() {
                let (mean, scale) = scaling.split_at(scaling.len() / 2);
                tensors.push(Plain::vector("obs_mean", mean));
                tensors.push(Plain::vector("obs_scale", scale));
                networks["observations"] = scaled_observations(checkpoint.config().obs_clip);
            }
            (tensors, described(policy, "es", &net.spec().head, networks))
        }
    };
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.view()));
    let bytes = safetensors::serialize(views, None).expect("names are unique and lengths those of the shapes");
    written(&exported.weights, &bytes)?;
    let text = serde_json::to_string_pretty(&architecture).expect("plain data has a JSON form");
    written(&exported.architecture, format!("{text}\n").as_bytes())?;
    Ok(exported)
}

/// What is done to observations first.
fn scaled_observations(clip: f32) -> Value {
    json!({ "shift_and_scale": "(observation - obs_mean) * obs_scale", "clip": clip })
}

/// A tensor under its plain name.
struct Plain {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Plain {
    fn vector(name: &str, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name: name.to_owned(), shape: vec![values.len()], bytes }
    }

    fn view(&self) -> TensorView<'_> {
        TensorView::new(Dtype::F32, self.shape.clone(), &self.bytes).expect("4 bytes an element of the shape")
    }
}

/// The tensors with weights transposed to `[outputs, inputs]`, and layers counted with the nonlinearities between them.
fn plain(layout: &[NamedTensor], parameters: &[f32]) -> Vec<Plain> {
    let plain = layout.iter().map(|NamedTensor { name, shape, range }| {
        let values = &parameters[range.clone()];
        match shape[..] {
            [inputs, outputs] => {
                let transposed =
                    (0..outputs).flat_map(|out| (0..inputs).map(move |input| values[input * outputs + out]));
                let values: Vec<f32> = transposed.collect();
                Plain { shape: vec![outputs, inputs], ..Plain::vector(&sequential(name), &values) }
            }
            _ => Plain::vector(&sequential(name), values),
        }
    });
    plain.collect()
}

/// `policy.1.weight` as `policy.2.weight`: the place in a sequence in which nonlinearities count, too.
fn sequential(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        [network, layer, part] => match layer.parse::<usize>() {
            Ok(layer) => format!("{network}.{}.{part}", 2 * layer),
            Err(_) => name.to_owned(),
        },
        _ => name.to_owned(),
    }
}

fn tensors_of(layout: &[NamedTensor], prefix: &str) -> Vec<NamedTensor> {
    layout.iter().filter(|tensor| tensor.name.starts_with(prefix)).cloned().collect()
}

/// The modules of a network in their order.
fn layers(layout: &[NamedTensor], activation: Activation) -> Value {
    let weights: Vec<_> = layout.iter().filter(|tensor| tensor.shape.len() == 2).collect();
    let mut modules = Vec::new();
    for (at, tensor) in weights.iter().enumerate() {
        modules.push(json!({ "linear": { "inputs": tensor.shape[0], "outputs": tensor.shape[1] } }));
        if at + 1 < weights.len() {
            modules.push(json!(activation));
        }
    }
    Value::Array(modules)
}

fn described(policy: &TrainedPolicy, algorithm: &str, head: &ActionHead, mut description: Value) -> Value {
    description["format"] = json!("rayline-policy");
    description["version"] = json!(1);
    description["algorithm"] = json!(algorithm);
    description["env"] = json!(policy.env());
    description["action"] = match head {
        ActionHead::Categorical { choices } => json!({
            "kind": "categorical", "choices": choices,
            "outputs": "logits, those of each component after the other; act by the greatest",
        }),
        ActionHead::Gaussian { dims } => json!({
            "kind": "gaussian", "dims": dims, "outputs": "means; act by them, clipped to the action space",
        }),
        ActionHead::Diagonal(head) => {
            let means = match head.std {
                StdSource::Parameter => "means",
                StdSource::State => "means, and then the log standard deviations",
            };
            match &head.bounds {
                None => json!({
                    "kind": "gaussian", "dims": head.dims,
                    "outputs": format!("{means}; act by the means, clipped to the action space"),
                }),
                Some(bounds) => json!({
                    "kind": "squashed gaussian", "dims": head.dims, "low": bounds.low, "high": bounds.high,
                    "outputs": format!("{means}; act by low + (high - low) * (tanh(mean) + 1) / 2"),
                }),
            }
        }
    };
    description
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_transposed_and_layers_counted_as_in_a_sequence() {
        let layout = [
            NamedTensor { name: "policy.1.weight".into(), shape: vec![2, 3], range: 0..6 },
            NamedTensor { name: "log_std".into(), shape: vec![1], range: 6..7 },
        ];
        let plain = plain(&layout, &[0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 7.0]);
        assert_eq!((plain[0].name.as_str(), &plain[0].shape[..]), ("policy.2.weight", &[3, 2][..]));
        assert_eq!(plain[0].bytes, Plain::vector("", &[0.0, 10.0, 1.0, 11.0, 2.0, 12.0]).bytes);
        assert_eq!((plain[1].name.as_str(), plain[1].bytes.len()), ("log_std", 4));
    }
}
