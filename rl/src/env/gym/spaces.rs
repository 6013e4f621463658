//! Spaces as a Python process describes them.

use serde::Deserialize;

use crate::env::{EnvError, Space};

/// Both spaces of an environment.
#[derive(Deserialize)]
pub struct Described {
    pub obs: DescribedSpace,
    pub act: DescribedSpace,
}

/// One space; bounds as the bits of single precision, which JSON's numbers can't lose, one for all where all are the
/// same.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DescribedSpace {
    Discrete { n: u32 },
    MultiDiscrete { nvec: Vec<u32> },
    Box { low: Vec<u32>, high: Vec<u32>, shape: Vec<usize> },
    Dict { entries: Vec<(String, DescribedSpace)> },
}

impl DescribedSpace {
    pub fn space(self) -> Result<Space, EnvError> {
        match self {
            Self::Discrete { n } => Ok(Space::Discrete { n }),
            Self::MultiDiscrete { nvec } => Ok(Space::MultiDiscrete { nvec }),
            Self::Box { low, high, shape } => {
                let elements = shape.iter().product();
                Space::bounded(bounds(&low, elements), bounds(&high, elements), shape)
            }
            Self::Dict { entries } => {
                let named = entries.into_iter().map(|(name, space)| Ok((name, space.space()?)));
                let entries: Result<Vec<_>, EnvError> = named.collect();
                Space::dict(entries?)
            }
        }
    }
}

fn bounds(bits: &[u32], elements: usize) -> Vec<f32> {
    match bits {
        [all] => vec![f32::from_bits(*all); elements],
        each => each.iter().map(|bits| f32::from_bits(*bits)).collect(),
    }
}
