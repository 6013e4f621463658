//! What can go wrong with an environment.

use std::error::Error;

use super::gym::GymError;
use super::mujoco::MujocoError;

/// An environment was asked for something that it can't do, or failed while doing it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// No environment has this id.
    #[error("no environment is named {id:?}: did you mean {nearest:?}? known: {}", known.join(", "))]
    UnknownId {
        /// What was asked for.
        id: String,
        /// The known id that differs from it in the fewest letters.
        nearest: &'static str,
        /// All known ids, in alphabetical order.
        known: Vec<&'static str>,
    },
    /// A name is given to one environment only.
    #[error("an environment is named {id:?} already")]
    TakenId {
        /// The name.
        id: &'static str,
    },
    /// A batch of no environments was asked for.
    #[error("a batch needs at least one environment")]
    Empty,
    /// The environments of one batch must have the same spaces.
    #[error("environment {env} of the batch has the space {found}, but environment 0 has {expected}")]
    MixedSpaces {
        /// Place in the batch.
        env: usize,
        /// The space of environment 0, in Gymnasium's notation.
        expected: String,
        /// The differing space.
        found: String,
    },
    /// Discrete actions were given where continuous ones belong, or the reverse.
    #[error("the action space {space} takes {expected} actions")]
    ActionKind {
        /// The action space.
        space: String,
        /// `discrete` or `continuous`.
        expected: &'static str,
    },
    /// Too few or too many actions.
    #[error("expected {expected} action values, found {found}")]
    ActionLen {
        /// Environments times the width of the action space.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// An action outside its space: a discrete one that is too large, a continuous one that is not finite.
    ///
    /// Finite continuous actions outside their bounds are no error: environments clip them, as in Gymnasium.
    #[error("the action {action} of environment {env} is outside {space}")]
    ActionOutside {
        /// Place in the batch, 0 for a single environment.
        env: usize,
        /// The action, written out.
        action: String,
        /// The action space.
        space: String,
    },
    /// A mask that allows no choice at all.
    #[error("the mask of environment {env} allows no choice of component {component} of its action")]
    NothingAllowed {
        /// Place in the batch.
        env: usize,
        /// Which component of the action, from 0.
        component: usize,
    },
    /// The bounds of a box don't fit together.
    #[error("not a box: {reason}")]
    BadBox {
        /// What doesn't fit.
        reason: String,
    },
    /// The entries of a dictionary of spaces don't fit together.
    #[error("not a dictionary of spaces: {reason}")]
    BadDict {
        /// What doesn't fit.
        reason: String,
    },
    /// Actions of a batch are all choices or all values.
    #[error("the action space {space} has both choices and values: give the environment actions of one kind")]
    MixedActions {
        /// The action space.
        space: String,
    },
    /// A wrapper can't be put around an environment with this space.
    #[error("{wrapper} is for {expected}, not for {space}")]
    NotFor {
        /// The wrapper.
        wrapper: &'static str,
        /// What it is for.
        expected: &'static str,
        /// The space of the environment.
        space: String,
    },
    /// Saved statistics are of vectors of another length, or damaged.
    #[error("statistics of {found} numbers, or damaged ones, where {expected} are needed")]
    BadStats {
        /// Numbers needed.
        expected: usize,
        /// Numbers of the statistics.
        found: usize,
    },
    /// A uniform action can't be drawn from a space without bounds.
    #[error("the space {space} has no bounds to draw from")]
    Unbounded {
        /// The action space.
        space: String,
    },
    /// MuJoCo is missing, or isn't what it should be.
    #[error(transparent)]
    Mujoco(#[from] MujocoError),
    /// An environment in Python failed, or can't be had.
    #[error(transparent)]
    Gym(#[from] GymError),
    /// An environment failed for a reason of its own.
    #[error("environment {env} failed")]
    Failed {
        /// Place in the batch, 0 for a single environment.
        env: usize,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl EnvError {
    /// The same error, said of the environment at place `index` of a batch.
    pub(super) fn at(self, index: usize) -> Self {
        match self {
            Self::ActionOutside { action, space, .. } => Self::ActionOutside { env: index, action, space },
            Self::Failed { source, .. } => Self::Failed { env: index, source },
            other => other,
        }
    }
}
