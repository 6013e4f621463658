//! A worker's way to the objects of its driver: see [`values`](super::values).

use super::STORE;
use super::values::named;
use rayline_store::shm::{Client, LentObjects};
use rayline_store::{Buf, Carrier, ImportError, Name};
use rayline_transport::ring;
use std::cell::OnceCell;
use std::os::fd::OwnedFd;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;

/// The store of the driver, of which this process becomes a client when it first needs it.
pub(super) struct Upstream {
    client: LazyLock<Option<Client>, Box<dyn FnOnce() -> Option<Client> + Send + Sync>>,
    /// The number of this process among those of its driver.
    maker: u64,
    serial: AtomicU64,
}

/// What one call was lent of it, and has made in it.
pub(super) struct Lent<'a> {
    upstream: &'a Upstream,
    objects: OnceCell<Option<LentObjects<'a>>>,
}

impl Upstream {
    /// By the socket that the driver has passed on, if it did. That isn't left to processes that this one starts.
    pub(super) fn inherit(maker: u64) -> Self {
        let socket = ring::inherited(STORE).ok();
        Self { client: LazyLock::new(Box::new(|| socket.and_then(connect))), maker, serial: AtomicU64::new(0) }
    }

    pub(super) fn lend(&self) -> Lent<'_> {
        Lent { upstream: self, objects: OnceCell::new() }
    }
}

fn connect(socket: OwnedFd) -> Option<Client> {
    let client = Client::connect(socket.into());
    client.inspect_err(|error| tracing::warn!(%error, "the driver's object store can't be used")).ok()
}

impl<'a> Lent<'a> {
    fn objects(&self) -> Option<&LentObjects<'a>> {
        let Upstream { client, maker, serial } = self.upstream;
        let new = || Some(LentObjects::new(client.as_ref()?, *maker, serial));
        self.objects.get_or_init(new).as_ref()
    }

    /// Makes what the call has made the driver's, before it is told.
    pub(super) fn give_away(self) {
        if let Some(Some(objects)) = self.objects.into_inner() {
            objects.give_away();
        }
    }
}

impl Carrier for Lent<'_> {
    fn export(&self, buffer: &Buf<u8>) -> Option<Name> {
        named(self.objects()?.export(buffer), buffer)
    }

    fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError> {
        let none = || ImportError::Unavailable { why: "this process has no object store".into() };
        self.objects().ok_or_else(none)?.import(name)
    }
}
