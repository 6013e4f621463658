//! Which slot has the object of a key.

use super::key::ObjectKey;
use super::slot::{Phase, Slot};
use crate::sync::{AtomicU64, Ordering, fence};

#[cfg(not(loom))]
const WAYS: usize = 8;
#[cfg(loom)]
const WAYS: usize = 2;

/// Entries that lie in one cache line.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Bucket([AtomicU64; WAYS]);

impl Bucket {
    /// How many entries a bucket has.
    pub(crate) const WAYS: usize = WAYS;
}

impl Default for Bucket {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// Why a key couldn't be inserted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// Another slot has an object of that key.
    Exists,
    /// Both buckets of the key are full.
    Full,
}

/// A table of buckets. An entry is the upper half of the key's hash and the number of the slot plus one; 0 is none. A
/// key has two buckets, and its entry may be anywhere in them, so that a lookup reads two cache lines, and a removal
/// leaves no trace.
///
/// Invariant INDEX-1: of objects of one key one is sealed at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Index<'a> {
    buckets: &'a [Bucket],
    slots: &'a [Slot],
    seed: u64,
}

impl<'a> Index<'a> {
    /// `buckets` are a power of two.
    pub(crate) fn new(buckets: &'a [Bucket], slots: &'a [Slot], seed: u64) -> Self {
        debug_assert!(buckets.len().is_power_of_two());
        Self { buckets, slots, seed }
    }

    /// The first slot that may have the key and that `accept` accepts.
    pub(crate) fn find<T>(self, key: ObjectKey, mut accept: impl FnMut(u32) -> Option<T>) -> Option<T> {
        let hash = key.hash(self.seed);
        self.entries(hash).find_map(|entry| {
            let slot = slot_of(entry.load(Ordering::Acquire), hash)?;
            self.slots.get(slot as usize).and_then(|_| accept(slot))
        })
    }

    /// Enters an unsealed slot whose key is set. Of several at once with one key, one succeeds, and the others wait for
    /// it; `wait` is called while they do.
    pub(crate) fn insert(self, key: ObjectKey, slot: u32, mut wait: impl FnMut()) -> Result<(), Refused> {
        let entry = self.enter(key, slot)?;
        loop {
            match self.rival(key, slot) {
                None => return Ok(()),
                Some((rival, Phase::Unsealed)) if rival > slot => wait(),
                Some(_) => {
                    entry.store(0, Ordering::Release);
                    return Err(Refused::Exists);
                }
            }
        }
    }

    /// Takes the entry of a slot out.
    pub(crate) fn remove(self, key: ObjectKey, slot: u32) {
        let hash = key.hash(self.seed);
        let own = entry_of(hash, slot);
        if let Some(entry) = self.entries(hash).find(|entry| entry.load(Ordering::Relaxed) == own) {
            // Who sweeps after a dead client may have been faster.
            let _ = entry.compare_exchange(own, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Takes out what a dead client left: entries of slots that have no object, or that of another key.
    pub(crate) fn sweep(self) {
        for (at, bucket) in self.buckets.iter().enumerate() {
            for entry in &bucket.0 {
                let seen = entry.load(Ordering::Acquire);
                if seen != 0 && !self.is_live(at, seen) {
                    let _ = entry.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed);
                }
            }
        }
    }

    fn enter(self, key: ObjectKey, slot: u32) -> Result<&'a AtomicU64, Refused> {
        let hash = key.hash(self.seed);
        let new = entry_of(hash, slot);
        let enters = |entry: &&AtomicU64| {
            entry.load(Ordering::Relaxed) == 0
                && entry.compare_exchange(0, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let [first, second] = self.pair(hash);
        // While the first bucket is half empty, it doesn't matter which is the emptier one.
        if let Some(entry) = first.0[..WAYS / 2].iter().find(enters) {
            return Ok(entry);
        }
        let count = |bucket: &Bucket| bucket.0.iter().filter(|entry| entry.load(Ordering::Relaxed) != 0).count();
        let emptier = if count(first) <= count(second) { [first, second] } else { [second, first] };
        emptier.into_iter().flat_map(|bucket| &bucket.0).find(enters).ok_or(Refused::Full)
    }

    /// Another slot with an object of the key, or soon to have one. Own entries are written before this fence and those
    /// of others read after it, so of two that enter one key at once, at least one sees the other.
    fn rival(self, key: ObjectKey, own: u32) -> Option<(u32, Phase)> {
        fence(Ordering::SeqCst);
        let hash = key.hash(self.seed);
        self.entries(hash).find_map(|entry| {
            let slot = slot_of(entry.load(Ordering::Acquire), hash)?;
            let other = self.slots.get(slot as usize).filter(|_| slot != own)?;
            let (found, phase) = read(other);
            (found == key && !matches!(phase, Phase::Vacant | Phase::Doomed)).then_some((slot, phase))
        })
    }

    fn is_live(self, bucket: usize, entry: u64) -> bool {
        let Some(slot) = self.slots.get((entry as u32).wrapping_sub(1) as usize) else { return false };
        let word = slot.word();
        let hash = slot.key().hash(self.seed);
        let is_of_key = hash >> 32 == entry >> 32 && self.places(hash).contains(&bucket);
        word != slot.word() || is_of_key && !matches!(word.phase(), Phase::Vacant | Phase::Doomed)
    }

    fn entries(self, hash: u64) -> impl Iterator<Item = &'a AtomicU64> {
        self.pair(hash).into_iter().flat_map(|bucket| &bucket.0)
    }

    fn pair(self, hash: u64) -> [&'a Bucket; 2] {
        self.places(hash).map(|place| &self.buckets[place])
    }

    /// Two different ones, where there are two.
    fn places(self, hash: u64) -> [usize; 2] {
        let mask = self.buckets.len() - 1;
        let first = hash as usize & mask;
        let distance = (hash >> 32) as usize | 1;
        [first, (first ^ distance) & mask]
    }
}

/// Key and phase of one object, though the slot may get another one meanwhile.
fn read(slot: &Slot) -> (ObjectKey, Phase) {
    loop {
        let (before, key) = (slot.word(), slot.key());
        if slot.word() == before {
            return (key, before.phase());
        }
    }
}

fn entry_of(hash: u64, slot: u32) -> u64 {
    hash >> 32 << 32 | (u64::from(slot) + 1)
}

fn slot_of(entry: u64, hash: u64) -> Option<u32> {
    (entry >> 32 == hash >> 32).then(|| (entry as u32).checked_sub(1)).flatten()
}
