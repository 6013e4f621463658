//! Checkpoints: an actor's state, saved now and then, and the calls since.

use crate::data::Data;
use rayline_store::{CodecError, Region, decode_copied, encode};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// An actor whose state is saved every `n` calls by `&mut self`, declared by `#[actor(checkpoint = n)]`.
///
/// A new life begins with the last saved state, and the calls after it are replayed; the call that crashed isn't.
/// Results that were delivered aren't delivered again.
///
/// Source: Moritz et al., OSDI'18, §4.2.3 and Figure 11b.
#[diagnostic::on_unimplemented(
    message = "`{Self}` declares `checkpoint`, but can't be saved",
    label = "needs `impl Checkpoint for {Self}`"
)]
pub trait Checkpoint: Sized {
    /// What is saved.
    type State: Data;

    /// The state now.
    fn save(&self) -> Self::State;

    /// The actor as it was.
    fn restore(state: Self::State) -> Self;
}

/// How an actor of type `A` is saved and restored.
#[doc(hidden)]
pub struct CheckpointOps<A> {
    pub(crate) save: fn(&A) -> Saved,
    pub(crate) restore: fn(&Saved) -> Option<A>,
    pub(crate) encode: fn(&Saved) -> Result<Region, CodecError>,
    pub(crate) decode: fn(&[u8]) -> Result<Saved, CodecError>,
}

/// A saved state, of a type that `CheckpointOps` knows.
pub(crate) type Saved = Box<dyn Any + Send>;

/// A call that can be made again.
pub(crate) type Replay<A> = Arc<dyn Fn(&mut A) + Send + Sync>;

impl<A: Checkpoint> CheckpointOps<A> {
    /// Those of a type that implements [`Checkpoint`].
    pub const fn of() -> Self {
        Self {
            save: |actor| Box::new(actor.save()),
            restore: |saved| saved.downcast_ref::<A::State>().cloned().map(A::restore),
            encode: |saved| encode(saved.downcast_ref::<A::State>().expect("it was saved by the same type")),
            decode: |bytes| Ok(Box::new(decode_copied::<A::State>(bytes)?)),
        }
    }
}

/// The last checkpoint of an actor, and what came after it. Outlives its lives.
pub(crate) struct Journal<A> {
    ops: CheckpointOps<A>,
    every: u64,
    /// Whether another process keeps the checkpoints, and the calls.
    is_sent: bool,
    state: Mutex<Entries<A>>,
}

struct Entries<A> {
    saved: Option<Saved>,
    calls: VecDeque<Replay<A>>,
    /// Calls since the last checkpoint, where another process keeps them.
    count: u64,
    /// A checkpoint that is still to be sent.
    unsent: Option<Region>,
}

impl<A> Journal<A> {
    pub(crate) fn new(ops: CheckpointOps<A>, every: u64) -> Self {
        let state = Mutex::new(Entries { saved: None, calls: VecDeque::new(), count: 0, unsent: None });
        Self { ops, every: every.max(1), is_sent: false, state }
    }

    /// A journal whose entries another process keeps, which has this checkpoint already.
    ///
    /// # Errors
    /// Where that can't be decoded.
    pub(crate) fn sent(ops: CheckpointOps<A>, every: u64, saved: Option<&[u8]>) -> Result<Self, CodecError> {
        let saved = saved.map(ops.decode).transpose()?;
        let state = Mutex::new(Entries { saved, calls: VecDeque::new(), count: 0, unsent: None });
        Ok(Self { ops, every: every.max(1), is_sent: true, state })
    }

    /// The checkpoint that is to be sent.
    pub(crate) fn take_unsent(&self) -> Option<Region> {
        self.lock().unsent.take()
    }

    /// A call has ended well: keeps it for replay, or saves the actor where it is time.
    pub(crate) fn record(&self, actor: &A, call: Replay<A>) {
        let mut entries = self.lock();
        if self.is_sent {
            return self.note(&mut entries, actor);
        }
        if (entries.calls.len() as u64) + 1 < self.every {
            return entries.calls.push_back(call);
        }
        entries.saved = Some((self.ops.save)(actor));
        entries.calls.clear();
    }

    fn note(&self, entries: &mut Entries<A>, actor: &A) {
        entries.count += 1;
        if entries.count < self.every {
            return;
        }
        match (self.ops.encode)(&(self.ops.save)(actor)) {
            Ok(saved) => (entries.unsent, entries.count) = (Some(saved), 0),
            Err(error) => tracing::warn!(%error, "a checkpoint can't be encoded; the one before is kept"),
        }
    }

    /// The actor as of the last call: from the checkpoint, or from `new` where there is none yet.
    pub(crate) fn restore<E>(&self, new: impl FnOnce() -> Result<A, E>) -> Result<A, E> {
        let (mut actor, calls) = {
            let entries = self.lock();
            let restored = entries.saved.as_ref().and_then(|saved| (self.ops.restore)(saved));
            (restored.map_or_else(new, Ok)?, entries.calls.clone())
        };
        calls.iter().for_each(|call| call(&mut actor));
        Ok(actor)
    }

    fn lock(&self) -> MutexGuard<'_, Entries<A>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
