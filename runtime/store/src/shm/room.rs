//! Making room in memory by spilling, and bringing back what was spilled.

use super::ClientId;
use super::error::StoreError;
use super::heap::{Heap, Slab};
use super::keeper::KEEPER;
use super::shared::{Shared, now};
use super::slot::{Phase, Slot, Span, Word};
use super::spill::Spill;
use super::wire::Reply;
use std::slice;

/// What only one thread of the machine does at a time: it alone makes objects `Evicting` and `Spilled`, and takes them
/// out of these phases.
#[derive(Debug)]
pub(crate) struct Room {
    spill: Spill,
    /// Where small objects that are restored lie.
    heap: Heap,
}

impl Room {
    pub(crate) fn new(spill: Spill) -> Self {
        Self { spill, heap: Heap::default() }
    }

    /// An extent that `owner` holds, for which objects that nobody views are spilled, those not used for longest first.
    pub(crate) fn grant(&mut self, shared: &Shared, chunks: usize, owner: ClientId) -> Result<usize, StoreError> {
        let geometry = shared.table.geometry();
        let wanted = chunks.saturating_mul(geometry.chunk_bytes);
        let full = || StoreError::ObjectStoreFull { wanted, free: shared.free_bytes() };
        if chunks == 0 || chunks > geometry.chunks {
            return Err(full());
        }
        let mut unused = if self.spill.is_possible() { unused(shared) } else { vec![] };
        let mut spilled_bytes = 0;
        loop {
            if let Some(head) = shared.take(chunks, 0, owner)? {
                return Ok(head);
            }
            // Less than what is wanted won't do, so it isn't tried before.
            loop {
                let (slot, word) = unused.pop().ok_or_else(full)?;
                spilled_bytes += self.evict(shared, slot, word)?;
                if spilled_bytes >= wanted as u64 || unused.is_empty() {
                    break;
                }
            }
        }
    }

    /// Brings a spilled object back. Whoever asks has pinned it, so that it stays.
    pub(crate) fn restore(&mut self, shared: &Shared, slot: u32, generation: u64) -> Result<Reply, StoreError> {
        let Some(object) = shared.table.slots().get(slot as usize) else { return Ok(Reply::Absent) };
        let word = object.word();
        match word.phase() {
            Phase::Sealed if word.generation() == generation => return Ok(Reply::Done),
            Phase::Spilled if word.generation() == generation => {}
            _ => return Ok(Reply::Absent),
        }
        let len = object.span().len as usize;
        let (offset, own_head) = self.place(shared, len)?;
        let read = self.read(shared, (slot, generation), offset, len);
        if read.is_ok() {
            object.relocate(offset as u64);
            object.touch(now());
            let restored = object.advance(word, Phase::Sealed);
            assert!(restored.is_some(), "spilled objects change in this thread only");
            self.spill.remove(slot, generation);
        }
        // Where nothing was put into it, it is swept.
        own_head.into_iter().for_each(|head| shared.table.chunks().loosen(head));
        read.map(|()| Reply::Done)
    }

    /// Deletes a spilled object.
    pub(crate) fn delete(&mut self, shared: &Shared, slot: u32, generation: u64) -> Reply {
        let Some(object) = shared.table.slots().get(slot as usize) else { return Reply::Absent };
        let (word, key) = (object.word(), object.key());
        if word.phase() != Phase::Spilled || word.generation() != generation {
            return Reply::Absent;
        }
        self.spill.remove(slot, generation);
        let doomed = object.advance(word, Phase::Doomed);
        assert!(doomed.is_some(), "spilled objects change in this thread only");
        shared.table.index().remove(key, slot);
        shared.table.free_if_doomed(slot, KEEPER);
        Reply::Done
    }

    /// Memory for an object of `len` bytes, and the extent that is held until the object is there, if it has one.
    fn place(&mut self, shared: &Shared, len: usize) -> Result<(usize, Option<usize>), StoreError> {
        let geometry = shared.table.geometry();
        if len > geometry.small_bytes_max() {
            let head = self.grant(shared, len.div_ceil(geometry.chunk_bytes), KEEPER)?;
            return Ok((head * geometry.chunk_bytes, Some(head)));
        }
        if let Some(offset) = self.heap.bump(len) {
            return Ok((offset, None));
        }
        let head = self.grant(shared, geometry.slab_chunks(), KEEPER)?;
        let start = head * geometry.chunk_bytes;
        let left = start..start + geometry.slab_chunks() * geometry.chunk_bytes;
        self.heap.replace(&shared.table, Some(Slab { head, left }));
        Ok((self.heap.bump(len).expect("a small object fits into an empty slab"), None))
    }

    fn read(&self, shared: &Shared, file: (u32, u64), offset: usize, len: usize) -> Result<(), StoreError> {
        let start = shared.segment.writing(offset, len)?;
        // SAFETY: `place` found this memory, which has been reserved and in which nobody else makes objects.
        let bytes = unsafe { slice::from_raw_parts_mut(start.as_ptr(), len) };
        Ok(self.spill.read(file.0, file.1, bytes)?)
    }

    /// Writes an object to disk, and takes its memory if nobody viewed it meanwhile; how many bytes that was.
    fn evict(&mut self, shared: &Shared, at: u32, word: Word) -> Result<u64, StoreError> {
        let slot = &shared.table.slots()[at as usize];
        slot.pin(KEEPER);
        let evicted = self.evict_pinned(shared, slot, (at, word));
        slot.unpin(KEEPER);
        shared.table.free_if_doomed(at, KEEPER);
        evicted
    }

    fn evict_pinned(&mut self, shared: &Shared, slot: &Slot, (at, word): (u32, Word)) -> Result<u64, StoreError> {
        if slot.word() != word {
            return Ok(0);
        }
        let Span { offset, len } = slot.span();
        let start = shared.segment.reading(offset as usize, len as usize);
        // SAFETY: the object is sealed and pinned (SLOT-3), so that nobody changes it or takes its memory.
        let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), len as usize) };
        self.spill.write(at, word.generation(), bytes)?;
        let evicting = slot.advance(word, Phase::Evicting);
        let is_free = evicting.is_some() && !slot.is_pinned(Some(KEEPER));
        match evicting {
            Some(evicting) if is_free => {
                shared.table.vacate(slot, evicting, Phase::Spilled, KEEPER);
                slot.relocate(Span::NOWHERE);
                return Ok(len);
            }
            Some(evicting) => {
                let retained = slot.advance(evicting, Phase::Sealed);
                assert!(retained.is_some(), "evicting objects change in this thread only");
            }
            None => {}
        }
        self.spill.remove(at, word.generation());
        Ok(0)
    }
}

/// Sealed objects that nobody views now, the one not used for longest last.
fn unused(shared: &Shared) -> Vec<(u32, Word)> {
    let slots = shared.table.slots().iter().enumerate();
    let sealed = slots.filter_map(|(at, slot)| {
        let word = slot.word();
        (word.phase() == Phase::Sealed && slot.pins() == 0).then(|| (slot.used_at(), at as u32, word))
    });
    let mut sealed: Vec<_> = sealed.collect();
    sealed.sort_unstable_by_key(|(used_at, ..)| std::cmp::Reverse(*used_at));
    sealed.into_iter().map(|(_, at, word)| (at, word)).collect()
}
