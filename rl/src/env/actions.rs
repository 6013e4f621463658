//! Actions of one environment or of a batch.

use super::{EnvError, Space};

/// Borrowed actions, `[n, width]` row-major, where `width` is the width of the action space; `n` is 1 for a single
/// environment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Actions<'a> {
    /// Choices, for [`Space::Discrete`] and [`Space::MultiDiscrete`].
    Discrete(&'a [u32]),
    /// Values, for [`Space::Box`]. Those outside the bounds are clipped by the environment.
    Continuous(&'a [f32]),
}

impl<'a> Actions<'a> {
    /// The actions of the environment at place `env`, `[width]`.
    ///
    /// # Panics
    /// If there are fewer than `env + 1` rows.
    pub fn row(self, env: usize, width: usize) -> Actions<'a> {
        let range = env * width..(env + 1) * width;
        match self {
            Self::Discrete(choices) => Self::Discrete(&choices[range]),
            Self::Continuous(values) => Self::Continuous(&values[range]),
        }
    }

    /// How many numbers there are.
    pub fn value_count(self) -> usize {
        match self {
            Self::Discrete(choices) => choices.len(),
            Self::Continuous(values) => values.len(),
        }
    }

    /// The choices, `[n, width]`, for an environment whose action space is `space`.
    ///
    /// # Errors
    /// [`EnvError::ActionKind`] if these are values.
    pub fn choices(self, space: &Space) -> Result<&'a [u32], EnvError> {
        match self {
            Self::Discrete(choices) => Ok(choices),
            Self::Continuous(_) => Err(EnvError::ActionKind { space: space.to_string(), expected: "discrete" }),
        }
    }

    /// The values, `[n, width]`, for an environment whose action space is `space`.
    ///
    /// # Errors
    /// [`EnvError::ActionKind`] if these are choices.
    pub fn values(self, space: &Space) -> Result<&'a [f32], EnvError> {
        match self {
            Self::Continuous(values) => Ok(values),
            Self::Discrete(_) => Err(EnvError::ActionKind { space: space.to_string(), expected: "continuous" }),
        }
    }

    /// The one choice of an environment whose action space is `Discrete(n)`.
    ///
    /// # Errors
    /// [`EnvError::ActionKind`], [`EnvError::ActionLen`] or [`EnvError::ActionOutside`] if that is not what this is.
    pub fn choice(self, space: &Space) -> Result<u32, EnvError> {
        match self.choices(space)? {
            [choice] if space.contains(self) => Ok(*choice),
            [choice] => Err(outside(choice.to_string(), space)),
            choices => Err(EnvError::ActionLen { expected: 1, found: choices.len() }),
        }
    }

    /// The one value of an environment whose action space is a box of one element; it may exceed the bounds.
    ///
    /// # Errors
    /// [`EnvError::ActionKind`], [`EnvError::ActionLen`] or, if it is not finite, [`EnvError::ActionOutside`].
    pub fn value(self, space: &Space) -> Result<f32, EnvError> {
        match self.values(space)? {
            [value] if value.is_finite() => Ok(*value),
            [value] => Err(outside(value.to_string(), space)),
            values => Err(EnvError::ActionLen { expected: 1, found: values.len() }),
        }
    }
}

impl<'a> From<&'a [u32]> for Actions<'a> {
    fn from(choices: &'a [u32]) -> Self {
        Self::Discrete(choices)
    }
}

impl<'a> From<&'a [f32]> for Actions<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::Continuous(values)
    }
}

/// Owned actions of a batch, `[n, width]` row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionBuf {
    /// Choices.
    Discrete(Vec<u32>),
    /// Values.
    Continuous(Vec<f32>),
}

impl ActionBuf {
    /// Zeros for `env_count` environments with this action space.
    pub fn new(space: &Space, env_count: usize) -> Self {
        let value_count = env_count * space.width();
        match space.is_discrete() {
            true => Self::Discrete(vec![0; value_count]),
            false => Self::Continuous(vec![0.0; value_count]),
        }
    }

    /// The actions, borrowed.
    pub fn as_actions(&self) -> Actions<'_> {
        match self {
            Self::Discrete(choices) => Actions::Discrete(choices),
            Self::Continuous(values) => Actions::Continuous(values),
        }
    }
}

fn outside(action: String, space: &Space) -> EnvError {
    EnvError::ActionOutside { env: 0, action, space: space.to_string() }
}
