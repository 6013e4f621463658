//! Large buffers between the processes of a cluster: by name, and read one-sidedly by whoever needs them.
//!
//! ```text
//!  driver                                                        worker
//!  encodes arguments: memory is published once,  <---- read ---- decodes arguments: each name is read once,
//!   until its last buffer is gone                                 and kept for calls that come soon
//!
//!  a thread apart decodes the value  ------ read ------------->  encodes its value: publishes its memory, keeps
//!   Release, once it is decoded or given up  ----------------->   the answer until it is released
//! ```
//! A call's encoded arguments keep the buffers that they name, so what a worker is asked to read is there until the
//! call is answered. Where the holder dies the read fails, within the transport's limits of time.

use super::span_cache::SpanCache;
use crate::error::chain;
use crate::refs::ProcessId;
use rayline_store::{Bequest, Buf, Carrier, ImportError, Name, Region, RegionMut};
use rayline_transport::tcp::Tcp;
use rayline_transport::{PeerId, Published, Refusal, Regions, RemoteSpan, Transport, TransportError, read_blocking};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Bytes that a worker keeps of what it has read, though no buffer of it is left: the next call may name it again.
const KEPT_BYTES_MAX: usize = 256 << 20;
/// How often a read is tried whose connection breaks.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(20);
/// How long a read waits for others to the same peer, of which there are as many as may be.
const PATIENCE: Duration = Duration::from_secs(10);

/// Memory that this process has published and that still is.
static PUBLISHED: AtomicUsize = AtomicUsize::new(0);
/// Bytes that this process has read from others.
static READ_BYTES: AtomicU64 = AtomicU64::new(0);

/// What a process of a cluster publishes, and reads of others.
pub(crate) struct Spans {
    /// Not to outlive the runtime: values do.
    tcp: Weak<Tcp>,
    regions: Arc<Regions>,
    local: PeerId,
    cache: SpanCache,
}

impl Spans {
    /// For a driver, which keeps nothing that it has read but in the values that it was read for.
    pub(crate) fn of_driver(tcp: &Arc<Tcp>) -> Arc<Self> {
        Self::new(tcp, 0)
    }

    /// For a worker.
    pub(super) fn of_worker(tcp: &Arc<Tcp>) -> Arc<Self> {
        Self::new(tcp, KEPT_BYTES_MAX)
    }

    fn new(tcp: &Arc<Tcp>, kept_bytes_max: usize) -> Arc<Self> {
        let (regions, local) = (tcp.regions().clone(), tcp.local());
        Arc::new(Self { tcp: Arc::downgrade(tcp), regions, local, cache: SpanCache::new(kept_bytes_max) })
    }

    /// Where a process listens whose buffers are to be read.
    pub(super) fn introduce(&self, peer: u128, address: SocketAddr) {
        if let Some(tcp) = self.tcp.upgrade() {
            tcp.introduce(PeerId(peer), address);
        }
    }

    fn read(&self, place: Place) -> Result<Buf<u8>, ImportError> {
        let Place { holder, span } = place;
        let tcp = self.tcp.upgrade().filter(|_| holder != self.local).ok_or(ImportError::Gone)?;
        let len = usize::try_from(span.len).map_err(|_| ImportError::Unreadable)?;
        let mut landed = read_once(&tcp, place, len);
        let begin = Instant::now();
        for tries in 1.. {
            let Err(error) = &landed else { break };
            let is_worth_it = match error {
                TransportError::Full { .. } => begin.elapsed() < PATIENCE,
                TransportError::PeerGone { .. }
                | TransportError::Corrupt { .. }
                | TransportError::Refused { refusal: Refusal::Busy, .. } => tries < TRIES,
                _ => false,
            };
            if !is_worth_it {
                break;
            }
            sleep(PAUSE);
            landed = read_once(&tcp, place, len);
        }
        let region = landed.map_err(|error| match error {
            TransportError::Revoked { .. } => ImportError::Gone,
            error => ImportError::Unavailable { why: chain(&error) },
        })?;
        READ_BYTES.fetch_add(span.len, Ordering::Relaxed);
        Buf::view(&region, ..).map_err(|_| ImportError::Unreadable)
    }
}

/// Reads a span to where its bytes stay.
fn read_once(tcp: &Arc<Tcp>, Place { holder, span }: Place, len: usize) -> Result<Region, TransportError> {
    let landing = tcp.regions().land_in(RegionMut::zeroed(len))?;
    read_blocking(&**tcp, holder, span, landing.extent())?;
    let revoked = TransportError::Revoked { peer: holder, span };
    landing.finish().map(RegionMut::seal).ok_or(revoked)
}

impl Carrier for Spans {
    fn export(&self, buffer: &Buf<u8>) -> Option<Name> {
        let is_usable = |shown: &Shown| shown.0.as_ref().is_some_and(|published| published.is_of(&self.regions));
        let (shown, range) = buffer.hang(is_usable, |bequest| Shown::new(&self.regions, bequest))?;
        let span = shown.0.as_ref()?.remote().slice(range.start as u64, range.len() as u64);
        let place = Place { holder: self.local, span };
        self.cache.let_go(buffer);
        self.cache.own(place, buffer);
        Some(Name::new(&place.encode(), Arc::new(buffer.clone())))
    }

    fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError> {
        let place = Place::decode(name)?;
        self.cache.get(place, || self.read(place))
    }
}

