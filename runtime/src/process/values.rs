//! Large buffers between a driver and its worker processes: by name, in shared memory, not by bytes through the ring.
//!
//! ```text
//!  driver                        store (the driver's)                     worker
//!  encodes arguments:            object, made by 0     <----- view ------ decodes arguments
//!   copies a buffer once ------>  ... until the buffer, and
//!   or names the object           each call that names it, is gone
//!
//!  adopts what an answer names,  object, made by n     <----- copy ------ encodes the value,
//!   then decodes: a view ------>  ... until it is dropped                 gives it away, sends
//!  sweeps what n left when it dies
//! ```
//! Every object is the driver's from when its name is received; what a worker made and didn't hand over is found by the
//! worker's number in its key once the worker is dead. So nobody acknowledges anything. A call that is sent again names
//! the same objects. Where the store has no room, bytes go through the ring.

use super::STORE;
use super::spans::Spans;
use super::wire::{Haste, Header, Kind, Outlet};
use super::worker::Worker;
use crate::refs::RefId;
use crate::runtime;
use rayline_core::ids::NodeId;
use rayline_store::shm::{OwnedObjects, Store, StoreError, StoreOptions, Usage};
use rayline_store::{Buf, Carrier, CodecError, ImportError, Name, Region, decode, decode_with};
use rayline_transport::ring;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, fs, io};

/// How long a buffer waits for room. To send its bytes instead costs less than long waits do.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a driver shares with its worker processes.
pub(crate) struct Values {
    bytes: u64,
    state: Mutex<State>,
}

/// Spans, where the workers are on nodes; else
/// Unopened ---a process is started, or a large buffer encoded---> Open ---shutdown---> Closed; or Closed at once,
/// where there can't be a store. Objects that the program still has live on.
enum State {
    Unopened,
    Open(Arc<Opened>),
    Closed,
    Spans(Arc<Spans>),
}

struct Opened {
    store: Store,
    objects: OwnedObjects,
}

