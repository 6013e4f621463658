//! The sets that actions and observations come from.

use std::fmt;

use super::{Actions, EnvError};

/// A set of actions or observations, of one environment.
///
/// Source: Gymnasium, `gymnasium.spaces`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Space {
    /// One of `n` choices, `0..n`.
    Discrete {
        /// Number of choices, at least 1.
        n: u32,
    },
    /// Several choices at once.
    MultiDiscrete {
        /// Number of choices of each component, `[components]`, each at least 1.
        nvec: Vec<u32>,
    },
    /// Real vectors within bounds, which belong to the box. Made by [`Space::bounded`] or [`Space::uniform`].
    Box {
        /// Least value of each element, `[elements]`, row-major; may be `-inf`.
        low: Vec<f32>,
        /// Greatest value of each element, `[elements]`, row-major; may be `inf`.
        high: Vec<f32>,
        /// Lengths of the axes; their product is the number of elements.
        shape: Vec<usize>,
    },
}

impl Space {
    /// The box between `low` and `high`, both `[elements]`, of the given shape.
    ///
    /// # Errors
    /// [`EnvError::BadBox`] if a length differs from the product of the shape, or a lower bound is not below or equal
    /// to its upper bound.
    pub fn bounded(low: Vec<f32>, high: Vec<f32>, shape: Vec<usize>) -> Result<Self, EnvError> {
        let elements: usize = shape.iter().product();
        if low.len() != elements || high.len() != elements {
            let reason = format!("{} low and {} high for a shape of {elements} elements", low.len(), high.len());
            return Err(EnvError::BadBox { reason });
        }
        match low.iter().zip(&high).position(|(low, high)| !matches!(low.partial_cmp(high), Some(o) if o.is_le())) {
            Some(at) => Err(EnvError::BadBox { reason: format!("element {at} from {:?} to {:?}", low[at], high[at]) }),
            None => Ok(Self::Box { low, high, shape }),
        }
    }

    /// The box of vectors `[elements]` whose elements all lie between `low` and `high`.
    ///
    /// # Panics
    /// If `low` is above `high` or one of them is not a number.
    pub fn uniform(low: f32, high: f32, elements: usize) -> Self {
        assert!(low <= high, "a box from {low} to {high}");
        Self::Box { low: vec![low; elements], high: vec![high; elements], shape: vec![elements] }
    }

    /// The box of vectors between `-high` and `high`.
    ///
    /// # Panics
    /// If a bound is below 0 or not a number.
    pub fn symmetric(high: &[f32]) -> Self {
        assert!(high.iter().all(|bound| *bound >= 0.0), "a box between -{high:?} and {high:?}");
        let low = high.iter().map(|bound| -bound).collect();
        Self::Box { low, high: high.to_vec(), shape: vec![high.len()] }
    }

    /// How many numbers write one element of the space: 1 for a choice, the number of components or of box elements.
    pub fn width(&self) -> usize {
        match self {
            Self::Discrete { .. } => 1,
            Self::MultiDiscrete { nvec } => nvec.len(),
            Self::Box { low, .. } => low.len(),
        }
    }

    /// How many numbers a network gives or takes for one element: a choice counts once per alternative (a logit, or
    /// its place in a one-hot vector), a box once per element.
    pub fn flat_len(&self) -> usize {
        match self {
            Self::Discrete { n } => *n as usize,
            Self::MultiDiscrete { nvec } => nvec.iter().map(|n| *n as usize).sum(),
            Self::Box { low, .. } => low.len(),
        }
    }

    /// Whether the elements are choices.
    pub fn is_discrete(&self) -> bool {
        !matches!(self, Self::Box { .. })
    }

    /// Whether the element belongs to the space: of its kind, its width, and within its bounds.
    ///
    /// An observation is written as the action of the same numbers: `space.contains(&obs[..])`.
    pub fn contains<'a>(&self, element: impl Into<Actions<'a>>) -> bool {
        match (self, element.into()) {
            (Self::Discrete { n }, Actions::Discrete([choice])) => choice < n,
            (Self::MultiDiscrete { nvec }, Actions::Discrete(choices)) => {
                choices.len() == nvec.len() && choices.iter().zip(nvec).all(|(choice, n)| choice < n)
            }
            (Self::Box { low, high, .. }, Actions::Continuous(values)) => {
                let within = |((value, low), high): ((&f32, &f32), &f32)| low <= value && value <= high;
                values.len() == low.len() && values.iter().zip(low).zip(high).all(within)
            }
            _ => false,
        }
    }
}

/// In Gymnasium's notation: `Discrete(2)`, `MultiDiscrete([3 2])`, `Box(-2.0, 2.0, (1,), float32)`.
impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discrete { n } => write!(f, "Discrete({n})"),
            Self::MultiDiscrete { nvec } => write!(f, "MultiDiscrete([{}])", spaced(nvec)),
            Self::Box { low, high, shape } => {
                write!(f, "Box({}, {}, {}, float32)", bounds(low), bounds(high), tuple(shape))
            }
        }
    }
}

/// One number where all are the same, else all in brackets.
fn bounds(values: &[f32]) -> String {
    match values {
        [first, rest @ ..] if rest.iter().all(|value| value == first) => format!("{first:?}"),
        _ => format!("[{}]", spaced(values)),
    }
}

fn spaced<T: fmt::Debug>(values: &[T]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ")
}

/// As Python writes tuples: one element keeps its comma.
fn tuple(lengths: &[usize]) -> String {
    match lengths {
        [one] => format!("({one},)"),
        _ => format!("({})", lengths.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}
