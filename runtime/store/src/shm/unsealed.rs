//! An object while it is written.

use super::client::Inner;
use super::slot::{Phase, Word};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

/// Memory of an object that nobody else sees yet, at a multiple of [`Region::ALIGN`](crate::Region::ALIGN). What is in
/// it at first is anything. Dropped without having been sealed, it is given back.
///
/// Invariant UNSEALED-1: the `len` bytes from `start` on lie in the writable mapping of `client`, have memory, and are
/// of `slot` alone, as long as its word is `word`.
pub struct Unsealed {
    pub(super) client: Arc<Inner>,
    pub(super) slot: u32,
    pub(super) word: Word,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is this value's alone (UNSEALED-1), and shared memory isn't bound to a thread.
unsafe impl Send for Unsealed {}
// SAFETY: as above; through a shared reference the bytes can only be read.
unsafe impl Sync for Unsealed {}

impl Unsealed {
    /// # Safety
    /// UNSEALED-1.
    pub(super) unsafe fn new(client: Arc<Inner>, (slot, word): (u32, Word), start: NonNull<u8>, len: usize) -> Self {
        Self { client, slot, word, start, len }
    }

    /// The client, slot, word and length, once the object is sealed.
    pub(super) fn into_parts(self) -> (Arc<Inner>, u32, Word, usize) {
        let unsealed = ManuallyDrop::new(self);
        // SAFETY: the value won't be used or dropped again, so this moves the field out of it.
        let client = unsafe { std::ptr::read(&raw const unsealed.client) };
        (client, unsealed.slot, unsealed.word, unsealed.len)
    }
}

impl Deref for Unsealed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: UNSEALED-1; shared memory is zeros until it is written.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Unsealed {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: UNSEALED-1, and `self` is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Unsealed {
    fn drop(&mut self) {
        let table = &self.client.shared.table;
        table.vacate(&table.slots()[self.slot as usize], self.word, Phase::Vacant, self.client.id);
    }
}

impl fmt::Debug for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unsealed({} bytes at {:p})", self.len, self.start)
    }
}
