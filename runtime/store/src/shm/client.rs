//! A process's access to the store.

use super::ClientId;
use super::error::StoreError;
use super::heap::{Heap, Slab};
use super::index::Refused;
use super::keeper::Keeper;
use super::key::ObjectKey;
use super::pins::Pins;
use super::segment::{self, Segment};
use super::shared::{Shared, now};
use super::slot::{Phase, Span, Word};
use super::table::Table;
use super::unsealed::Unsealed;
use super::wire::{self, Hello, Reply, Request};
use crate::Region;
use serde::Serialize;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a client rests before it asks again for memory that there wasn't.
const REST: Duration = Duration::from_millis(2);

/// A process's access to the store of its machine. Clones are the same client, for use from many threads.
///
/// A client's end gives back what it was writing and what it viewed; its objects stay. It ends when the last clone and
/// the last [`Region`] that it handed out are dropped, or with the process, however that ends.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

/// What all clones share.
pub(super) struct Inner {
    pub(super) id: ClientId,
    pub(super) shared: Arc<Shared>,
    pins: Pins,
    heap: Mutex<Heap>,
    patience: Duration,
    link: Link,
}

/// How a client reaches the store where shared memory doesn't do.
enum Link {
    /// In the same process.
    Near(Arc<Keeper>),
    /// In another one.
    Far(Mutex<UnixStream>),
}

impl Client {
    /// The client that this process becomes by a socket whose other end was given to
    /// [`Store::serve`](super::Store::serve).
    ///
    /// # Errors
    /// [`StoreError::ForeignUser`], [`StoreError::NotSealed`] or [`StoreError::Corrupt`] if the peer is no store to be
    /// trusted, [`StoreError::Gone`] if it hung up (as it does where there are too many clients).
    pub fn connect(socket: UnixStream) -> Result<Self, StoreError> {
        wire::check_user(&socket)?;
        let (hello, [table, data]) = wire::receive_hello(&socket).map_err(StoreError::Gone)?;
        let table = Table::open(table)?;
        let bytes = segment::sealed_len(data.as_fd())?;
        if bytes != table.geometry().bytes() {
            return Err(StoreError::Corrupt { what: "the length of the segment", found: bytes as u64 });
        }
        let shared = Shared { segment: Segment::open(data, bytes)?, table };
        Ok(Self::new(Arc::new(shared), hello, Link::Far(Mutex::new(socket))))
    }

    /// The client of the store's own process.
    pub(super) fn near(keeper: Arc<Keeper>, hello: Hello) -> Self {
        Self::new(keeper.shared.clone(), hello, Link::Near(keeper))
    }

    /// Memory for an object of `len` bytes.
    ///
    /// # Errors
    /// [`StoreError::ObjectStoreFull`] if there is no room though all that could be spilled was, and none came while
    /// [`StoreOptions::patience`](super::StoreOptions) lasted; [`StoreError::DiskFull`] if nothing could be spilled for
    /// want of disk; [`StoreError::NoMemory`]; [`StoreError::TooManyObjects`]; [`StoreError::Gone`].
    pub fn allocate(&self, len: usize) -> Result<Unsealed, StoreError> {
        let (slot, word, offset) = self.0.allocate(len)?;
        let start = self.0.shared.segment.writing(offset, len);
        let start = start.inspect_err(|_| self.0.abandon(slot, word))?;
        // SAFETY: UNSEALED-1: `allocate` found memory that is reserved and of this slot alone.
        Ok(unsafe { Unsealed::new(self.0.clone(), (slot, word), start, len) })
    }

    /// Ends the writing: from now on all clients find the object by `key`, and nobody changes it.
    ///
    /// # Errors
    /// [`StoreError::KeyExists`], [`StoreError::ForeignUnsealed`] if it was allocated by another client,
    /// [`StoreError::TooManyObjects`] if the index has no room for this key.
    pub fn seal(&self, key: ObjectKey, unsealed: Unsealed) -> Result<Region, StoreError> {
        let inner = &self.0;
        if !Arc::ptr_eq(inner, &unsealed.client) {
            return Err(StoreError::ForeignUnsealed);
        }
        let table = &inner.shared.table;
        let (slot, word) = (unsealed.slot, unsealed.word);
        table.slots()[slot as usize].set_key(key);
        table.index().insert(key, slot, std::thread::yield_now).map_err(|refused| match refused {
            Refused::Exists => StoreError::KeyExists { key },
            Refused::Full => StoreError::TooManyObjects { objects_max: table.geometry().slots },
        })?;
        let (_, _, _, len) = unsealed.into_parts();
        // Before others see it, so that it isn't gone before it is viewed here.
        inner.pins.add(table, slot);
        let sealed = table.slots()[slot as usize].advance(word, Phase::Sealed);
        assert!(sealed.is_some(), "an unsealed object is its maker's alone");
        let offset = table.slots()[slot as usize].span().offset as usize;
        Ok(inner.region(slot, offset, len))
    }

