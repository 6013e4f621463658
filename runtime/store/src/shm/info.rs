//! What a store has, as a command for people shows it.

use super::chunks::Kind;
use super::key::ObjectKey;
use super::shared::{Shared, now};
use super::slot::{Phase, Slot};
use std::time::Duration;

/// What an object is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectState {
    /// It is being written.
    Unsealed,
    /// Any client may view it, and none does.
    Sealed,
    /// So many clients view it. A deleted object stays until none does.
    Pinned {
        /// How many.
        clients: u32,
        /// Whether it was deleted, so that nobody else finds it.
        is_deleted: bool,
    },
    /// It is on disk, not in memory.
    Spilled,
}

/// An object that a store has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectInfo {
    /// How it is called; `None` before it is sealed.
    pub key: Option<ObjectKey>,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it is at.
    pub state: ObjectState,
    /// The number of the client that made it. After that client's end the number may be another's.
    pub made_by: u8,
    /// The time since it was allocated.
    pub age: Duration,
}

/// What of a store is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Bytes of the segment.
    pub bytes: usize,
    /// Bytes of it that are of extents: of objects, room beside them, and what is to be swept.
    pub extent_bytes: usize,
    /// Bytes of it that nobody has and that have memory.
    pub recycled_bytes: usize,
    /// Bytes of it that never had memory.
    pub fresh_bytes: usize,
    /// Objects in memory, those included that are written or deleted and viewed.
    pub objects: usize,
    /// Bytes of these.
    pub object_bytes: u64,
    /// Objects on disk.
    pub spilled_objects: usize,
    /// Bytes of these.
    pub spilled_bytes: u64,
}

impl Shared {
    /// All objects, each as it was at some moment while this looked.
    pub(crate) fn list(&self) -> Vec<ObjectInfo> {
        let now = now();
        self.table.slots().iter().filter_map(|slot| describe(slot, now)).collect()
    }

    /// Bytes in chunks of a kind.
    pub(crate) fn usage_of(&self, kind: Kind) -> usize {
        self.table.chunks().count(kind) * self.table.geometry().chunk_bytes
    }

    pub(crate) fn usage(&self) -> Usage {
        let geometry = self.table.geometry();
        let (recycled_bytes, fresh_bytes) = (self.usage_of(Kind::Free), self.usage_of(Kind::Fresh));
        let extent_bytes = geometry.bytes().saturating_sub(recycled_bytes + fresh_bytes);
        let empty = Usage { bytes: geometry.bytes(), extent_bytes, recycled_bytes, fresh_bytes, ..Usage::default() };
        self.list().into_iter().fold(empty, |mut usage, object| {
            let (count, bytes) = match object.state {
                ObjectState::Spilled => (&mut usage.spilled_objects, &mut usage.spilled_bytes),
                _ => (&mut usage.objects, &mut usage.object_bytes),
            };
            *count += 1;
            *bytes += object.bytes;
            usage
        })
    }
}

/// `None` where there is no object, or another one by the time it was read.
fn describe(slot: &Slot, now: u64) -> Option<ObjectInfo> {
    let word = slot.word();
    let (phase, clients) = (word.phase(), slot.pins());
    let state = match phase {
        Phase::Vacant => return None,
        Phase::Unsealed => ObjectState::Unsealed,
        Phase::Spilled => ObjectState::Spilled,
        Phase::Sealed | Phase::Evicting if clients == 0 => ObjectState::Sealed,
        _ => ObjectState::Pinned { clients, is_deleted: phase == Phase::Doomed },
    };
    let age = Duration::from_nanos(now.saturating_sub(slot.made_at()));
    let key = (phase != Phase::Unsealed).then(|| slot.key());
    let info = ObjectInfo { key, bytes: slot.span().len, state, made_by: word.maker(), age };
    (slot.word() == word).then_some(info)
}
