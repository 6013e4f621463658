//! Registered memory, and the spans of it that peers may read.

mod chunks;
mod extent;
mod memory;
mod owned;
mod registry;

pub(crate) use self::chunks::Claim;
pub(crate) use self::extent::Span;
pub(crate) use self::registry::{Denied, Region};
pub use self::{
    chunks::{CHUNK_BYTES, chunk_count},
    extent::Extent,
    memory::{Access, Backing, Memfd, Memory},
    owned::{Landing, Published},
    registry::{Regions, Registration},
};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of a registered region of some peer: what a holder tells to those who may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemoteSpan {
    /// Names the registered region at its holder.
    pub key: u64,
    /// Tells what lay there when the span was published from what lies there later; checked after the last chunk.
    pub generation: u64,
    /// Where it begins, in bytes from the start of the region.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

impl RemoteSpan {
    /// The `len` bytes from byte `at` of this span on.
    ///
    /// # Panics
    /// If they leave the span.
    #[must_use]
    pub fn slice(self, at: u64, len: u64) -> Self {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "{at}..+{len} leaves {self}");
        Self { offset: self.offset + at, len, ..self }
    }
}

impl fmt::Display for RemoteSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, generation, offset, len } = self;
        write!(f, "bytes {offset}..+{len} of region {key:#x} (generation {generation:#x})")
    }
}
