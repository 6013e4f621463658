//! Random actions.

use std::array;

use pulp::{Arch, NullaryFnOnce};

use super::philox::{uniform_f32, words_at};
use super::{ActionBuf, EnvError, Space};

/// Generators that run together, one to a lane.
const LANES: usize = 16;

/// Draws uniform actions for a batch of environments, with a generator for each.
///
/// The actions of environment `i` are a function of the seed and of `first_index + i` alone, however environments are
/// split into batches, and have nothing to do with those that an environment draws under the same seed.
///
/// Source: Blackman & Vigna, "Scrambled linear pseudorandom number generators", 2021: xoshiro128++.
pub struct ActionSampler {
    /// Distribution of each component of an action, `[width]`.
    components: Vec<Component>,
    env_count: usize,
    generators: Vec<Generators>,
    arch: Arch,
}

/// What one component of an action is drawn from.
#[derive(Clone, Copy)]
enum Component {
    Choice { n: u32 },
    Value { low: f32, high: f32 },
}

/// Sixteen generators.
#[derive(Clone)]
#[repr(align(64))]
struct Generators([[u32; LANES]; 4]);

impl ActionSampler {
    /// A sampler for `env_count` environments with this action space.
    ///
    /// # Errors
    /// [`EnvError::Unbounded`] if the space has an infinite bound, [`EnvError::MixedActions`] if it has both choices
    /// and values.
    pub fn new(space: &Space, env_count: usize, seed: u64) -> Result<Self, EnvError> {
        Self::new_from(space, env_count, seed, 0)
    }

    /// The same for the environments from `first_index` on of a greater whole.
    ///
    /// # Errors
    /// [`EnvError::Unbounded`] if the space has an infinite bound, [`EnvError::MixedActions`] if it has both choices
    /// and values.
    pub fn new_from(space: &Space, env_count: usize, seed: u64, first_index: u64) -> Result<Self, EnvError> {
        let components = components(space)?;
        let words = |env: usize| words_at(seed, first_index.wrapping_add(env as u64), u64::MAX - 1);
        let generators = (0..env_count.div_ceil(LANES)).map(|block| {
            let lanes: [[u32; 4]; LANES] = array::from_fn(|lane| words(block * LANES + lane));
            Generators(array::from_fn(|at| array::from_fn(|lane| lanes[lane][at])))
        });
        Ok(Self { components, env_count, generators: generators.collect(), arch: Arch::new() })
    }

    /// Draws an action for each environment into `actions`, `[n, width]`.
    ///
    /// # Panics
    /// If `actions` was made for another space or number of environments.
    pub fn fill(&mut self, actions: &mut ActionBuf) {
        let width = self.components.len();
        for (at, component) in self.components.iter().enumerate() {
            let generators = &mut self.generators[..];
            match (component, &mut *actions) {
                (&Component::Choice { n }, ActionBuf::Discrete(choices)) => {
                    assert_eq!(choices.len(), self.env_count * width, "choices in actions");
                    let map = Choose { n };
                    self.arch.dispatch(Fill { generators, out: &mut choices[at..], width, map });
                }
                (&Component::Value { low, high }, ActionBuf::Continuous(values)) => {
                    assert_eq!(values.len(), self.env_count * width, "values in actions");
                    let map = Scale { low, high };
                    self.arch.dispatch(Fill { generators, out: &mut values[at..], width, map });
                }
                _ => panic!("actions of another kind than the sampler's"),
            }
        }
    }
}

impl Generators {
    #[inline(always)]
    fn words(&mut self) -> [u32; LANES] {
        let [a, b, c, d] = &mut self.0;
        let mut words = [0; LANES];
        for lane in 0..LANES {
            words[lane] = a[lane].wrapping_add(d[lane]).rotate_left(7).wrapping_add(a[lane]);
            let shifted = b[lane] << 9;
            c[lane] ^= a[lane];
            d[lane] ^= b[lane];
            b[lane] ^= c[lane];
            a[lane] ^= d[lane];
            c[lane] ^= shifted;
            d[lane] = d[lane].rotate_left(11);
        }
        words
    }
}

/// How a random word becomes a component of an action.
trait Map<T> {
    fn map(&self, word: u32) -> T;
}

struct Choose {
    n: u32,
}

impl Map<u32> for Choose {
    /// The upper half of the product: uniform to `n` in 2^32.
    #[inline(always)]
    fn map(&self, word: u32) -> u32 {
        ((u64::from(word) * u64::from(self.n)) >> 32) as u32
    }
}

struct Scale {
    low: f32,
    high: f32,
}

impl Map<f32> for Scale {
    #[inline(always)]
    fn map(&self, word: u32) -> f32 {
        uniform_f32(word, self.low, self.high)
    }
}

/// Draws one component for all environments, in the shape that the dispatch to vector instructions takes.
struct Fill<'a, T, M> {
    generators: &'a mut [Generators],
    /// From the component of the first environment on; those of the others lie `width` apart.
    out: &'a mut [T],
    width: usize,
    map: M,
}

impl<T: Copy + Default, M: Map<T>> NullaryFnOnce for Fill<'_, T, M> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { generators, out, width, map } = self;
        for (generators, out) in generators.iter_mut().zip(out.chunks_mut(LANES * width)) {
            let words = generators.words();
            if let (1, Ok(full)) = (width, <&mut [T; LANES]>::try_from(&mut *out)) {
                for lane in 0..LANES {
                    full[lane] = map.map(words[lane]);
                }
            } else {
                let places = out.iter_mut().step_by(width);
                places.zip(words).for_each(|(place, word)| *place = map.map(word));
            }
        }
    }
}

fn components(space: &Space) -> Result<Vec<Component>, EnvError> {
    match space {
        Space::Discrete { n } => Ok(vec![Component::Choice { n: *n }]),
        Space::MultiDiscrete { nvec } => Ok(nvec.iter().map(|&n| Component::Choice { n }).collect()),
        Space::Box { low, high, .. } => {
            let bounds = || low.iter().zip(high);
            if bounds().any(|(low, high)| !(high - low).is_finite()) {
                return Err(EnvError::Unbounded { space: space.to_string() });
            }
            Ok(bounds().map(|(&low, &high)| Component::Value { low, high }).collect())
        }
        Space::Dict { .. } if !space.is_of_one_kind() => Err(EnvError::MixedActions { space: space.to_string() }),
        Space::Dict { entries } => {
            let parts: Result<Vec<_>, _> = entries.iter().map(|(_, space)| components(space)).collect();
            parts.map(|parts| parts.concat())
        }
    }
}
