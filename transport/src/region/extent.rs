//! A span of a region that peers may read, whole or as far as it has arrived.

use super::chunks::{CHUNK_BYTES, ChunkMap, Waited};
use super::registry::{Denied, Region};
use super::{RemoteSpan, chunk_count};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// One object's bytes in a registered region: published, or landing. Its end revokes it.
#[derive(Debug)]
pub struct Extent {
    span: Arc<Span>,
}

/// What an extent, those who read from it and those who write to it share.
pub struct Span {
    region: Arc<Region>,
    remote: RemoteSpan,
    chunks: ChunkMap,
    /// Held for reading while this process looks at the bytes; the kernel and cards look without it.
    is_live: RwLock<bool>,
}

impl Extent {
    pub(super) fn new(span: Arc<Span>) -> Self {
        Self { span }
    }

    /// What a peer must name to read it.
    pub fn remote(&self) -> RemoteSpan {
        self.span.remote
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an object may well be empty: it is no collection")]
    pub fn len(&self) -> u64 {
        self.span.remote.len
    }

    /// Whether all chunks are there.
    pub fn is_complete(&self) -> bool {
        self.span.chunks.missing() == 0
    }

    /// A copy of its bytes, where all are there, in memory of this host: for tests and small objects.
    pub fn to_vec(&self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.len()).expect("a span lies in memory");
        let is_complete = self.is_complete() && self.span.is_on_host();
        // SAFETY: all chunks are there, so that nobody writes them while the extent lives.
        is_complete.then(|| unsafe { std::slice::from_raw_parts(self.span.at(0), len) }.to_vec())
    }

    pub(crate) fn span(&self) -> &Arc<Span> {
        &self.span
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        *self.span.is_live.write().unwrap_or_else(PoisonError::into_inner) = false;
        self.span.chunks.end();
    }
}

impl Span {
    pub(super) fn new(region: Arc<Region>, remote: RemoteSpan, is_present: bool) -> Self {
        let chunks = ChunkMap::new(chunk_count(remote.len), is_present);
        Self { region, remote, chunks, is_live: RwLock::new(true) }
    }

    pub fn remote(&self) -> RemoteSpan {
        self.remote
    }

    /// Where it ends, in bytes from the start of the region.
    pub fn end(&self) -> u64 {
        self.remote.offset + self.remote.len
    }

    pub fn chunks(&self) -> &ChunkMap {
        &self.chunks
    }

    /// Whether it may be read: asked again after the last byte was.
    pub fn is_live(&self) -> bool {
        *self.is_live.read().unwrap_or_else(PoisonError::into_inner) && self.region.is_registered()
    }

    /// The bytes of chunks, from the start of the span.
    pub fn bytes_of(&self, chunks: &Range<usize>) -> Range<u64> {
        let limit = self.remote.len;
        (chunks.start as u64 * CHUNK_BYTES).min(limit)..(chunks.end as u64 * CHUNK_BYTES).min(limit)
    }

    /// Waits until the bytes are there that begin `at` bytes into the region.
    pub fn wait(&self, at: u64, len: u64, deadline: Instant) -> Result<(), Denied> {
        let begin = at.checked_sub(self.remote.offset).ok_or(Denied::OutOfBounds)?;
        let end = begin.checked_add(len).filter(|end| *end <= self.remote.len).ok_or(Denied::OutOfBounds)?;
        let chunks = usize::try_from(begin / CHUNK_BYTES).expect("a span lies in memory")..chunk_count(end);
        match self.chunks.wait(chunks, deadline) {
            Waited::Present => Ok(()),
            Waited::Late => Err(Denied::NotYet),
            Waited::Ended => Err(Denied::Revoked),
        }
    }

    /// The same, for those who may not block.
    pub async fn present(&self, at: u64, len: u64, limit: Duration) -> Result<(), Denied> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            // Made before the look, so that no change between the two is missed.
            let changed = self.chunks.changed();
            match self.wait(at, len, Instant::now()) {
                Err(Denied::NotYet) => {}
                known => return known,
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(Denied::NotYet);
            }
        }
    }

    /// The region that it is of.
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Whether this process can look at its bytes.
    pub fn is_on_host(&self) -> bool {
        self.region.host_base().is_some()
    }

    /// The byte that is `at` bytes into the span.
    ///
    /// # Panics
    /// Where that lies outside, or not in memory of this host.
    pub fn at(&self, at: u64) -> *mut u8 {
        assert!(at <= self.remote.len, "byte {at} leaves {}", self.remote);
        let offset = usize::try_from(self.remote.offset + at).expect("a span lies in memory");
        // SAFETY: within the region, whose bytes its `Memory` keeps mapped.
        unsafe { self.region.host_base().expect("whoever needs it on the host has looked").as_ptr().add(offset) }
    }

    /// The checksum of bytes that are there; none once the span is revoked.
    pub fn checksum(&self, at: u64, len: usize) -> Option<u32> {
        let is_live = self.is_live.read().unwrap_or_else(PoisonError::into_inner);
        let begin = self.at(at);
        assert!(at + len as u64 <= self.remote.len, "{len} bytes at {at} leave {}", self.remote);
        // SAFETY: within the span, as asserted. The bytes are there (the caller waited), so that no landing writes
        // them; their owner doesn't before the extent has ended, which waits for this lock.
        is_live.then(|| crc32c::crc32c(unsafe { std::slice::from_raw_parts(begin, len) }))
    }
}

impl Span {
    /// Copies bytes that are there; false once the span is revoked.
    pub fn copy_to(&self, at: u64, to: *mut u8, len: usize) -> bool {
        let is_live = self.is_live.read().unwrap_or_else(PoisonError::into_inner);
        let from = self.at(at);
        assert!(at + len as u64 <= self.remote.len, "{len} bytes at {at} leave {}", self.remote);
        if *is_live && self.region.is_registered() {
            // SAFETY: the source as in `checksum`; `to` is of a claim of the same length, which this call's caller
            // holds, and claimed chunks are never present ones, so that the two don't overlap.
            unsafe { std::ptr::copy_nonoverlapping(from, to, len) };
            return true;
        }
        false
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.region.close(self.remote.offset);
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Span").field("remote", &self.remote).field("missing", &self.chunks.missing()).finish()
    }
}