    /// Encodes `value` straight into shared memory: one copy of each buffer.
    ///
    /// # Errors
    /// As [`Client::allocate`] and [`Client::seal`], and [`StoreError::Codec`].
    pub fn put<T: Serialize + ?Sized>(&self, key: ObjectKey, value: &T) -> Result<Region, StoreError> {
        let plan = crate::plan(value)?;
        let mut unsealed = self.allocate(plan.len())?;
        plan.write_into(&mut unsealed)?;
        self.seal(key, unsealed)
    }

    /// The object, in place; `None` if there is none. One that was spilled is read from disk first. The object stays in
    /// memory until the last clone of the region goes.
    ///
    /// # Errors
    /// Those of [`Client::allocate`] if a spilled object finds no room, [`StoreError::Io`] if it can't be read.
    pub fn get(&self, key: &ObjectKey) -> Result<Option<Region>, StoreError> {
        let inner = &self.0;
        while let Some((slot, word)) = inner.pin(*key) {
            let object = &inner.shared.table.slots()[slot as usize];
            if word.phase() == Phase::Sealed {
                object.touch(now());
                return inner.view(slot, object.span()).map(Some);
            }
            let restored = inner.ask_patiently(Request::Restore { slot, generation: word.generation() }, 0);
            let is_there = object.word().phase() == Phase::Sealed && object.word().generation() == word.generation();
            if restored.is_ok() && is_there {
                return inner.view(slot, object.span()).map(Some);
            }
            inner.unpin(slot);
            restored?;
        }
        Ok(None)
    }

