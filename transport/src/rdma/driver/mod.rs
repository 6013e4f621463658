//! The thread that posts to the cards of an endpoint and takes their completions. It turns commands and completions
//! into events of the machine, and the machine's actions into calls.

mod act;
mod handle;
mod held;
mod job;
mod run;
mod waker;

pub use self::held::{Landed, Landing};
pub use self::job::{Job, Moved};
pub use self::run::Driver;
pub use self::waker::Waker;

use super::card::{End, QueuePair, RailAddress};
use super::machine::{Event, LaneId, TransferId};
use super::wire::{Grant, Message, Verdict};
use crate::face::PeerId;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// A connection by which a peer asks us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConduitId(pub u64);

/// How a peer is told something about cards, and what its rails are.
pub struct Link {
    pub messages: mpsc::Sender<Message>,
    pub rails: Vec<RailAddress>,
}

/// What the driver is told.
pub enum Command {
    /// Somebody wants bytes to be moved.
    Start(Box<Job>),
    /// Something of the machine's.
    Event(Event),
    /// A peer's cards are known, and this is how to talk about them.
    Linked { peer: PeerId, pairs: Vec<(usize, usize)>, link: Link },
    /// A queue pair of ours is made, not yet connected.
    Made { lane: LaneId, pair: QueuePair },
    /// The peer has made and connected its end.
    Answered { lane: LaneId, end: End },
    /// Ours is connected too.
    Connected { lane: LaneId, pair: QueuePair },
    /// The peer has pinned what was asked for.
    Granted { transfer: TransferId, grant: Grant },
    /// The peer pins it no longer.
    Released { transfer: TransferId, verdict: Verdict, checksums: Vec<u32> },
    /// A queue pair that a peer has with us. It can take words before the answer.
    Hold { conduit: ConduitId, lane: LaneId, pair: QueuePair, place: OwnedSemaphorePermit, done: oneshot::Sender<()> },
    /// The peer wants it no longer.
    Unhold { conduit: ConduitId, lane: LaneId },
    /// A peer is about to push.
    Land(Box<Landing>),
    /// It has pushed all, or gives up.
    Landed(Landed),
    /// A peer is gone: its queue pairs are ended before the answer.
    Forget { conduit: ConduitId, done: oneshot::Sender<()> },
    /// The end.
    Stop,
}
