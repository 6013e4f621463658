//! Every interleaving of small programs with the words of the table.

use super::chunks::{Chunks, Kind, Want};
use super::index::{Bucket, Index, Refused};
use super::key::ObjectKey;
use super::slot::{Phase, Slot, Word};
use crate::sync::AtomicU64;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// A slot and the memory of its object. Whoever frees it writes it, as the next object's maker would: loom fails the
/// model if somebody still reads.
struct Object {
    slot: Slot,
    memory: UnsafeCell<u64>,
}

impl Object {
    fn sealed() -> (Arc<Self>, Word) {
        let object = Self { slot: Slot::default(), memory: UnsafeCell::new(7) };
        let unsealed = object.slot.claim(0).unwrap();
        let sealed = object.slot.advance(unsealed, Phase::Sealed).unwrap();
        (Arc::new(object), sealed)
    }

    /// As a client's `get` and the end of its view.
    fn view(&self, client: u8) {
        self.slot.pin(client);
        if self.slot.word().phase() == Phase::Sealed {
            // SAFETY: loom fails the model where somebody writes here meanwhile (SLOT-3).
            assert_eq!(self.memory.with(|memory| unsafe { *memory }), 7);
        }
        self.slot.unpin(client);
        self.free_if_doomed();
    }

    fn delete(&self, word: Word) {
        if self.slot.advance(word, Phase::Doomed).is_some() {
            self.free_if_doomed();
        }
    }

    /// As `Table::free_if_doomed`.
    fn free_if_doomed(&self) {
        let word = self.slot.word();
        if word.phase() == Phase::Doomed && !self.slot.is_pinned(None) {
            self.take_memory(word, Phase::Vacant);
        }
    }

    fn take_memory(&self, from: Word, to: Phase) -> bool {
        let is_taken = self.slot.advance(from, to).is_some();
        if is_taken {
            // SAFETY: loom fails the model where somebody reads or writes here meanwhile (SLOT-2).
            self.memory.with_mut(|memory| unsafe { *memory = 0 });
        }
        is_taken
    }
}

/// SLOT-2, SLOT-3: a view is safe from a delete, and whoever is last frees: nobody leaves it to the other. The clients'
/// bits are in different words.
#[test]
fn a_deleted_object_is_freed_once_and_after_the_last_view() {
    loom::model(|| {
        let (object, word) = Object::sealed();
        let viewers = [1, 100].map(|client| {
            let object = object.clone();
            thread::spawn(move || object.view(client))
        });
        object.delete(word);
        viewers.into_iter().for_each(|viewer| viewer.join().unwrap());
        assert_eq!(object.slot.word().phase(), Phase::Vacant);
    });
}

/// Two who end their views of a doomed object at once: one frees it.
#[test]
fn the_last_of_two_views_frees() {
    loom::model(|| {
        let (object, word) = Object::sealed();
        object.slot.pin(1);
        object.slot.pin(100);
        object.delete(word);
        let other = object.clone();
        let viewer = thread::spawn(move || {
            other.slot.unpin(100);
            other.free_if_doomed();
        });
        object.slot.unpin(1);
        object.free_if_doomed();
        viewer.join().unwrap();
        assert_eq!(object.slot.word().phase(), Phase::Vacant);
    });
}

/// SLOT-2 with eviction, as `Room::evict`: memory goes only if nobody views; whoever views keeps it.
#[test]
fn an_object_is_evicted_only_if_nobody_views_it() {
    loom::model(|| {
        let (object, word) = Object::sealed();
        let other = object.clone();
        let viewer = thread::spawn(move || other.view(100));
        let third = object.clone();
        let deleter = thread::spawn(move || third.delete(word));
        object.slot.pin(1);
        if let Some(evicting) = object.slot.advance(word, Phase::Evicting) {
            if object.slot.is_pinned(Some(1)) {
                object.slot.advance(evicting, Phase::Sealed).unwrap();
            } else {
                assert!(object.take_memory(evicting, Phase::Spilled));
            }
        }
        object.slot.unpin(1);
        object.free_if_doomed();
        viewer.join().unwrap();
        deleter.join().unwrap();
        assert_ne!(object.slot.word().phase(), Phase::Doomed);
    });
}

