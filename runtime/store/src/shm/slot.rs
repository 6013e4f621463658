//! One object as all processes see it: where it lies, what it is at, and who views it.

use super::ClientId;
use super::key::ObjectKey;
use crate::sync::{AtomicU64, Ordering};

#[cfg(not(loom))]
const PIN_WORDS: usize = 4;
#[cfg(loom)]
const PIN_WORDS: usize = 2;

/// How many clients can have pins.
pub(crate) const CLIENTS_MAX: usize = PIN_WORDS * 64;

/// What an object is at.
///
/// ```text
///            claim              seal            doom                vacate
///  Vacant ----------> Unsealed ------> Sealed -------> Doomed ----------------> Vacant
///                        |             ^  | evict        ^   nobody has a pin
///                        |      retain |  v              |
///                        |             Evicting          |
///                        |      restore   | evicted      |
///                        | abandon Sealed |              |
///                        v          ^     v    doom      |
///                      Vacant       +--- Spilled --------+
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// There is no object.
    Vacant,
    /// Its maker writes it; nobody else sees it.
    Unsealed,
    /// It never changes again.
    Sealed,
    /// It is on disk; the store finds out whether its memory can go.
    Evicting,
    /// It is on disk only.
    Spilled,
    /// It was deleted, and somebody may still view it.
    Doomed,
}

/// A phase, the client whose object it is while unsealed (later: who made it), and a generation that tells this object
/// from others that had or will have the slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word(u64);

impl Word {
    const PHASES: [Phase; 6] =
        [Phase::Vacant, Phase::Unsealed, Phase::Sealed, Phase::Evicting, Phase::Spilled, Phase::Doomed];

    fn new(generation: u64, maker: ClientId, phase: Phase) -> Self {
        Self(generation << 12 | u64::from(maker) << 4 | phase as u64)
    }

    /// `Doomed` for what no process of ours writes, so that nobody views it.
    pub(crate) fn phase(self) -> Phase {
        Self::PHASES.get((self.0 & 0xf) as usize).copied().unwrap_or(Phase::Doomed)
    }

    pub(crate) fn maker(self) -> ClientId {
        (self.0 >> 4) as u8
    }

    pub(crate) fn generation(self) -> u64 {
        self.0 >> 12
    }

    fn at(self, phase: Phase) -> Self {
        Self(self.0 & !0xf | phase as u64)
    }
}

/// Where the bytes of an object lie in the segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Span {
    /// The offset of what isn't in memory.
    pub(crate) const NOWHERE: u64 = u64::MAX;
}

/// An object's place in the table.
///
/// Invariants: SLOT-1, what `key`, `offset` and `len` say belongs to the generation of `word` from when it is sealed;
/// SLOT-2, memory of a sealed object goes only after it was doomed or evicting and, thereafter, no client's bit was
/// found in `pins`; SLOT-3, whoever sets its bit and thereafter finds the word sealed keeps the memory until it clears
/// the bit.
///
/// SLOT-2 and SLOT-3 hold without fences because pins are read by read-modify-writes: of a pinner's and a deleter's on
/// the same word one comes first, and the other sees what was done before it.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Slot {
    word: AtomicU64,
    key: [AtomicU64; 2],
    offset: AtomicU64,
    len: AtomicU64,
    made_at: AtomicU64,
    used_at: AtomicU64,
    pins: [AtomicU64; PIN_WORDS],
}

impl Default for Slot {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        let [word, offset, len, made_at, used_at] = std::array::from_fn(|_| zero());
        Self { word, key: [zero(), zero()], offset, len, made_at, used_at, pins: std::array::from_fn(|_| zero()) }
    }
}

impl Slot {
    /// Makes a vacant slot the client's; `None` where it isn't vacant.
    pub(crate) fn claim(&self, client: ClientId) -> Option<Word> {
        let word = self.word();
        let claimed = Word::new(word.generation() + 1, client, Phase::Unsealed);
        (word.phase() == Phase::Vacant && self.swap(word, claimed)).then_some(claimed)
    }

    /// Says where the unsealed object lies. `now` is in nanoseconds.
    pub(crate) fn describe(&self, span: Span, now: u64) {
        self.offset.store(span.offset, Ordering::Relaxed);
        self.len.store(span.len, Ordering::Relaxed);
        self.made_at.store(now, Ordering::Relaxed);
        self.used_at.store(now, Ordering::Relaxed);
    }

    /// Says where the object lies now; to be called by the store only, of an object on disk.
    pub(crate) fn relocate(&self, offset: u64) {
        self.offset.store(offset, Ordering::Relaxed);
    }

    /// Says how the object is called, before it goes into the index.
    pub(crate) fn set_key(&self, key: ObjectKey) {
        let [low, high] = key.words();
        self.key[0].store(low, Ordering::Relaxed);
        self.key[1].store(high, Ordering::Relaxed);
    }

    /// Notes a use, for spilling the least recently used first.
    pub(crate) fn touch(&self, now: u64) {
        self.used_at.store(now, Ordering::Relaxed);
    }

    /// Goes from one phase to another, unless somebody else was faster. The orderings make what was written before
    /// visible to whoever sees the new phase.
    pub(crate) fn advance(&self, from: Word, to: Phase) -> Option<Word> {
        let next = from.at(to);
        self.swap(from, next).then_some(next)
    }

    /// Sets the client's bit. What it is worth follows from the word read after.
    pub(crate) fn pin(&self, client: ClientId) {
        let (word, bit) = self.pin_bit(client);
        word.fetch_or(bit, Ordering::AcqRel);
    }

    /// Clears the client's bit. Whoever does must look thereafter whether the object is doomed.
    pub(crate) fn unpin(&self, client: ClientId) {
        let (word, bit) = self.pin_bit(client);
        word.fetch_and(!bit, Ordering::AcqRel);
    }

    /// Whether any client but `besides` has a pin. Reads by read-modify-writes: see the type.
    pub(crate) fn is_pinned(&self, besides: Option<ClientId>) -> bool {
        self.pins.iter().enumerate().any(|(at, word)| {
            let own = besides.filter(|client| usize::from(*client) / 64 == at).map_or(0, |client| 1 << (client % 64));
            word.fetch_or(0, Ordering::AcqRel) & !own != 0
        })
    }

    pub(crate) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    pub(crate) fn span(&self) -> Span {
        Span { offset: self.offset.load(Ordering::Relaxed), len: self.len.load(Ordering::Relaxed) }
    }

    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::from_words([self.key[0].load(Ordering::Relaxed), self.key[1].load(Ordering::Relaxed)])
    }

    pub(crate) fn made_at(&self) -> u64 {
        self.made_at.load(Ordering::Relaxed)
    }

    pub(crate) fn used_at(&self) -> u64 {
        self.used_at.load(Ordering::Relaxed)
    }

    /// How many clients have pins, about.
    pub(crate) fn pins(&self) -> u32 {
        self.pins.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum()
    }

    /// Whether the client's bit is set, about.
    pub(crate) fn is_pinned_by(&self, client: ClientId) -> bool {
        let (word, bit) = self.pin_bit(client);
        word.load(Ordering::Acquire) & bit != 0
    }

    fn pin_bit(&self, client: ClientId) -> (&AtomicU64, u64) {
        (&self.pins[usize::from(client) / 64], 1 << (client % 64))
    }

    fn swap(&self, from: Word, to: Word) -> bool {
        self.word.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
