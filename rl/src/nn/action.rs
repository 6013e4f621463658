//! Actions as a rollout keeps them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::env::Actions;

/// Owned actions, `[rows, width]` row-major: what a policy chose, to be learned from later.
///
/// Continuous ones are as sampled; the environment clips them to its bounds (Huang et al. 2022, continuous detail 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionRows {
    /// One choice for each component.
    Discrete(Vec<u32>),
    /// One value for each dimension.
    Continuous(Vec<f32>),
}

/// A part of [`ActionRows`] to write to.
#[derive(Debug)]
pub enum ActionsMut<'a> {
    /// One choice for each component.
    Discrete(&'a mut [u32]),
    /// One value for each dimension.
    Continuous(&'a mut [f32]),
}

impl ActionsMut<'_> {
    /// The same part once more.
    pub fn reborrow(&mut self) -> ActionsMut<'_> {
        match self {
            Self::Discrete(choices) => ActionsMut::Discrete(choices),
            Self::Continuous(values) => ActionsMut::Continuous(values),
        }
    }
}

impl ActionRows {
    /// How many numbers there are, `rows * width`.
    pub fn len(&self) -> usize {
        self.as_actions().value_count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, borrowed.
    pub fn as_actions(&self) -> Actions<'_> {
        match self {
            Self::Discrete(choices) => Actions::Discrete(choices),
            Self::Continuous(values) => Actions::Continuous(values),
        }
    }

    /// The numbers in `range` (counted in numbers, not rows), borrowed.
    pub fn slice(&self, range: Range<usize>) -> Actions<'_> {
        match self {
            Self::Discrete(choices) => Actions::Discrete(&choices[range]),
            Self::Continuous(values) => Actions::Continuous(&values[range]),
        }
    }

    /// The numbers in `range` (counted in numbers, not rows), to write to.
    pub fn slice_mut(&mut self, range: Range<usize>) -> ActionsMut<'_> {
        match self {
            Self::Discrete(choices) => ActionsMut::Discrete(&mut choices[range]),
            Self::Continuous(values) => ActionsMut::Continuous(&mut values[range]),
        }
    }

    /// Forgets all numbers, keeping the memory.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Discrete(choices) => choices.clear(),
            Self::Continuous(values) => values.clear(),
        }
    }

    /// Appends the rows of `from` (`[_, width]`) that `indices` name.
    ///
    /// # Panics
    /// If the two are of different kinds.
    pub(crate) fn extend_gathered(&mut self, from: &ActionRows, indices: &[u32], width: usize) {
        match (self, from) {
            (Self::Discrete(to), Self::Discrete(from)) => gather(to, from, indices, width),
            (Self::Continuous(to), Self::Continuous(from)) => gather(to, from, indices, width),
            _ => panic!("actions of two kinds in one batch"),
        }
    }

    /// Appends all of `other`; whether it was of the same kind.
    #[must_use]
    pub(crate) fn append(&mut self, other: &ActionRows) -> bool {
        match (self, other) {
            (Self::Discrete(to), Self::Discrete(from)) => to.extend_from_slice(from),
            (Self::Continuous(to), Self::Continuous(from)) => to.extend_from_slice(from),
            _ => return false,
        }
        true
    }
}

/// Appends the rows of `from` (`[_, width]`) that `indices` name to `to`.
pub(crate) fn gather<T: Copy>(to: &mut Vec<T>, from: &[T], indices: &[u32], width: usize) {
    if width == 1 {
        return to.extend(indices.iter().map(|i| from[*i as usize]));
    }
    for i in indices {
        let start = *i as usize * width;
        to.extend_from_slice(&from[start..start + width]);
    }
}
