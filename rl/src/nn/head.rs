//! What a policy network's outputs mean: the distribution over actions.

use serde::{Deserialize, Serialize};

use super::{ActionRows, ActionsMut, Random, categorical, gaussian};
use crate::env::{Actions, Space};

/// The distribution that a policy network's outputs parametrise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionHead {
    /// Independent categorical components (Huang et al. 2022, MultiDiscrete detail); the outputs are all logits in a
    /// row.
    Categorical {
        /// Number of choices of each component, `[components]`.
        choices: Vec<usize>,
    },
    /// Independent Gaussian dimensions; the outputs are the means.
    Gaussian {
        /// Number of dimensions.
        dims: usize,
    },
}

/// What a batch of actions is worth under a policy, and what its backward pass needs; reused from batch to batch.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Log-probability or log-density of each action, `[rows]`.
    pub log_probs: Vec<f32>,
    /// Entropy of each row's distribution in nats, `[rows]`.
    pub entropies: Vec<f32>,
    /// Log-probabilities of all choices, or standardised actions: `[rows, outputs]`.
    scratch: Vec<f32>,
    /// Probabilities of all choices, `[rows, outputs]`; unused by a Gaussian.
    probs: Vec<f32>,
}

impl ActionHead {
    /// The head for an action space.
    pub fn for_space(space: &Space) -> Self {
        match space.choices() {
            Some(choices) => Self::Categorical { choices: choices.into_iter().map(|n| n as usize).collect() },
            None => Self::Gaussian { dims: space.width() },
        }
    }

