//! Which choices environments allow.

use super::PpoError;
use crate::env::{EnvError, VecEnv};
use crate::nn::ActionHead;

/// The mask of a batch of environments, asked for before each step; nothing where they have none.
#[derive(Debug)]
pub(super) struct Mask {
    /// Number of choices of each component, `[components]`.
    choices: Vec<usize>,
    /// `[envs, choices]`; empty where all choices are always allowed.
    flags: Vec<bool>,
}

impl Mask {
    /// Room for the masks of `envs`. Values have none, whatever the environments say.
    pub fn new(head: &ActionHead, envs: &dyn VecEnv) -> Self {
        let choices = match head {
            ActionHead::Categorical { choices } if envs.has_action_mask() => choices.clone(),
            _ => Vec::new(),
        };
        let flags = vec![true; envs.env_count() * choices.iter().sum::<usize>()];
        Self { choices, flags }
    }

    /// Asks the environments what they allow next.
    ///
    /// # Errors
    /// [`EnvError::NothingAllowed`] where a component has no choice left.
    pub fn see(&mut self, envs: &dyn VecEnv) -> Result<(), PpoError> {
        if self.flags.is_empty() {
            return Ok(());
        }
        envs.action_mask(&mut self.flags);
        let mut flags = self.flags.as_slice();
        for env in 0..envs.env_count() {
            for (component, choices) in self.choices.iter().enumerate() {
                let (of_component, rest) = flags.split_at(*choices);
                if !of_component.contains(&true) {
                    return Err(EnvError::NothingAllowed { env, component }.into());
                }
                flags = rest;
            }
        }
        Ok(())
    }

    /// What was seen last, `[envs, choices]`; `None` where all choices are always allowed.
    pub fn flags(&self) -> Option<&[bool]> {
        (!self.flags.is_empty()).then_some(self.flags.as_slice())
    }
}
