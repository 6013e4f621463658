//! Where a client makes its objects.

use super::ClientId;
use super::slot::Word;
use super::table::Table;
use std::ops::Range;

/// Objects in an extent begin at multiples of this, as regions do.
const ALIGN: usize = crate::Region::ALIGN;
/// How many slots a client remembers to be vacant.
const VACANT_MAX: usize = 4096;

/// The extent that a client holds for small objects, and where it looks for slots. Nothing in it is worth anything to
/// others: when the client dies, the table alone tells what it had.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    slab: Option<Slab>,
    /// Slots that this client's objects had and that are vacant.
    vacant: Vec<u32>,
    block: Range<u32>,
    /// Where the last extent that was taken begins, in chunks: what is near it was touched before.
    pub(crate) last_head: usize,
}

/// An extent that is filled from its begin to its end.
#[derive(Debug)]
pub(crate) struct Slab {
    pub(crate) head: usize,
    /// In bytes of the segment.
    pub(crate) left: Range<usize>,
}

impl Heap {
    /// A place in the slab, if there is one.
    pub(crate) fn bump(&mut self, len: usize) -> Option<usize> {
        let slab = self.slab.as_mut()?;
        let offset = slab.left.start;
        let end = offset.checked_add(len.max(1))?.checked_next_multiple_of(ALIGN)?;
        (end <= slab.left.end).then(|| {
            slab.left.start = end;
            offset
        })
    }

    /// Takes another slab; the one before is loose from now on.
    pub(crate) fn replace(&mut self, table: &Table, slab: Option<Slab>) {
        if let Some(full) = std::mem::replace(&mut self.slab, slab) {
            table.chunks().loosen(full.head);
        }
    }

    /// Makes a vacant slot the client's.
    pub(crate) fn claim_slot(&mut self, table: &Table, client: ClientId) -> Option<(u32, Word)> {
        let slots = table.slots();
        let claim = |slot: u32| slots[slot as usize].claim(client).map(|word| (slot, word));
        while let Some(slot) = self.vacant.pop() {
            if let Some(claimed) = claim(slot) {
                return Some(claimed);
            }
        }
        for _ in 0..=slots.len() / 64 {
            if let Some(claimed) = self.block.by_ref().find_map(claim) {
                return Some(claimed);
            }
            let block = table.next_block() as u32;
            self.block = block * 64..(block + 1) * 64;
        }
        None
    }

    /// Remembers a slot that is vacant, if it still is when it is needed.
    pub(crate) fn remember(&mut self, slot: u32) {
        if self.vacant.len() < VACANT_MAX {
            self.vacant.push(slot);
        }
    }
}
