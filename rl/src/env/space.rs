//! The sets that actions and observations come from.

use std::fmt;
use std::ops::Range;

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
    /// Several spaces at once, each under a name. Made by [`Space::dict`].
    ///
    /// An element is one row of numbers: the elements of the entries, one after the other in the order of their names,
    /// nested ones likewise. A box is written row-major, a choice as its number; [`Space::flatten`] turns choices into
    /// one-hot vectors, and [`Space::part`] says where an entry lies.
    Dict {
        /// Names and spaces, sorted by name, each name once.
        entries: Vec<(String, Space)>,
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

    /// The space of several spaces under names, in whatever order they are given.
    ///
    /// # Errors
    /// [`EnvError::BadDict`] if there are none, or two of one name.
    pub fn dict(entries: impl IntoIterator<Item = (impl Into<String>, Self)>) -> Result<Self, EnvError> {
        let mut entries: Vec<(String, Self)> = entries.into_iter().map(|(name, space)| (name.into(), space)).collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        if entries.is_empty() {
            return Err(EnvError::BadDict { reason: "it has no entries".into() });
        }
        match entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(EnvError::BadDict { reason: format!("two entries are named {:?}", pair[0].0) }),
            None => Ok(Self::Dict { entries }),
        }
    }

    /// How many numbers write one element of the space: 1 for a choice, the number of components or of box elements,
    /// the sum of those of all entries.
    pub fn width(&self) -> usize {
        match self {
            Self::Discrete { .. } => 1,
            Self::MultiDiscrete { nvec } => nvec.len(),
            Self::Box { low, .. } => low.len(),
            Self::Dict { entries } => entries.iter().map(|(_, space)| space.width()).sum(),
        }
    }

    /// How many numbers a network gives or takes for one element: a choice counts once per alternative (a logit, or
    /// its place in a one-hot vector), a box once per element.
    pub fn flat_len(&self) -> usize {
        match self {
            Self::Discrete { n } => *n as usize,
            Self::MultiDiscrete { nvec } => nvec.iter().map(|n| *n as usize).sum(),
            Self::Box { low, .. } => low.len(),
            Self::Dict { entries } => entries.iter().map(|(_, space)| space.flat_len()).sum(),
        }
    }

    /// Whether the elements are choices; those of a dictionary, all of them.
    pub fn is_discrete(&self) -> bool {
        match self {
            Self::Discrete { .. } | Self::MultiDiscrete { .. } => true,
            Self::Box { .. } => false,
            Self::Dict { entries } => entries.iter().all(|(_, space)| space.is_discrete()),
        }
    }

    /// Whether actions can be of this space: all choices or all values, since [`Actions`] are of one kind.
    pub fn is_of_one_kind(&self) -> bool {
        let parts = self.parts();
        parts.iter().all(|part| part.is_discrete() == parts[0].is_discrete())
    }

    /// How many choices each number of an element has, `[width]`, where all are choices.
    pub fn choices(&self) -> Option<Vec<u32>> {
        match self {
            Self::Discrete { n } => Some(vec![*n]),
            Self::MultiDiscrete { nvec } => Some(nvec.clone()),
            Self::Box { .. } => None,
            Self::Dict { entries } => {
                let all: Option<Vec<_>> = entries.iter().map(|(_, space)| space.choices()).collect();
                all.map(|choices| choices.concat())
            }
        }
    }

    /// The least and the greatest value of each number of an element, `[width]` each, where all are values.
    pub fn value_bounds(&self) -> Option<(Vec<f32>, Vec<f32>)> {
        match self {
            Self::Discrete { .. } | Self::MultiDiscrete { .. } => None,
            Self::Box { low, high, .. } => Some((low.clone(), high.clone())),
            Self::Dict { entries } => {
                let all: Option<Vec<_>> = entries.iter().map(|(_, space)| space.value_bounds()).collect();
                let (low, high): (Vec<_>, Vec<_>) = all?.into_iter().unzip();
                Some((low.concat(), high.concat()))
            }
        }
    }

    /// Where an entry of a dictionary lies in a row, and its space. Names of nested dictionaries are joined by dots.
    pub fn part(&self, name: &str) -> Option<(Range<usize>, &Self)> {
        let Self::Dict { entries } = self else { return None };
        let mut start = 0;
        for (key, space) in entries {
            let width = space.width();
            if key == name {
                return Some((start..start + width, space));
            }
            let inner = name.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix('.'));
            if let Some((range, part)) = inner.and_then(|inner| space.part(inner)) {
                return Some((start + range.start..start + range.end, part));
            }
            start += width;
        }
        None
    }

    /// Writes an element, `[width]`, as `[flat_len]` numbers for a network: a choice as a one-hot vector, a value as it
    /// is. A choice that isn't one of the space becomes zeros.
    ///
    /// Source: Gymnasium, `gymnasium.spaces.utils.flatten`.
    ///
    /// # Panics
    /// If `element` or `out` has the wrong length.
    pub fn flatten(&self, element: &[f32], out: &mut [f32]) {
        assert_eq!((element.len(), out.len()), (self.width(), self.flat_len()), "numbers before and after");
        let (mut element, mut out) = (element, out);
        for part in self.parts() {
            let (numbers, rest) = element.split_at(part.width());
            let (flat, out_rest) = out.split_at_mut(part.flat_len());
            match part.choices() {
                Some(choices) => one_hot(numbers, &choices, flat),
                None => flat.copy_from_slice(numbers),
            }
            (element, out) = (rest, out_rest);
        }
    }

    /// The spaces that aren't dictionaries, in the order of a row.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Dict { entries } => entries.iter().flat_map(|(_, space)| space.parts()).collect(),
            other => vec![other],
        }
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
            (Self::Dict { .. }, element) => element.value_count() == self.width() && self.contains_parts(element),
            _ => false,
        }
    }

    /// Among values, choices are whole numbers.
    fn contains_parts(&self, element: Actions<'_>) -> bool {
        let mut start = 0;
        self.parts().into_iter().all(|part| {
            let range = start..start + part.width();
            start = range.end;
            match (element, part.choices()) {
                (Actions::Discrete(choices), _) => part.contains(&choices[range]),
                (Actions::Continuous(values), None) => part.contains(&values[range]),
                (Actions::Continuous(values), Some(choices)) => {
                    let is_one = |(value, n): (&f32, &u32)| value.fract() == 0.0 && *value >= 0.0 && *value < *n as f32;
                    values[range].iter().zip(&choices).all(is_one)
                }
            }
        })
    }
}

/// In Gymnasium's notation: `Discrete(2)`, `MultiDiscrete([3 2])`, `Box(-2.0, 2.0, (1,), float32)`,
/// `Dict('a': Discrete(2))`.
impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discrete { n } => write!(f, "Discrete({n})"),
            Self::MultiDiscrete { nvec } => write!(f, "MultiDiscrete([{}])", spaced(nvec)),
            Self::Box { low, high, shape } => {
                write!(f, "Box({}, {}, {}, float32)", bounds(low), bounds(high), tuple(shape))
            }
            Self::Dict { entries } => {
                let entries: Vec<String> = entries.iter().map(|(name, space)| format!("'{name}': {space}")).collect();
                write!(f, "Dict({})", entries.join(", "))
            }
        }
    }
}

fn one_hot(numbers: &[f32], choices: &[u32], flat: &mut [f32]) {
    flat.fill(0.0);
    let mut start = 0;
    for (&number, &n) in numbers.iter().zip(choices) {
        if number >= 0.0 && number < n as f32 {
            flat[start + number as usize] = 1.0;
        }
        start += n as usize;
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
