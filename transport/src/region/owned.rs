//! Single objects in memory that something else owns: to be read by peers, or to be read from one.

use super::memory::{Access, Backing, Memory};
use super::registry::{Regions, Registration};
use super::{Extent, RemoteSpan};
use crate::error::TransportError;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes that peers may read until this is dropped.
pub struct Published {
    // Dropped first, so that the span is revoked in the region that it is of.
    extent: Extent,
    registration: Registration,
}

/// Memory that one object lands in.
pub struct Landing<O: Send + Sync + 'static> {
    extent: Extent,
    registration: Registration,
    memory: Arc<Pinned<O>>,
}

impl Regions {
    /// Lets peers read all bytes of `owner`, which is dropped after the last of them that reads when it is withdrawn.
    ///
    /// # Errors
    /// None that is known of: `Region` where the bytes can't be published as a whole.
    pub fn publish<O>(self: &Arc<Self>, owner: O) -> Result<Published, TransportError>
    where
        O: AsRef<[u8]> + Send + Sync + 'static,
    {
        let memory = Pinned::new(owner, |owner| {
            let bytes = owner.as_ref();
            (NonNull::from(bytes).cast(), bytes.len())
        });
        let bytes = memory.bytes;
        let registration = self.register(Lent(Arc::new(memory)), Access::Read);
        Ok(Published { extent: registration.publish(0, bytes)?, registration })
    }

    /// Makes all bytes of `owner` a landing place.
    ///
    /// # Errors
    /// None that is known of: `Region` where nothing can land there.
    pub fn land_in<O>(self: &Arc<Self>, owner: O) -> Result<Landing<O>, TransportError>
    where
        O: AsMut<[u8]> + Send + Sync + 'static,
    {
        let memory = Arc::new(Pinned::new(owner, |owner| {
            let bytes = owner.as_mut();
            (NonNull::from(&mut *bytes).cast(), bytes.len())
        }));
        let registration = self.register(Lent(memory.clone()), Access::Land);
        Ok(Landing { extent: registration.land(0, memory.bytes)?, registration, memory })
    }
}

impl Published {
    /// What a peer must name to read it.
    pub fn remote(&self) -> RemoteSpan {
        self.extent.remote()
    }

    /// Whether it is one of these.
    pub fn is_of(&self, regions: &Arc<Regions>) -> bool {
        self.registration.is_of(regions)
    }
}

impl<O: Send + Sync + 'static> Landing<O> {
    /// Where to land.
    pub fn extent(&self) -> &Extent {
        &self.extent
    }

    /// The owner, with the bytes that have landed. `None` where not all have, or where a peer reads them.
    pub fn finish(self) -> Option<O> {
        let Self { extent, registration, memory } = self;
        let is_complete = extent.is_complete();
        drop((extent, registration));
        // From here on nobody new comes to it, and none of those is left who were there.
        Arc::try_unwrap(memory).ok().filter(|_| is_complete).map(Pinned::into_owner)
    }
}

/// An owner that stays where it is, and the bytes that it has shown.
///
/// Invariant (PIN-1): from the call that showed the bytes until it is dropped or given back, nobody borrows the owner
/// again. So the bytes are as that one borrow of it left them: readable, and writable if it was exclusive.
struct Pinned<O> {
    owner: NonNull<O>,
    base: NonNull<u8>,
    bytes: u64,
}

// SAFETY: it is an `O` in a box, and bytes that are borrowed of it.
unsafe impl<O: Send> Send for Pinned<O> {}
// SAFETY: nobody borrows the owner (PIN-1); its bytes are plain.
unsafe impl<O: Sync> Sync for Pinned<O> {}

/// Memory that the registry shares with a landing place.
struct Lent<O>(Arc<Pinned<O>>);

// SAFETY: PIN-1, for as long as the `Arc` lives. `publish` has borrowed the owner for reading and registers it for that
// only; `land_in` has borrowed it exclusively.
unsafe impl<O: Send + Sync + 'static> Memory for Lent<O> {
    fn backing(&self) -> Backing {
        Backing::Host { base: self.0.base, bytes: self.0.bytes }
    }
}

impl<O> Pinned<O> {
    fn new(owner: O, show: impl FnOnce(&mut O) -> (NonNull<u8>, usize)) -> Self {
        let owner = NonNull::from(Box::leak(Box::new(owner)));
        // SAFETY: just made, and nobody else has it.
        let (base, bytes) = show(unsafe { &mut *owner.as_ptr() });
        Self { owner, base, bytes: bytes as u64 }
    }

    fn into_owner(self) -> O {
        let this = ManuallyDrop::new(self);
        // SAFETY: it was a box, and `drop` doesn't come for it.
        *unsafe { Box::from_raw(this.owner.as_ptr()) }
    }
}

impl<O> Drop for Pinned<O> {
    fn drop(&mut self) {
        // SAFETY: it was a box, and nobody has taken it.
        drop(unsafe { Box::from_raw(self.owner.as_ptr()) });
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").field("remote", &self.remote()).finish()
    }
}

impl<O: Send + Sync + 'static> fmt::Debug for Landing<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Landing").field("extent", &self.extent).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::Denied;
    use super::*;
    use crate::{InProcess, Limits, Network, PeerId, read_blocking};

    fn pair() -> (InProcess, InProcess) {
        let network = Network::new();
        let join = |peer| network.join(PeerId(peer), Regions::new(), Limits::default()).0;
        (join(1), join(2))
    }

    #[test]
    fn an_object_goes_from_one_vector_to_another() {
        let (holder, reader) = pair();
        let (holds, reads) = (crate::Transport::regions(&holder), crate::Transport::regions(&reader));
        let published = holds.publish((0..=255_u8).cycle().take(3_000_000).collect::<Vec<_>>()).unwrap();
        let part = published.remote().slice(256, 2_000_000);
        let landing = reads.land_in(vec![0_u8; 2_000_000]).unwrap();
        read_blocking(&reader, PeerId(1), part, landing.extent()).unwrap();
        let landed = landing.finish().unwrap();
        assert!(landed.iter().zip((0..=255_u8).cycle()).all(|(a, b)| *a == b));
        assert_eq!((holds.registered(), reads.registered()), (1, 0));
        assert!(published.is_of(holds) && !published.is_of(reads));
        drop(published);
        assert_eq!(holds.registered(), 0);
    }

    #[test]
    fn what_has_not_landed_is_not_given_back() {
        let regions = Regions::new();
        assert!(regions.land_in(vec![0_u8; 100]).unwrap().finish().is_none());
        assert_eq!(regions.registered(), 0);
    }

    #[test]
    fn an_owner_outlives_the_last_reader() {
        let regions = Regions::new();
        let owner: Arc<[u8]> = Arc::from(vec![9_u8; 64]);
        let kept = Arc::downgrade(&owner);
        let published = regions.publish(owner).unwrap();
        let remote = published.remote();
        let reader = regions.find(remote).unwrap();
        drop(published);
        assert_eq!(regions.find(remote).err(), Some(Denied::Revoked));
        assert!(kept.upgrade().is_some());
        drop(reader);
        assert!(kept.upgrade().is_none());
    }
}
