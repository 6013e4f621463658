//! Names of what is in other processes.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::Any;
use std::io;
use std::sync::Arc;

/// A process, among all that exchange values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ProcessId(pub(crate) u128);

impl ProcessId {
    /// One that no other process has.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub(crate) fn fresh() -> io::Result<Self> {
        crate::cluster::fresh_peer().map(|peer| Self(peer.0))
    }
}

/// Something that a process has exported.
///
/// ```text
/// 0  3: something that is referred to     1  the process, u128     17  its number there, u64
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct RefId {
    pub(crate) home: ProcessId,
    pub(crate) number: u64,
}

const KIND: u8 = 3;
const NAME_BYTES: usize = 25;

impl RefId {
    fn encode(self) -> [u8; NAME_BYTES] {
        let mut name = [KIND; NAME_BYTES];
        name[1..17].copy_from_slice(&self.home.0.to_le_bytes());
        name[17..].copy_from_slice(&self.number.to_le_bytes());
        name
    }

    /// What a name in an encoding refers to; `None` where it is that of a buffer.
    pub(crate) fn decode(name: &[u8]) -> Option<Self> {
        let name: &[u8; NAME_BYTES] = name.try_into().ok()?;
        let (home, number) = name[1..].split_first_chunk()?;
        let (home, number) = (u128::from_le_bytes(*home), u64::from_le_bytes(*number.first_chunk()?));
        (name[0] == KIND).then_some(Self { home: ProcessId(home), number })
    }
}

/// A reference as it stands in a value.
pub(super) struct Name {
    pub(super) id: RefId,
    /// What keeps it until the encoding is gone. Nothing does where it was decoded.
    pub(super) keep: Option<Arc<dyn Any + Send + Sync>>,
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keep = self.keep.clone().unwrap_or_else(|| Arc::new(()));
        let name = rayline_store::Name::new(&self.id.encode(), keep);
        rayline_store::encode_name(name, serializer).unwrap_or_else(|_| {
            Err(S::Error::custom(
                "a reference can't be encoded outside the runtime; encode what it refers to, after `get`",
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = rayline_store::decode_name(deserializer).unwrap_or_else(|_| {
            Err(D::Error::custom("a reference can't be decoded outside the runtime; decode a value, and `put` it"))
        })?;
        let id = RefId::decode(name).ok_or_else(|| D::Error::custom("nothing that is referred to is called so"))?;
        Ok(Self { id, keep: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_none() {
        let id = RefId { home: ProcessId(u128::MAX - 3), number: 1 << 40 };
        assert_eq!(RefId::decode(&id.encode()), Some(id));
        for other in [&id.encode()[1..], &[2; NAME_BYTES], &[3; 49], &[]] {
            assert_eq!(RefId::decode(other), None);
        }
    }
}