    /// Number of network outputs.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Categorical { choices } => choices.iter().sum(),
            Self::Gaussian { dims } => *dims,
        }
    }

    /// How many numbers write one action.
    pub fn width(&self) -> usize {
        match self {
            Self::Categorical { choices } => choices.len(),
            Self::Gaussian { dims } => *dims,
        }
    }

    /// How many log standard deviations are learned besides the network.
    pub fn log_std_count(&self) -> usize {
        match self {
            Self::Categorical { .. } => 0,
            Self::Gaussian { dims } => *dims,
        }
    }

    /// Zero actions for `rows` rows.
    pub fn actions(&self, rows: usize) -> ActionRows {
        match self {
            Self::Categorical { choices } => ActionRows::Discrete(vec![0; rows * choices.len()]),
            Self::Gaussian { dims } => ActionRows::Continuous(vec![0.0; rows * dims]),
        }
    }

    /// Draws an action for each row of `outputs` (`[rows, outputs]`) into `actions` (`[rows, width]`), and its
    /// log-probability into `log_probs` (`[rows]`).
    ///
    /// # Panics
    /// If `actions` are not of the head's kind.
    pub fn sample(
        &self,
        outputs: &[f32],
        log_std: &[f32],
        random: &mut Random,
        actions: ActionsMut<'_>,
        log_probs: &mut [f32],
    ) {
        match (self, actions) {
            (Self::Categorical { choices }, ActionsMut::Discrete(actions)) => {
                let rows = outputs.chunks_exact(self.outputs()).zip(actions.chunks_exact_mut(choices.len()));
                for ((logits, actions), log_prob) in rows.zip(log_probs) {
                    *log_prob = sample_row(choices, logits, random, actions);
                }
            }
            (Self::Gaussian { dims }, ActionsMut::Continuous(actions)) => {
                random.fill_normal(actions);
                let rows = outputs.chunks_exact(*dims).zip(actions.chunks_exact_mut(*dims));
                for ((mean, action), log_prob) in rows.zip(log_probs) {
                    *log_prob = gaussian::sample(mean, log_std, action);
                }
            }
            _ => panic!("actions are not of the kind of {self:?}"),
        }
    }

    /// Writes the most probable action of each row of `outputs` (`[rows, outputs]`) to `actions` (`[rows, width]`).
    ///
    /// # Panics
    /// If `actions` are not of the head's kind.
    pub fn mode(&self, outputs: &[f32], actions: ActionsMut<'_>) {
        match (self, actions) {
            (Self::Categorical { choices }, ActionsMut::Discrete(actions)) => {
                let rows = outputs.chunks_exact(self.outputs()).zip(actions.chunks_exact_mut(choices.len()));
                for (logits, actions) in rows {
                    let parts = components(choices, logits);
                    parts.zip(actions).for_each(|(logits, action)| *action = categorical::mode(logits));
                }
            }
            (Self::Gaussian { .. }, ActionsMut::Continuous(actions)) => actions.copy_from_slice(outputs),
            _ => panic!("actions are not of the kind of {self:?}"),
        }
    }

    /// Log-probabilities and entropies of `actions` (`[rows, width]`) under `outputs` (`[rows, outputs]`).
    ///
    /// # Panics
    /// If `actions` are not of the head's kind.
    pub fn evaluate(&self, outputs: &[f32], log_std: &[f32], actions: Actions<'_>, evaluation: &mut Evaluation) {
        let width = self.outputs();
        evaluation.fit(outputs.len() / width, width);
        let Evaluation { log_probs, entropies, scratch, probs } = evaluation;
        let rows = outputs.chunks_exact(width).zip(scratch.chunks_exact_mut(width)).zip(log_probs.iter_mut());
        match (self, actions) {
            (Self::Categorical { choices }, Actions::Discrete(actions)) => {
                let more = actions.chunks_exact(choices.len()).zip(entropies).zip(probs.chunks_exact_mut(width));
                for (((logits, scratch), log_prob), ((actions, entropy), probs)) in rows.zip(more) {
                    [*log_prob, *entropy] = evaluate_row(choices, logits, actions, (scratch, probs));
                }
            }
            (Self::Gaussian { dims }, Actions::Continuous(actions)) => {
                entropies.fill(gaussian::entropy(log_std));
                for (((mean, z), log_prob), action) in rows.zip(actions.chunks_exact(*dims)) {
                    *log_prob = gaussian::log_prob(mean, log_std, action, z);
                }
            }
            _ => panic!("actions are not of the kind of {self:?}"),
        }
    }

    /// Gradient of `sum(d_log_probs * log_probs) + d_entropy * sum(entropies)`: by the outputs, written to
    /// `gradient.0` (`[rows, outputs]`), and by the log standard deviations, written to `gradient.1`.
    ///
    /// # Panics
    /// If `actions` are not of the head's kind.
    pub fn backward(
        &self,
        evaluation: &Evaluation,
        actions: Actions<'_>,
        log_std: &[f32],
        (d_log_probs, d_entropy): (&[f32], f32),
        (output_gradient, log_std_gradient): (&mut [f32], &mut [f32]),
    ) {
        let width = self.outputs();
        let rows = output_gradient.chunks_exact_mut(width).zip(evaluation.scratch.chunks_exact(width)).zip(d_log_probs);
        match (self, actions) {
            (Self::Categorical { choices }, Actions::Discrete(actions)) => {
                let more = actions.chunks_exact(choices.len()).zip(evaluation.probs.chunks_exact(width));
                for (((gradient, log_probs), d), (actions, probs)) in rows.zip(more) {
                    backward_row(choices, actions, (log_probs, probs), [*d, d_entropy], gradient);
                }
            }
            (Self::Gaussian { .. }, Actions::Continuous(_)) => {
                log_std_gradient.fill(d_entropy * d_log_probs.len() as f32);
                for ((gradient, z), d) in rows {
                    gaussian::backward(z, log_std, *d, gradient, log_std_gradient);
                }
            }
            _ => panic!("actions are not of the kind of {self:?}"),
        }
    }
}

impl Evaluation {
    fn fit(&mut self, rows: usize, outputs: usize) {
        self.log_probs.resize(rows, 0.0);
        self.entropies.resize(rows, 0.0);
        self.scratch.resize(rows * outputs, 0.0);
        self.probs.resize(rows * outputs, 0.0);
    }
}

/// The logits of each component of one row.
fn components<'a>(choices: &'a [usize], mut logits: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
    choices.iter().map(move |n| {
        let (component, rest) = logits.split_at(*n);
        logits = rest;
        component
    })
}

