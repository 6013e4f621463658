//! What a policy network's outputs mean: the distribution over actions.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::diagonal::{Bounds, DiagonalGaussian, RowScratch, StdSource};
use super::{ActionRows, ActionsMut, Random, categorical, gaussian};
use crate::env::{Actions, Space};

/// The distribution that a policy network's outputs parametrise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The same, with deviations that follow the state, or with actions squashed into bounds, or both.
    Diagonal(DiagonalGaussian),
}

/// What a policy says of some states, as its head reads it.
#[derive(Clone, Copy, Debug)]
pub struct PolicyOutputs<'a> {
    /// The network's outputs, `[rows, outputs]`.
    pub values: &'a [f32],
    /// Log standard deviations beside the network, `[log_std_count]`.
    pub log_std: &'a [f32],
    /// Which choices are allowed, `[rows, outputs]`, at least one of each component; `None` where all are, and for
    /// Gaussians.
    pub mask: Option<&'a [bool]>,
}

/// What a batch of actions is worth under a policy, and what its backward pass needs; reused from batch to batch.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Log-probability or log-density of each action, `[rows]`.
    pub log_probs: Vec<f32>,
    /// Entropy of each row's distribution in nats, `[rows]`.
    pub entropies: Vec<f32>,
    /// Log-probabilities of all choices or standardised actions, `[rows, outputs]`; for a diagonal Gaussian standardised
    /// actions and log standard deviations, `[rows, 2, dims]`.
    scratch: Vec<f32>,
    /// Probabilities of all choices, `[rows, outputs]`; slopes of the entropy of a diagonal Gaussian, `[rows, 2, dims]`.
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

    /// The head for an action space, with Gaussians of these kinds; choices are not affected.
    pub fn for_policy(space: &Space, std: StdSource, squash: bool) -> Self {
        let bounds = space.value_bounds();
        match (Self::for_space(space), bounds) {
            (Self::Gaussian { dims }, Some((low, high))) if squash || std == StdSource::State => {
                Self::Diagonal(DiagonalGaussian { dims, std, bounds: squash.then_some(Bounds { low, high }) })
            }
            (head, _) => head,
        }
    }

    /// Whether it is for actions of `space`.
    pub fn fits(&self, space: &Space) -> bool {
        match (self, Self::for_space(space)) {
            (Self::Diagonal(head), Self::Gaussian { dims }) => {
                let found = space.value_bounds().map(|(low, high)| Bounds { low, high });
                head.dims == dims && (head.bounds.is_none() || head.bounds == found)
            }
            (head, found) => *head == found,
        }
    }

    /// Whether actions are to be squashed into bounds that are not finite.
    pub fn is_unbounded_squash(&self) -> bool {
        let Self::Diagonal(head) = self else { return false };
        head.bounds.as_ref().is_some_and(|bounds| !bounds.is_finite())
    }

    /// Number of network outputs.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Categorical { choices } => choices.iter().sum(),
            Self::Gaussian { dims } => *dims,
            Self::Diagonal(head) => head.outputs(),
        }
    }

    /// How many numbers write one action.
    pub fn width(&self) -> usize {
        match self {
            Self::Categorical { choices } => choices.len(),
            Self::Gaussian { dims } | Self::Diagonal(DiagonalGaussian { dims, .. }) => *dims,
        }
    }

    /// How many log standard deviations are learned besides the network.
    pub fn log_std_count(&self) -> usize {
        match self {
            Self::Categorical { .. } => 0,
            Self::Gaussian { dims } => *dims,
            Self::Diagonal(head) => head.log_std_count(),
        }
    }

    /// Zero actions for `rows` rows.
    pub fn actions(&self, rows: usize) -> ActionRows {
        match self {
            Self::Categorical { choices } => ActionRows::Discrete(vec![0; rows * choices.len()]),
            Self::Gaussian { .. } | Self::Diagonal(_) => ActionRows::Continuous(vec![0.0; rows * self.width()]),
        }
    }

    /// Draws an action for each row of `outputs` into `actions` (`[rows, width]`), and its log-probability into
    /// `log_probs` (`[rows]`). Those of a head that squashes are drawn before the squash, see [`ActionHead::squash`].
    ///
    /// # Panics
    /// If `actions` are not of the head's kind.
    pub fn sample(
        &self,
        outputs: PolicyOutputs<'_>,
        random: &mut Random,
        actions: ActionsMut<'_>,
        log_probs: &mut [f32],
    ) {
        let PolicyOutputs { values, log_std, mask } = outputs;
        match (self, actions) {
            (Self::Categorical { choices }, ActionsMut::Discrete(actions)) => {
                let width = self.outputs();
                let rows = values.chunks_exact(width).zip(actions.chunks_exact_mut(choices.len()));
                for (row, ((logits, actions), log_prob)) in rows.zip(log_probs).enumerate() {
                    *log_prob = match mask {
                        None => sample_row(choices, logits, random, actions),
                        Some(mask) => {
                            let mask = &mask[row * width..(row + 1) * width];
                            sample_row_masked(choices, (logits, mask), random, actions)
                        }
                    };
                }
            }
            (Self::Gaussian { dims }, ActionsMut::Continuous(actions)) => {
                random.fill_normal(actions);
                let rows = values.chunks_exact(*dims).zip(actions.chunks_exact_mut(*dims));
                for ((mean, action), log_prob) in rows.zip(log_probs) {
                    *log_prob = gaussian::sample(mean, log_std, action);
                }
            }
            (Self::Diagonal(head), ActionsMut::Continuous(actions)) => {
                random.fill_normal(actions);
                let rows = values.chunks_exact(head.outputs()).zip(actions.chunks_exact_mut(head.dims));
                for ((values, action), log_prob) in rows.zip(log_probs) {
                    *log_prob = head.sample(values, log_std, action);
                }
            }
            _ => panic!("actions are not of the kind of {self:?}"),
        }
    }

    /// Writes the most probable action of each row of `outputs` to `actions` (`[rows, width]`): of a Gaussian the mean,
    /// before the squash.
    ///
    /// # Panics
    /// If `actions` are not of the head's kind.
    pub fn mode(&self, outputs: PolicyOutputs<'_>, actions: ActionsMut<'_>) {
        let PolicyOutputs { values, mask, .. } = outputs;
        match (self, actions) {
            (Self::Categorical { choices }, ActionsMut::Discrete(actions)) => {
                let width = self.outputs();
                let rows = values.chunks_exact(width).zip(actions.chunks_exact_mut(choices.len()));
                for (row, (logits, actions)) in rows.enumerate() {
                    let mask = mask.map(|mask| &mask[row * width..(row + 1) * width]);
                    for (part, action) in parts(choices).zip(actions) {
                        *action = match mask {
                            None => categorical::mode(&logits[part]),
                            Some(mask) => categorical::mode_masked(&logits[part.clone()], &mask[part]),
                        };
                    }
                }
            }
            (Self::Gaussian { .. }, ActionsMut::Continuous(actions)) => actions.copy_from_slice(values),
            (Self::Diagonal(head), ActionsMut::Continuous(actions)) => {
                let rows = values.chunks_exact(head.outputs()).zip(actions.chunks_exact_mut(head.dims));
                rows.for_each(|(values, action)| action.copy_from_slice(&values[..head.dims]));
            }
            _ => panic!("actions are not of the kind of {self:?}"),
        }
    }

    /// Whether the actions that are done aren't those that are kept: [`ActionHead::squash`] lies between.
    pub fn squashes(&self) -> bool {
        matches!(self, Self::Diagonal(DiagonalGaussian { bounds: Some(_), .. }))
    }

    /// Turns actions as [`ActionHead::sample`] and [`ActionHead::mode`] give them into those that are done, in place.
    pub fn squash(&self, actions: ActionsMut<'_>) {
        if let (Self::Diagonal(head), ActionsMut::Continuous(actions)) = (self, actions) {
            head.squash(actions);
        }
    }

    /// Log-probabilities and entropies of `actions` (`[rows, width]`, before a squash) under `outputs`.
    ///
    /// # Panics
    /// If `actions` are not of the head's kind.
    pub fn evaluate(&self, outputs: PolicyOutputs<'_>, actions: Actions<'_>, evaluation: &mut Evaluation) {
        let PolicyOutputs { values, log_std, mask } = outputs;
        let width = self.outputs();
        evaluation.fit(values.len() / width, self.scratch_width());
        let Evaluation { log_probs, entropies, scratch, probs } = evaluation;
        let scratch = scratch.chunks_exact_mut(self.scratch_width());
        let rows = values.chunks_exact(width).zip(scratch).zip(log_probs.iter_mut());
        match (self, actions) {
            (Self::Categorical { choices }, Actions::Discrete(actions)) => {
                let more = actions.chunks_exact(choices.len()).zip(entropies).zip(probs.chunks_exact_mut(width));
                for (row, (((logits, scratch), log_prob), ((actions, entropy), probs))) in rows.zip(more).enumerate() {
                    let mask = mask.map(|mask| &mask[row * width..(row + 1) * width]);
                    [*log_prob, *entropy] = evaluate_row(choices, (logits, mask), actions, (scratch, probs));
                }
            }
            (Self::Gaussian { dims }, Actions::Continuous(actions)) => {
                entropies.fill(gaussian::entropy(log_std));
                for (((mean, z), log_prob), action) in rows.zip(actions.chunks_exact(*dims)) {
                    *log_prob = gaussian::log_prob(mean, log_std, action, z);
                }
            }
            (Self::Diagonal(head), Actions::Continuous(actions)) => {
                let more = actions.chunks_exact(head.dims).zip(entropies).zip(probs.chunks_exact_mut(2 * head.dims));
                for (((values, z), log_prob), ((action, entropy), slopes)) in rows.zip(more) {
                    [*log_prob, *entropy] = head.evaluate(values, log_std, action, RowScratch { z, slopes });
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
        let scratch = evaluation.scratch.chunks_exact(self.scratch_width());
        let rows = output_gradient.chunks_exact_mut(width).zip(scratch).zip(d_log_probs);
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
            (Self::Diagonal(head), Actions::Continuous(_)) => {
                log_std_gradient.fill(0.0);
                for (((gradient, z), d), slopes) in rows.zip(evaluation.probs.chunks_exact(2 * head.dims)) {
                    head.backward((z, slopes), [*d, d_entropy], (gradient, log_std_gradient));
                }
            }
            _ => panic!("actions are not of the kind of {self:?}"),
        }
    }
}

impl ActionHead {
    /// Numbers that an [`Evaluation`] keeps of a row.
    fn scratch_width(&self) -> usize {
        match self {
            Self::Categorical { .. } | Self::Gaussian { .. } => self.outputs(),
            Self::Diagonal(head) => 2 * head.dims,
        }
    }
}

impl Evaluation {
    fn fit(&mut self, rows: usize, width: usize) {
        self.log_probs.resize(rows, 0.0);
        self.entropies.resize(rows, 0.0);
        self.scratch.resize(rows * width, 0.0);
        self.probs.resize(rows * width, 0.0);
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

/// Where the logits of each component of a row lie.
fn parts(choices: &[usize]) -> impl Iterator<Item = Range<usize>> {
    choices.iter().scan(0, |start, n| {
        *start += n;
        Some(*start - n..*start)
    })
}

/// Draws one action of all components, each among what the mask allows; returns its log-probability.
fn sample_row_masked(
    choices: &[usize],
    (logits, mask): (&[f32], &[bool]),
    random: &mut Random,
    actions: &mut [u32],
) -> f32 {
    let mut total = 0.0;
    for (part, action) in parts(choices).zip(actions) {
        let (choice, log_prob) = categorical::sample_masked(&logits[part.clone()], &mask[part], random.uniform());
        *action = choice;
        total += log_prob;
    }
    total
}

/// `[log-probability, entropy]` of one row; leaves the log-probabilities and probabilities of all choices in `scratch`.
#[inline]
fn evaluate_row(
    choices: &[usize],
    (logits, mask): (&[f32], Option<&[bool]>),
    actions: &[u32],
    (log_probs, probs): (&mut [f32], &mut [f32]),
) -> [f32; 2] {
    let (mut totals, mut start) = ([0.0; 2], 0);
    for (choices, action) in choices.iter().zip(actions) {
        let part = start..start + choices;
        let (logits, log_probs, probs) =
            (&logits[part.clone()], &mut log_probs[part.clone()], &mut probs[part.clone()]);
        totals[1] += match mask {
            None => categorical::log_softmax(logits, log_probs, probs),
            Some(mask) => categorical::log_softmax_masked(logits, &mask[part], log_probs, probs),
        };
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

    fn plain<'a>(values: &'a [f32], log_std: &'a [f32]) -> PolicyOutputs<'a> {
        PolicyOutputs { values, log_std, mask: None }
    }

    fn diagonal(std: StdSource, is_squashed: bool) -> ActionHead {
        let bounds = is_squashed.then(|| Bounds { low: vec![-1.0, 0.0], high: vec![1.0, 0.5] });
        ActionHead::Diagonal(DiagonalGaussian { dims: 2, std, bounds })
    }

    #[test]
    fn components_add_up() {
        let head = ActionHead::Categorical { choices: vec![2, 3] };
        let outputs = [0.3, -0.2, 1.0, 0.0, -1.0];
        let mut evaluation = Evaluation::default();
        head.evaluate(plain(&outputs, &[]), Actions::Discrete(&[1, 2]), &mut evaluation);
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
        for head in [
            ActionHead::Categorical { choices: vec![3, 2] },
            ActionHead::Gaussian { dims: 2 },
            diagonal(StdSource::State, false),
            diagonal(StdSource::Parameter, true),
            diagonal(StdSource::State, true),
        ] {
            let rows = 6;
            let mut outputs = vec![0.0; rows * head.outputs()];
            Random::new(1, 0).fill_normal(&mut outputs);
            let log_std = vec![-0.7; head.log_std_count()];
            let (mut actions, mut log_probs) = (head.actions(rows), vec![0.0; rows]);
            let all = actions.slice_mut(0..rows * head.width());
            head.sample(plain(&outputs, &log_std), &mut Random::new(2, 0), all, &mut log_probs);
            let mut evaluation = Evaluation::default();
            head.evaluate(plain(&outputs, &log_std), actions.as_actions(), &mut evaluation);
            for (sampled, evaluated) in log_probs.iter().zip(&evaluation.log_probs) {
                assert!((sampled - evaluated).abs() < 1e-4, "{head:?}: {sampled} against {evaluated}");
            }
        }
    }

    #[test]
    fn mode_is_the_mean_or_the_largest_logit() {
        let head = ActionHead::Categorical { choices: vec![2, 3] };
        let mut actions = [9, 9];
        let logits = [0.3, -0.2, 1.0, 0.0, 4.0];
        head.mode(plain(&logits, &[]), ActionsMut::Discrete(&mut actions));
        assert_eq!(actions, [0, 2]);
        let mask = [false, true, true, true, false];
        let masked = PolicyOutputs { mask: Some(&mask), ..plain(&logits, &[]) };
        head.mode(masked, ActionsMut::Discrete(&mut actions));
        assert_eq!(actions, [1, 0]);
        let mut action = [0.0; 2];
        ActionHead::Gaussian { dims: 2 }.mode(plain(&[0.5, -3.0], &[]), ActionsMut::Continuous(&mut action));
        assert_eq!(action, [0.5, -3.0]);
        let head = diagonal(StdSource::State, true);
        head.mode(plain(&[0.5, -30.0, 1.0, 1.0], &[]), ActionsMut::Continuous(&mut action));
        assert_eq!(action, [0.5, -30.0]);
        head.squash(ActionsMut::Continuous(&mut action));
        assert!((action[0] - 0.5f32.tanh()).abs() < 1e-6 && action[1] == 0.0, "{action:?}");
    }
}
