//! Whole objects: one pull per object and destination, from several sources, within budgets.

mod broadcast;
mod budget;
mod handle;
mod machine;
mod puller;

pub use self::{
    broadcast::Broadcast,
    budget::Class,
    handle::{Progress, Pull},
    puller::Puller,
};

use crate::error::TransportError;
use crate::face::PeerId;
use crate::region::{Extent, RemoteSpan};

/// Names an object, so that it is pulled once whoever asks; its caller chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey(pub u128);

/// A peer that has an object, or is receiving it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The peer.
    pub peer: PeerId,
    /// The whole object there.
    pub span: RemoteSpan,
    /// Sources of a higher rank are asked only while all of a lower one are paused or gone.
    pub rank: u32,
}

/// What to pull, how urgently, from whom, and where to.
pub struct Ask {
    /// The object.
    pub object: ObjectKey,
    /// How urgent it is; asked again more urgently, a pull gets the higher class.
    pub class: Class,
    /// Its length in bytes.
    pub len: u64,
    /// Who has it.
    pub sources: Vec<Source>,
    /// Makes the landing place of `len` bytes; called when the pull is admitted, and not where one is under way.
    pub land: Box<dyn FnOnce() -> Result<Extent, TransportError> + Send>,
}
