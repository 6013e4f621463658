//! A worker's way to large buffers: to the objects of its driver, see [`values`](super::values), or to the memory of
//! processes on other nodes, see [`spans`](super::spans).

use super::STORE;
use super::spans::Spans;
use super::values::{Values, named};
use rayline_store::shm::{Client, LentObjects};
use rayline_store::{Buf, Carrier, ImportError, Name};
use rayline_transport::ring;
use std::cell::OnceCell;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};

/// Where the large buffers are that calls name.
pub(super) enum Upstream {
    Store(Store),
    Spans(Arc<Spans>),
}

/// The store of the driver, of which this process becomes a client when it first needs it.
pub(super) struct Store {
    client: LazyLock<Option<Client>, Box<dyn FnOnce() -> Option<Client> + Send + Sync>>,
    /// The number of this process among those of its driver.
    maker: u64,
    serial: AtomicU64,
}

/// What one call was lent, and has made.
pub(crate) enum Lent<'a> {
    Objects(Objects<'a>),
    Spans(&'a Spans),
    /// In the driver, which lends to others.
    Values(&'a Values),
}

/// What one call was lent of a store, and has made in it.
pub(crate) struct Objects<'a> {
    store: &'a Store,
    objects: OnceCell<Option<LentObjects<'a>>>,
}

impl Upstream {
    /// By the socket that the driver has passed on, if it did. That isn't left to processes that this one starts.
    pub(super) fn inherit(maker: u64) -> Self {
        let socket = ring::inherited(STORE).ok();
        let client = LazyLock::new(Box::new(|| socket.and_then(connect)) as Box<_>);
        Self::Store(Store { client, maker, serial: AtomicU64::new(0) })
    }

    pub(super) fn lend(&self) -> Lent<'_> {
        match self {
            Self::Store(store) => Lent::Objects(Objects { store, objects: OnceCell::new() }),
            Self::Spans(spans) => Lent::Spans(spans),
        }
    }
}

fn connect(socket: OwnedFd) -> Option<Client> {
    let client = Client::connect(socket.into());
    client.inspect_err(|error| tracing::warn!(%error, "the driver's object store can't be used")).ok()
}

impl<'a> Objects<'a> {
    fn get(&self) -> Option<&LentObjects<'a>> {
        let Store { client, maker, serial } = self.store;
        let new = || Some(LentObjects::new(client.as_ref()?, *maker, serial));
        self.objects.get_or_init(new).as_ref()
    }
}

impl Lent<'_> {
    /// Makes what the call has made in the driver's store the driver's, before it is told.
    pub(crate) fn give_away(self) {
        if let Self::Objects(lent) = self
            && let Some(Some(objects)) = lent.objects.into_inner()
        {
            objects.give_away();
        }
    }
}

impl Carrier for Lent<'_> {
    fn export(&self, buffer: &Buf<u8>) -> Option<Name> {
        match self {
            Self::Objects(lent) => named(lent.get()?.export(buffer), buffer),
            Self::Spans(spans) => spans.export(buffer),
            Self::Values(values) => values.export(buffer),
        }
    }

    fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError> {
        let none = || ImportError::Unavailable { why: "this process has no object store".into() };
        match self {
            Self::Objects(lent) => lent.get().ok_or_else(none)?.import(name),
            Self::Spans(spans) => spans.import(name),
            Self::Values(values) => values.import(name),
        }
    }
}