    /// Gives the object up: nobody finds it any more, and its memory is free once nobody views it. `false` if there was
    /// none.
    ///
    /// # Errors
    /// [`StoreError::Gone`] if it is on disk and the store is gone.
    pub fn delete(&self, key: &ObjectKey) -> Result<bool, StoreError> {
        let inner = &self.0;
        let table = &inner.shared.table;
        while let Some((slot, word)) = inner.find(*key) {
            if word.phase() != Phase::Sealed {
                match inner.ask(Request::Delete { slot, generation: word.generation() })? {
                    Reply::Done => return Ok(true),
                    _ => continue,
                }
            }
            if table.slots()[slot as usize].advance(word, Phase::Doomed).is_some() {
                table.index().remove(*key, slot);
                if table.free_if_doomed(slot, inner.id) {
                    inner.heap().remember(slot);
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the two are clones of each other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The keys of all objects that can be found.
    pub(super) fn keys(&self) -> Vec<ObjectKey> {
        self.0.shared.list().into_iter().filter_map(|object| object.key).collect()
    }

    fn new(shared: Arc<Shared>, hello: Hello, link: Link) -> Self {
        let pins = Pins::new(hello.client, shared.table.geometry().slots);
        let heap = Mutex::new(Heap::default());
        Self(Arc::new(Inner { id: hello.client, shared, pins, heap, patience: hello.patience, link }))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.0.id)
    }
}

impl Inner {
    /// A slot, and memory for `len` bytes that it describes.
    fn allocate(&self, len: usize) -> Result<(u32, Word, usize), StoreError> {
        let (table, geometry) = (&self.shared.table, self.shared.table.geometry());
        let mut heap = self.heap();
        let claimed = heap.claim_slot(table, self.id);
        let (slot, word) = claimed.ok_or(StoreError::TooManyObjects { objects_max: geometry.slots })?;
        let describe = |offset: usize| {
            table.slots()[slot as usize].describe(Span { offset: offset as u64, len: len as u64 }, now());
            (slot, word, offset)
        };
        // What the slot says of its last object must not be taken for this one's.
        table.slots()[slot as usize].relocate(Span::NOWHERE);
        if len <= geometry.small_bytes_max() {
            if let Some(offset) = heap.bump(len) {
                return Ok(describe(offset));
            }
            drop(heap);
            let head = self.extent(geometry.slab_chunks(), len).inspect_err(|_| self.abandon(slot, word))?;
            let start = head * geometry.chunk_bytes;
            let left = start..start + geometry.slab_chunks() * geometry.chunk_bytes;
            let mut heap = self.heap();
            heap.replace(table, Some(Slab { head, left }));
            return Ok(describe(heap.bump(len).expect("a small object fits into an empty slab")));
        }
        drop(heap);
        let chunks = len.div_ceil(geometry.chunk_bytes);
        let head = self.extent(chunks, len).inspect_err(|_| self.abandon(slot, word))?;
        let described = describe(head * geometry.chunk_bytes);
        table.chunks().loosen(head);
        Ok(described)
    }

    /// An extent, held by this client. Nothing is locked meanwhile.
    fn extent(&self, chunks: usize, wanted: usize) -> Result<usize, StoreError> {
        let geometry = self.shared.table.geometry();
        if chunks > geometry.chunks {
            return Err(StoreError::ObjectStoreFull { wanted, free: self.shared.free_bytes() });
        }
        let near = self.heap().last_head;
        match self.shared.take(chunks, near, self.id) {
            Ok(Some(head)) => {
                self.heap().last_head = head;
                return Ok(head);
            }
            Ok(None) | Err(StoreError::NoMemory { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.ask_patiently(Request::Grant { chunks }, wanted)? {
            Reply::Granted { head } if head + chunks <= geometry.chunks => Ok(head),
            _ => Err(StoreError::Corrupt { what: "the chunks granted", found: chunks as u64 }),
        }
    }

    /// Asks until there is room, or patience ends. `wanted` is what the user asked for, where it was memory.
    fn ask_patiently(&self, request: Request, wanted: usize) -> Result<Reply, StoreError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let error = match self.ask(request)? {
                Reply::Full { wanted: bytes } => {
                    StoreError::ObjectStoreFull { wanted: wanted.max(bytes), free: self.shared.free_bytes() }
                }
                Reply::DiskFull { wanted } => StoreError::DiskFull { wanted },
                Reply::NoMemory { wanted } => StoreError::NoMemory { wanted },
                Reply::Failed { errno } => return Err(io::Error::from_raw_os_error(errno).into()),
                reply => return Ok(reply),
            };
            if Instant::now() >= deadline {
                return Err(error);
            }
            std::thread::sleep(REST);
        }
    }

    fn ask(&self, request: Request) -> Result<Reply, StoreError> {
        match &self.link {
            Link::Near(keeper) => Ok(keeper.handle(self.id, request)),
            Link::Far(socket) => {
                let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
                request.send(&mut socket).and_then(|()| Reply::receive(&mut socket)).map_err(StoreError::Gone)
            }
        }
    }

    /// The object of the key, pinned, as it was found: sealed or on disk.
    fn pin(&self, key: ObjectKey) -> Option<(u32, Word)> {
        let table = &self.shared.table;
        table.index().find(key, |slot| {
            self.pins.add(table, slot);
            let found = self.matches(slot, key);
            if found.is_none() {
                self.unpin(slot);
            }
            found.map(|word| (slot, word))
        })
    }

    fn find(&self, key: ObjectKey) -> Option<(u32, Word)> {
        self.shared.table.index().find(key, |slot| self.matches(slot, key).map(|word| (slot, word)))
    }

    /// The slot's word, if it has a sealed or spilled object of that key.
    fn matches(&self, slot: u32, key: ObjectKey) -> Option<Word> {
        let object = &self.shared.table.slots()[slot as usize];
        loop {
            let (word, found) = (object.word(), object.key());
            let is_there = matches!(word.phase(), Phase::Sealed | Phase::Evicting | Phase::Spilled);
            if !is_there || found != key {
                return None;
            }
            let again = object.word();
            if again == word {
                return Some(word);
            }
        }
    }

    /// The region of a pinned object.
    fn view(self: &Arc<Self>, slot: u32, span: Span) -> Result<Region, StoreError> {
        let bytes = self.shared.table.geometry().bytes() as u64;
        if span.offset.checked_add(span.len).is_none_or(|end| end > bytes) {
            self.unpin(slot);
            return Err(StoreError::Corrupt { what: "where an object lies", found: span.offset });
        }
        Ok(self.region(slot, span.offset as usize, span.len as usize))
    }

    /// The region of a pinned object, which takes over the pin.
    fn region(self: &Arc<Self>, slot: u32, offset: usize, len: usize) -> Region {
        let start = self.shared.segment.reading(offset, len);
        let pin = Pin { client: self.clone(), slot };
        // SAFETY: the object is sealed, so nobody writes it, and pinned as long as `pin` lives, so its memory isn't
        // given to another (SLOT-3); the mapping lives as long as the client that `pin` has.
        unsafe { Region::from_raw_parts(start, len, pin) }
    }

    fn unpin(&self, slot: u32) {
        if self.pins.remove(&self.shared.table, slot) {
            self.heap().remember(slot);
        }
    }

    fn abandon(&self, slot: u32, word: Word) {
        let table = &self.shared.table;
        table.vacate(&table.slots()[slot as usize], word, Phase::Vacant, self.id);
    }

    fn heap(&self) -> MutexGuard<'_, Heap> {
        // Nothing panics between two states that belong together.
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.heap().replace(&self.shared.table, None);
    }
}

/// One view of an object.
struct Pin {
    client: Arc<Inner>,
    slot: u32,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.client.unpin(self.slot);
    }
}