/// Draws one action of all components; returns its log-probability.
#[inline]
fn sample_row(choices: &[usize], logits: &[f32], random: &mut Random, actions: &mut [u32]) -> f32 {
    let mut total = 0.0;
    for (logits, action) in components(choices, logits).zip(actions) {
        let (choice, log_prob) = categorical::sample(logits, random.uniform());
        *action = choice;
        total += log_prob;
    }
    total
}

/// `[log-probability, entropy]` of one row; leaves the log-probabilities and probabilities of all choices in `scratch`.
#[inline]
fn evaluate_row(
    choices: &[usize],
    logits: &[f32],
    actions: &[u32],
    (log_probs, probs): (&mut [f32], &mut [f32]),
) -> [f32; 2] {
    let (mut totals, mut start) = ([0.0; 2], 0);
    for (choices, action) in choices.iter().zip(actions) {
        let part = start..start + choices;
        let log_probs = &mut log_probs[part.clone()];
        totals[1] += categorical::log_softmax(&logits[part.clone()], log_probs, &mut probs[part]);
        totals[0] += log_probs[*action as usize];
        start += choices;
    }
    totals
}

#[inline]
fn backward_row(
    choices: &[usize],
    actions: &[u32],
    (log_probs, probs): (&[f32], &[f32]),
    weights: [f32; 2],
    gradient: &mut [f32],
) {
    let mut start = 0;
    for (choices, action) in choices.iter().zip(actions) {
        let part = start..start + choices;
        let from = (&log_probs[part.clone()], &probs[part.clone()]);
        categorical::backward(from, *action, weights, &mut gradient[part]);
        start += choices;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_add_up() {
        let head = ActionHead::Categorical { choices: vec![2, 3] };
        let outputs = [0.3, -0.2, 1.0, 0.0, -1.0];
        let mut evaluation = Evaluation::default();
        head.evaluate(&outputs, &[], Actions::Discrete(&[1, 2]), &mut evaluation);
        let part = |logits: &[f32], action: usize| {
            let (mut log_probs, mut probs) = (vec![0.0; logits.len()], vec![0.0; logits.len()]);
            let entropy = categorical::log_softmax(logits, &mut log_probs, &mut probs);
            (log_probs[action], entropy)
        };
        let (a, b) = (part(&outputs[..2], 1), part(&outputs[2..], 2));
        assert!((evaluation.log_probs[0] - a.0 - b.0).abs() < 1e-6);
        assert!((evaluation.entropies[0] - a.1 - b.1).abs() < 1e-6);
    }

    #[test]
    fn evaluating_a_sample_gives_its_log_probability_back() {
        for head in [ActionHead::Categorical { choices: vec![3, 2] }, ActionHead::Gaussian { dims: 2 }] {
            let rows = 6;
            let mut outputs = vec![0.0; rows * head.outputs()];
            Random::new(1, 0).fill_normal(&mut outputs);
            let log_std = vec![-0.7; head.log_std_count()];
            let (mut actions, mut log_probs) = (head.actions(rows), vec![0.0; rows]);
            let all = actions.slice_mut(0..rows * head.width());
            head.sample(&outputs, &log_std, &mut Random::new(2, 0), all, &mut log_probs);
            let mut evaluation = Evaluation::default();
            head.evaluate(&outputs, &log_std, actions.as_actions(), &mut evaluation);
            for (sampled, evaluated) in log_probs.iter().zip(&evaluation.log_probs) {
                assert!((sampled - evaluated).abs() < 1e-4, "{head:?}: {sampled} against {evaluated}");
            }
        }
    }

    #[test]
    fn mode_is_the_mean_or_the_largest_logit() {
        let head = ActionHead::Categorical { choices: vec![2, 3] };
        let mut actions = [9, 9];
        head.mode(&[0.3, -0.2, 1.0, 0.0, 4.0], ActionsMut::Discrete(&mut actions));
        assert_eq!(actions, [0, 2]);
        let mut action = [0.0; 2];
        ActionHead::Gaussian { dims: 2 }.mode(&[0.5, -3.0], ActionsMut::Continuous(&mut action));
        assert_eq!(action, [0.5, -3.0]);
    }
}
