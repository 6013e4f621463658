//! The store, in the process that has it.

use super::ClientId;
use super::client::Client;
use super::error::StoreError;
use super::geometry::Geometry;
use super::info::{ObjectInfo, Usage};
use super::keeper::{Keeper, NEAR};
use super::options::StoreOptions;
use super::segment::{self, Segment};
use super::shared::Shared;
use super::spill::Spill;
use super::table::Table;
use super::wire::{self, Request};
use rustix::rand::GetRandomFlags;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// The object store of a machine: see the [module](super).
///
/// When it is dropped, its clients in other processes keep what they view, and what needs the store gives them
/// [`StoreError::Gone`].
#[derive(Debug)]
pub struct Store {
    keeper: Arc<Keeper>,
    near: Client,
    warming: Option<JoinHandle<()>>,
}

impl Store {
    /// Makes an empty store. What stores that are dead left in the spill folders is taken away.
    ///
    /// # Errors
    /// [`StoreError::NoMemory`] if there is none for the table, [`StoreError::Io`].
    pub fn create(options: StoreOptions) -> Result<Self, StoreError> {
        let geometry = Geometry::new(options.bytes, options.objects_max);
        let mut seed = [0; 8];
        rustix::rand::getrandom(&mut seed, GetRandomFlags::empty()).map_err(io::Error::from)?;
        let table = Table::create(geometry, u64::from_ne_bytes(seed))?;
        let file = segment::create_file("rayline-store", geometry.bytes())?;
        let shared = Shared { table, segment: Segment::open(file, geometry.bytes())? };
        let spill = Spill::open(&options.spill_dirs, u64::from_ne_bytes(seed), options.spill_spare_bytes)?;
        let keeper = Arc::new(Keeper::new(Arc::new(shared), options.patience, spill));
        let near = Client::near(keeper.clone(), keeper.hello(NEAR));
        let warming = (options.warm_bytes > 0).then(|| {
            let keeper = keeper.clone();
            let named = thread::Builder::new().name("rayline-store-warm".to_owned());
            named.spawn(move || keeper.keep_warm(options.warm_bytes))
        });
        Ok(Self { keeper, near, warming: warming.transpose()? })
    }

    /// The client of this process.
    pub fn client(&self) -> Client {
        self.near.clone()
    }

    /// Makes the process at the other end of a socket a client, by [`Client::connect`], and serves it by a thread until
    /// it ends; then what it left is made good, and the thread is over.
    ///
    /// # Errors
    /// [`StoreError::ForeignUser`], [`StoreError::TooManyClients`], or [`StoreError::Io`] if it is gone already.
    pub fn serve(&self, socket: UnixStream) -> Result<JoinHandle<()>, StoreError> {
        wire::check_user(&socket)?;
        let client = self.keeper.enrol(socket.try_clone()?)?;
        let files = [self.keeper.shared.table.file(), self.keeper.shared.segment.file()];
        let keeper = self.keeper.clone();
        let served = wire::send_hello(&socket, keeper.hello(client), files).and_then(|()| {
            let name = format!("rayline-store-{client}");
            let keeper = keeper.clone();
            thread::Builder::new().name(name).spawn(move || serve(&keeper, client, socket))
        });
        Ok(served.inspect_err(|_| keeper.bury(client))?)
    }

    /// All objects that there are, in no order; each as it was at some moment of the call.
    pub fn list(&self) -> Vec<ObjectInfo> {
        self.keeper.shared.list()
    }

    /// What is in use, about: others go on meanwhile.
    pub fn usage(&self) -> Usage {
        self.keeper.shared.usage()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.keeper.hang_up();
        if let Some(warming) = self.warming.take() {
            warming.thread().unpark();
            // It doesn't panic, and if it did, that would be its own message.
            let _ = warming.join();
        }
    }
}

/// Answers a client until it hangs up. One that says what no client says hears nothing any more, but keeps what it views
/// until it hangs up.
fn serve(keeper: &Keeper, client: ClientId, mut socket: UnixStream) {
    while let Ok(request) = Request::receive(&mut socket) {
        if keeper.handle(client, request).send(&mut socket).is_err() {
            break;
        }
    }
    // It may be gone already, and then there is nothing to shut down or to read.
    let _ = socket.shutdown(Shutdown::Write);
    let _ = io::copy(&mut socket, &mut io::sink());
    keeper.bury(client);
}
