//! What an object is called.

use std::fmt;

/// The name of an object: 16 bytes that mean nothing to the store, unique among the objects that it has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(pub [u8; 16]);

impl ObjectKey {
    /// That of the object number `serial` of a maker.
    pub(crate) fn made(maker: u64, serial: u64) -> Self {
        Self::from_words([maker, serial])
    }

    /// The maker, in a key made so.
    pub(crate) fn maker(self) -> u64 {
        self.words()[0]
    }

    pub(crate) fn words(self) -> [u64; 2] {
        let both = u128::from_le_bytes(self.0);
        [both as u64, (both >> 64) as u64]
    }

    pub(crate) fn from_words([low, high]: [u64; 2]) -> Self {
        Self((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }

    /// A number that a `seed` makes hard to foresee.
    pub(crate) fn hash(self, seed: u64) -> u64 {
        let [low, high] = self.words();
        let folded = fold(low ^ seed, high ^ 0x9e37_79b9_7f4a_7c15);
        fold(folded ^ seed.rotate_left(32), 0xd6e8_feb8_6659_fd93)
    }
}

/// All bits of the product of two numbers.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl From<u128> for ObjectKey {
    fn from(number: u128) -> Self {
        Self(number.to_be_bytes())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({self})")
    }
}