/// Memory that others may read, if it could be published. It hangs on the memory.
struct Shown(Option<Published>);

impl Shown {
    fn new(regions: &Arc<Regions>, bequest: Bequest) -> Self {
        let published = regions.publish(bequest);
        PUBLISHED.fetch_add(1, Ordering::Relaxed);
        Self(published.inspect_err(|error| tracing::warn!(%error, "a large buffer is sent as bytes")).ok())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        PUBLISHED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which process has what a name names, and how much that is; `None` for names of something else.
pub(super) fn held_by(name: &[u8]) -> Option<(ProcessId, u64)> {
    let Place { holder, span } = Place::decode(name).ok()?;
    Some((ProcessId(holder.0), span.len))
}

/// How many memories of this process are published for others to read.
pub fn published_memories() -> usize {
    PUBLISHED.load(Ordering::Relaxed)
}

/// How many bytes of large buffers this process has read from others.
pub fn span_bytes_read() -> u64 {
    READ_BYTES.load(Ordering::Relaxed)
}

/// Bytes of some process, as their name says it.
///
/// ```text
/// 0  2: memory of a process of the cluster    17  key, generation, offset and length of the span, 4 x u64
/// 1  the holder, u128
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Place {
    holder: PeerId,
    pub(super) span: RemoteSpan,
}

const KIND: u8 = 2;
const PLACE_BYTES: usize = 49;

impl Place {
    fn encode(&self) -> [u8; PLACE_BYTES] {
        let RemoteSpan { key, generation, offset, len } = self.span;
        let mut name = [KIND; PLACE_BYTES];
        name[1..17].copy_from_slice(&self.holder.0.to_le_bytes());
        for (at, number) in name[17..].chunks_exact_mut(8).zip([key, generation, offset, len]) {
            at.copy_from_slice(&number.to_le_bytes());
        }
        name
    }

    fn decode(name: &[u8]) -> Result<Self, ImportError> {
        let name: &[u8; PLACE_BYTES] = name.try_into().map_err(|_| ImportError::Unreadable)?;
        let (holder, numbers) = name[1..].split_first_chunk().expect("a name is longer than a peer's");
        let (numbers, []) = numbers.as_chunks() else { unreachable!("four numbers follow") };
        let number = |at: usize| u64::from_le_bytes(numbers[at]);
        let span = RemoteSpan { key: number(0), generation: number(1), offset: number(2), len: number(3) };
        let place = Self { holder: PeerId(u128::from_le_bytes(*holder)), span };
        if name[0] == KIND { Ok(place) } else { Err(ImportError::Unreadable) }
    }

    #[cfg(test)]
    pub(super) fn of_test(key: u64, len: u64) -> Self {
        Self { holder: PeerId(1), span: RemoteSpan { key, generation: 0, offset: 0, len } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayline_transport::tcp::{ClusterId, Options, Secret};

    fn endpoint(peer: u128) -> Arc<Tcp> {
        let options = Options::loopback(PeerId(peer), ClusterId(1), Secret([1; 32]));
        Arc::new(Tcp::bind(options, Regions::new()).unwrap().0)
    }

    #[test]
    fn names_come_back_and_others_are_refused() {
        let span = RemoteSpan { key: 1, generation: 2, offset: 1 << 40, len: 3 };
        let place = Place { holder: PeerId(u128::MAX - 5), span };
        assert_eq!(Place::decode(&place.encode()), Ok(place));
        for garbled in [&place.encode()[1..], &[], &[1; PLACE_BYTES], &[2; 64]] {
            assert_eq!(Place::decode(garbled), Err(ImportError::Unreadable));
        }
    }

    #[test]
    fn a_buffer_is_published_once_and_read_once() {
        let (near, far) = (endpoint(1), endpoint(2));
        let (driver, worker) = (Spans::of_driver(&near), Spans::of_worker(&far));
        worker.introduce(1, near.address());
        let buffer: Buf<u8> = (0..=255).cycle().take(3 << 20).collect();
        let (whole, part) = (driver.export(&buffer).unwrap(), driver.export(&buffer.slice(100..2000)).unwrap());
        assert_eq!(near.regions().registered(), 1);
        let read = worker.import(whole.bytes()).unwrap();
        assert_eq!(read, buffer);
        assert_eq!(worker.import(part.bytes()).unwrap()[..], buffer[100..2000]);
        assert_eq!(driver.import(part.bytes()).unwrap().as_ptr(), buffer[100..].as_ptr(), "its own comes back");
        let again = worker.import(whole.bytes()).unwrap();
        assert_eq!(again.as_ptr(), read.as_ptr());
        let name = *whole.bytes().first_chunk::<PLACE_BYTES>().unwrap();
        drop((whole, part));
        assert_eq!(near.regions().registered(), 1, "the buffer lives");
        drop(buffer);
        assert_eq!(near.regions().registered(), 0);
        let stranger = Spans::of_driver(&endpoint(3));
        assert_eq!(stranger.import(&name).unwrap_err(), ImportError::Gone, "its endpoint is gone");
        let other = endpoint(4);
        let late = Spans::of_driver(&other);
        late.introduce(1, near.address());
        assert_eq!(late.import(&name).unwrap_err(), ImportError::Gone, "it was withdrawn");
        drop(near);
        assert!(matches!(late.import(&name), Err(ImportError::Unavailable { .. })));
    }
}