/// CHUNK-1, CHUNK-2: two who claim overlapping runs never have a chunk in common, and what they give back is whole.
#[test]
fn a_chunk_is_of_one_extent() {
    loom::model(|| {
        let words: Arc<[AtomicU64; 3]> = Arc::new(std::array::from_fn(|_| AtomicU64::new(Kind::Free as u64)));
        let cells: Arc<[UnsafeCell<u8>; 3]> = Arc::new(std::array::from_fn(|_| UnsafeCell::new(0)));
        let claim = |words: Arc<[AtomicU64; 3]>, cells: Arc<[UnsafeCell<u8>; 3]>, start, owner| {
            let chunks = Chunks(&words[..]);
            let Some(claim) = chunks.claim(2, start, Want::Free, owner) else { return false };
            for at in claim.chunks.clone() {
                // SAFETY: loom fails the model where somebody else has the chunk (CHUNK-1).
                cells[at].with_mut(|cell| unsafe { *cell += 1 });
            }
            chunks.settle(&claim);
            let head = claim.chunks.start;
            chunks.loosen(head);
            assert!(chunks.release(head, chunks.chunk(head), owner));
            true
        };
        let (their_words, their_cells) = (words.clone(), cells.clone());
        let other = thread::spawn(move || claim(their_words, their_cells, 1, 2));
        claim(words.clone(), cells, 0, 1);
        other.join().unwrap();
        assert_eq!(Chunks(&words[..]).count(Kind::Free), 3);
    });
}

/// CHUNK-2, as `Table::sweep`: an extent isn't released while an object is in it that its owner made before it let go.
#[test]
fn an_extent_with_an_object_is_not_swept() {
    loom::model(|| {
        let words: Arc<[AtomicU64; 1]> = Arc::new([AtomicU64::new(Kind::Free as u64)]);
        let (object, memory) = (Arc::new(Slot::default()), Arc::new(UnsafeCell::new(0)));
        let (their_words, their_object, their_memory) = (words.clone(), object.clone(), memory.clone());
        let maker = thread::spawn(move || {
            let chunks = Chunks(&their_words[..]);
            let claim = chunks.claim(1, 0, Want::Free, 1).unwrap();
            chunks.settle(&claim);
            let word = their_object.claim(1).unwrap();
            chunks.loosen(0);
            // SAFETY: loom fails the model where a sweeper has the memory.
            their_memory.with_mut(|memory| unsafe { *memory = 1 });
            their_object.advance(word, Phase::Vacant).unwrap();
        });
        for _ in 0..2 {
            let chunks = Chunks(&words[..]);
            let loose = chunks.loose();
            let is_empty = object.word().phase() == Phase::Vacant;
            for (head, chunk) in loose {
                if is_empty && chunks.release(head, chunk, 2) {
                    // SAFETY: loom fails the model where the object's maker still writes.
                    memory.with_mut(|memory| unsafe { *memory = 2 });
                }
            }
        }
        maker.join().unwrap();
    });
}

/// Two who release one extent: one does, and then it is claimed by one.
#[test]
fn an_extent_is_released_once() {
    loom::model(|| {
        let words: Arc<[AtomicU64; 2]> = Arc::new(std::array::from_fn(|_| AtomicU64::new(Kind::Free as u64)));
        let claim = Chunks(&words[..]).claim(2, 0, Want::Free, 1).unwrap();
        Chunks(&words[..]).settle(&claim);
        Chunks(&words[..]).loosen(0);
        let seen = Chunks(&words[..]).chunk(0);
        let theirs = words.clone();
        let other = thread::spawn(move || {
            let chunks = Chunks(&theirs[..]);
            let is_mine = chunks.release(0, seen, 2);
            (is_mine, chunks.claim(2, 0, Want::Free, 2).is_some())
        });
        let chunks = Chunks(&words[..]);
        let is_mine = chunks.release(0, seen, 1);
        let has_claimed = chunks.claim(2, 0, Want::Free, 1).is_some();
        let (is_theirs, they_have_claimed) = other.join().unwrap();
        assert!(is_mine != is_theirs && !(has_claimed && they_have_claimed));
    });
}

struct Names {
    buckets: [Bucket; 2],
    slots: [Slot; 2],
}

impl Names {
    fn index(&self) -> Index<'_> {
        Index::new(&self.buckets, &self.slots, 0)
    }

    fn seal(&self, key: ObjectKey, at: u32) -> Result<(), Refused> {
        let slot = &self.slots[at as usize];
        let word = slot.claim(at as u8).unwrap();
        slot.set_key(key);
        let inserted = self.index().insert(key, at, thread::yield_now);
        let phase = if inserted.is_ok() { Phase::Sealed } else { Phase::Vacant };
        slot.advance(word, phase).unwrap();
        inserted
    }
}

/// INDEX-1: of two who seal one key at once, one succeeds, and it is found.
#[test]
fn of_two_objects_of_one_key_one_is_sealed() {
    loom::model(|| {
        let names = Arc::new(Names { buckets: Default::default(), slots: Default::default() });
        let key = ObjectKey::from(1);
        let theirs = names.clone();
        let other = thread::spawn(move || theirs.seal(key, 1).is_ok());
        let is_mine = names.seal(key, 0).is_ok();
        let is_theirs = other.join().unwrap();
        assert!(is_mine != is_theirs);
        let sealed = |at: u32| (names.slots[at as usize].word().phase() == Phase::Sealed).then_some(at);
        assert_eq!(names.index().find(key, sealed), Some(u32::from(is_theirs)));
    });
}
