//! What can go wrong with the store.

use super::key::ObjectKey;
use crate::CodecError;
use std::io;

/// Why the store couldn't do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no room, and none came by spilling or waiting: objects are pinned, or there is nowhere to spill to.
    #[error("the object store is full: {wanted} bytes were wanted, and {free} are free, not all in one piece")]
    ObjectStoreFull {
        /// Bytes of the object.
        wanted: usize,
        /// Bytes of the segment that nobody has.
        free: usize,
    },
    /// No disk took what was to be spilled.
    #[error("no spill folder has room for {wanted} bytes")]
    DiskFull {
        /// Bytes that were to be written.
        wanted: usize,
    },
    /// The table has no room for one object more.
    #[error("the object store has as many objects as it can: {objects_max}")]
    TooManyObjects {
        /// How many there can be.
        objects_max: usize,
    },
    /// There are as many clients as there can be.
    #[error("the object store has as many clients as it can: {clients_max}")]
    TooManyClients {
        /// How many there can be.
        clients_max: usize,
    },
    /// There is such an object, and sealed ones don't change.
    #[error("an object {key} exists")]
    KeyExists {
        /// Its key.
        key: ObjectKey,
    },
    /// An unsealed object of another store was given.
    #[error("the unsealed object is of another client")]
    ForeignUnsealed,
    /// The machine has no memory left for the segment.
    #[error("the machine has no {wanted} bytes of memory for the object store")]
    NoMemory {
        /// Bytes that were wanted.
        wanted: usize,
    },
    /// The store that this is a client of is gone.
    #[error("the object store is gone: {0}")]
    Gone(#[source] io::Error),
    /// The process at the other end of the socket is another user's.
    #[error("the peer runs as user {peer}, not as {own}")]
    ForeignUser {
        /// The peer's user id.
        peer: u32,
        /// This process's.
        own: u32,
    },
    /// A file could shrink under those who read it, or isn't shared memory at all.
    #[error("the file isn't sealed against a change of its size")]
    NotSealed,
    /// Shared memory or a message says what no store of this version says.
    #[error("the object store says what can't be: {what} is {found}")]
    Corrupt {
        /// What it is about.
        what: &'static str,
        /// What was found.
        found: u64,
    },
    /// The value can't be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The operating system refused.
    #[error("the object store: {0}")]
    Io(#[from] io::Error),
}