impl Values {
    /// A store of so many bytes, which isn't made yet; 0 for none.
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        let state = if bytes > 0 { State::Unopened } else { State::Closed };
        Arc::new(Self { bytes, state: Mutex::new(state) })
    }

    /// What processes of a cluster read of each other.
    pub(crate) fn of_cluster(spans: Arc<Spans>) -> Arc<Self> {
        Arc::new(Self { bytes: 0, state: Mutex::new(State::Spans(spans)) })
    }

    /// Where a worker of a node listens, whose values are to be read.
    pub(super) fn introduce(&self, peer: u128, address: SocketAddr) {
        if let Some(spans) = self.spans() {
            spans.introduce(peer, address);
        }
    }

    /// Gives the store up. What is in it stays until nobody views it.
    pub(crate) fn close(&self) {
        let state = std::mem::replace(&mut *self.lock(), State::Closed);
        drop(state);
    }

    /// What is in use of the store; `None` where there is none.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match &*self.lock() {
            State::Open(opened) => Some(opened.store.usage()),
            State::Unopened | State::Closed | State::Spans(_) => None,
        }
    }

    /// Has a worker that `command` starts find the store.
    pub(super) fn pass(&self, command: &mut Command) {
        match self.serve() {
            Some(socket) => ring::inherit(command, STORE, socket),
            // This process may be a worker itself, whose own is of no use to another.
            None => drop(command.env_remove(STORE)),
        }
    }

    /// The value that a worker has sent. What it names, but for objects of the store, its worker holds until it is
    /// released, as `release` does.
    pub(super) fn receive(&self, body: Region, maker: u64, release: impl FnOnce() -> Release) -> Value {
        let named = if rayline_store::names(&body).next().is_none() {
            Named::Nothing
        } else if let Some(spans) = self.spans() {
            Named::Spans { spans, release: release() }
        } else {
            let release = names_ref(&body).then(release);
            match self.opened() {
                Some(opened) => Named::Objects {
                    adopted: Adopted { _objects: opened.objects.adopt(&body, maker), opened },
                    release,
                },
                None => Named::Nothing,
            }
        };
        Value { body, named }
    }

    /// Arguments that a worker has sent, which keep what they name and it gave away.
    pub(super) fn keep_named(&self, args: Region, maker: u64) -> Region {
        if rayline_store::names(&args).next().is_none() || self.spans().is_some() {
            return args;
        }
        match self.opened() {
            Some(opened) => {
                let objects = opened.objects.adopt(&args, maker);
                args.keeping(objects)
            }
            None => args,
        }
    }

    /// Frees what a worker left that is dead, and of which no message is left.
    pub(super) fn sweep(&self, maker: u64) {
        let opened = match &*self.lock() {
            State::Open(opened) => opened.clone(),
            State::Unopened | State::Closed | State::Spans(_) => return,
        };
        let objects = opened.objects.sweep(maker);
        if objects > 0 {
            tracing::debug!(maker, objects, "freed what a worker process left");
        }
    }

    /// The worker's end of a new socket to the store; `None` where there is no store for it.
    fn serve(&self) -> Option<OwnedFd> {
        let opened = self.opened()?;
        let served = UnixStream::pair().map_err(StoreError::from).and_then(|(near, far)| {
            opened.store.serve(near)?;
            Ok(far.into())
        });
        served.inspect_err(|error| tracing::warn!(%error, "a worker process has no object store")).ok()
    }

    fn opened(&self) -> Option<Arc<Opened>> {
        let mut state = self.lock();
        if matches!(*state, State::Unopened) {
            *state = Opened::new(self.bytes).map_or(State::Closed, |opened| State::Open(Arc::new(opened)));
        }
        match &*state {
            State::Open(opened) => Some(opened.clone()),
            State::Unopened | State::Closed | State::Spans(_) => None,
        }
    }

    fn spans(&self) -> Option<Arc<Spans>> {
        match &*self.lock() {
            State::Spans(spans) => Some(spans.clone()),
            State::Unopened | State::Open(_) | State::Closed => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier for Values {
    fn export(&self, buffer: &Buf<u8>) -> Option<Name> {
        if let Some(spans) = self.spans() {
            return spans.export(buffer);
        }
        named(self.opened()?.objects.export(buffer), buffer)
    }

    fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError> {
        if let Some(spans) = self.spans() {
            return spans.import(name);
        }
        self.opened().ok_or(ImportError::Gone)?.objects.import(name)
    }
}

impl Opened {
    /// A store, that spills where it may; `None`, and a warning, where there can't be one.
    fn new(bytes: u64) -> Option<Self> {
        let mut options = StoreOptions::new(usize::try_from(bytes).unwrap_or(usize::MAX));
        // Nothing smaller than a buffer that is worth a name comes here; and most programs have few of these, so memory
        // is touched when it is used.
        options.objects_max = (options.bytes / (256 << 10)).clamp(4096, 1 << 15);
        (options.patience, options.warm_bytes) = (PATIENCE, 0);
        match spill_dir() {
            Ok(dir) => options.spill_dirs.push(dir),
            Err(error) => tracing::warn!(%error, "the object store has no folder to spill to"),
        }
        let store = Store::create(options.clone()).or_else(|error| {
            tracing::warn!(%error, "the object store can't spill");
            options.spill_dirs.clear();
            Store::create(options)
        });
        let warned =
            store.inspect_err(|error| tracing::warn!(%error, bytes, "no object store: large values are copied"));
        warned.ok().map(|store| Self { objects: OwnedObjects::new(store.client()), store })
    }
}

/// A folder of the user's alone, in the system's for temporary files.
fn spill_dir() -> io::Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let dir = env::temp_dir().join(format!("rayline-{user}"));
    match fs::DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(&dir)?;
    if found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0 {
        return Ok(dir);
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} is open to others", dir.display())))
}

/// The name of a buffer. That it has none never fails a call: its bytes are sent.
pub(super) fn named(name: Result<Option<Name>, StoreError>, buffer: &Buf<u8>) -> Option<Name> {
    let bytes = buffer.len();
    name.inspect_err(|error| tracing::debug!(%error, bytes, "a large buffer is sent as bytes")).ok().flatten()
}

/// A value as a worker sent it.
pub(crate) struct Value {
    body: Region,
    named: Named,
}

/// What a value names.
enum Named {
    Nothing,
    /// Objects of the driver's store, and what its worker refers to.
    Objects {
        adopted: Adopted,
        release: Option<Release>,
    },
    /// Memory of another process, which is let go with the value.
    Spans {
        spans: Arc<Spans>,
        release: Release,
    },
    /// What the driver has lent this worker, until the value is gone.
    Lent {
        worker: Arc<Worker>,
        release: Release,
    },
}

/// Has another process let go what an answer of it names.
pub(super) struct Release {
    pub(super) outlet: Arc<Outlet>,
    pub(super) call: u64,
    /// The node of that process, where it is a worker on one.
    pub(super) node: NodeId,
}

impl Drop for Release {
    fn drop(&mut self) {
        // A process that is gone holds nothing.
        let _ = self.outlet.send(Header::new(Kind::Release, self.call), [&[], &[]], Haste::Now);
    }
}

/// Whether a reference to something else is in an encoding.
pub(super) fn names_ref(encoding: &[u8]) -> bool {
    rayline_store::names(encoding).any(|name| RefId::decode(name).is_some())
}

/// The objects that a value names, until it is decoded and its buffers keep them.
struct Adopted {
    opened: Arc<Opened>,
    _objects: Vec<Arc<dyn Any + Send + Sync>>,
}

/// Why a value that has come can't be read.
pub(crate) enum Unread {
    /// It is not of its type.
    Codec(CodecError),
    /// It names what isn't there any more, in words that follow "its worker process".
    Gone(String),
}

impl Value {
    /// What the driver has sent to this worker.
    pub(super) fn lent(body: Region, worker: &Arc<Worker>, release: impl FnOnce() -> Release) -> Self {
        let is_whole = rayline_store::names(&body).next().is_none();
        let named = if is_whole { Named::Nothing } else { Named::Lent { worker: worker.clone(), release: release() } };
        Self { body, named }
    }

    /// The value as it came, which keeps what it names.
    pub(super) fn into_body(self) -> Region {
        match self.named {
            Named::Nothing => self.body,
            named => self.body.keeping(named),
        }
    }

    /// The value as it came, for others to read. What it names is kept by that, too.
    pub(crate) fn shared_body(self: &Arc<Self>) -> Region {
        self.body.clone().keeping(self.clone())
    }

    /// The node that has it, if it is on one.
    pub(crate) fn node(&self) -> NodeId {
        self.release().map_or_else(runtime::node, |release| release.node)
    }

    /// Whether what it names can be read, as far as is known.
    pub(crate) fn is_reachable(&self) -> bool {
        self.release().is_none_or(|release| release.outlet.is_open())
    }

    fn release(&self) -> Option<&Release> {
        match &self.named {
            Named::Nothing => None,
            Named::Objects { release, .. } => release.as_ref(),
            Named::Spans { release, .. } | Named::Lent { release, .. } => Some(release),
        }
    }

    /// Whether a part of it has yet to be read from another process.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let is_buffer = |name| RefId::decode(name).is_none();
        let of_spans = matches!(self.named, Named::Spans { .. } | Named::Lent { .. });
        of_spans && rayline_store::names(&self.body).any(is_buffer)
    }

    /// The value. Its large buffers are views of shared memory.
    ///
    /// # Errors
    /// [`Unread`], each variant.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, Unread> {
        let value = match &self.named {
            Named::Nothing => decode(&self.body),
            Named::Objects { adopted, .. } => decode_with(&self.body, adopted),
            Named::Spans { spans, .. } => decode_with(&self.body, &**spans),
            Named::Lent { worker, .. } => decode_with(&self.body, &worker.lend()),
        };
        value.map_err(|error| match error {
            error @ (CodecError::Import(ImportError::Gone | ImportError::Unavailable { .. })
            | CodecError::NoCarrier) => Unread::Gone(format!("sent a value of which a part is missing: {error}")),
            error => Unread::Codec(error),
        })
    }
}

impl Carrier for Adopted {
    fn export(&self, buffer: &Buf<u8>) -> Option<Name> {
        named(self.opened.objects.export(buffer), buffer)
    }

    fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError> {
        self.opened.objects.import(name)
    }
}
