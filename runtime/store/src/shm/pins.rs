//! What this process views.

use super::ClientId;
use super::table::Table;
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

/// How often each object is viewed by one client. In the table a client has one bit for each object, which is set while
/// there is any view; so the death of a process undoes them all without their having been counted there.
#[derive(Debug)]
pub(crate) struct Pins {
    client: ClientId,
    /// Of slot `s`: shard `s % SHARDS`, place `s / SHARDS`.
    shards: Box<[Mutex<Vec<u32>>]>,
}

impl Pins {
    pub(crate) fn new(client: ClientId, slots: usize) -> Self {
        Self { client, shards: (0..SHARDS).map(|_| Mutex::new(vec![0; slots.div_ceil(SHARDS)])).collect() }
    }

    /// One view more. What it is worth follows from the slot's word, read after.
    pub(crate) fn add(&self, table: &Table, slot: u32) {
        let mut counts = self.shard(slot);
        let count = &mut counts[slot as usize / SHARDS];
        if *count == 0 {
            table.slots()[slot as usize].pin(self.client);
        }
        *count += 1;
    }

    /// One view less; whether the object was doomed and is free by that.
    pub(crate) fn remove(&self, table: &Table, slot: u32) -> bool {
        let mut counts = self.shard(slot);
        let count = &mut counts[slot as usize / SHARDS];
        *count -= 1;
        if *count > 0 {
            return false;
        }
        table.slots()[slot as usize].unpin(self.client);
        drop(counts);
        table.free_if_doomed(slot, self.client)
    }

    fn shard(&self, slot: u32) -> MutexGuard<'_, Vec<u32>> {
        // Nothing panics between two states that belong together.
        self.shards[slot as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
