//! What the store's process does for all clients.

use super::ClientId;
use super::chunks::Kind;
use super::error::StoreError;
use super::room::Room;
use super::shared::Shared;
use super::slot::{CLIENTS_MAX, Phase};
use super::spill::Spill;
use super::wire::{Hello, Reply, Request};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The client that is the store's own process.
pub(crate) const NEAR: ClientId = 0;
/// What pins objects while they are written to disk.
pub(crate) const KEEPER: ClientId = ClientId::MAX;

/// Knows the clients, and does what only one process may do at a time.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) patience: Duration,
    /// Of client `n` at place `n`; `None` where there is none.
    clients: Mutex<Vec<Option<UnixStream>>>,
    /// Held by whoever makes room, or brings objects back.
    room: Mutex<Room>,
    /// From when the store is gone, while its clients may live on.
    is_closed: AtomicBool,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, patience: Duration, spill: Spill) -> Self {
        let clients = Mutex::new((0..CLIENTS_MAX).map(|_| None).collect());
        Self { shared, patience, clients, room: Mutex::new(Room::new(spill)), is_closed: AtomicBool::new(false) }
    }

    pub(crate) fn hello(&self, client: ClientId) -> Hello {
        Hello { client, patience: self.patience }
    }

    /// A number for the client at the other end of a socket, which is kept to hang up by.
    pub(crate) fn enrol(&self, socket: UnixStream) -> Result<ClientId, StoreError> {
        let mut clients = self.clients();
        let vacant = (NEAR + 1..KEEPER).find(|client| clients[usize::from(*client)].is_none());
        let client = vacant.ok_or(StoreError::TooManyClients { clients_max: CLIENTS_MAX - 2 })?;
        clients[usize::from(client)] = Some(socket);
        Ok(client)
    }

    /// Keeps so many bytes of unused memory touched, until none is left to touch or the store is gone.
    pub(crate) fn keep_warm(&self, bytes: usize) {
        const REST: Duration = Duration::from_millis(100);
        let is_cold = || self.shared.usage_of(Kind::Free) < bytes;
        while !self.is_closed.load(Ordering::Acquire) {
            match is_cold().then(|| self.shared.warm(KEEPER)) {
                Some(Ok(false)) => return,
                Some(Ok(true)) => {}
                // Where the machine has no memory now, it may have some later.
                Some(Err(_)) | None => thread::park_timeout(REST),
            }
        }
    }

    /// Does what a client asks for.
    pub(crate) fn handle(&self, client: ClientId, request: Request) -> Reply {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match request {
            Request::Grant { chunks } => room.grant(&self.shared, chunks, client).map(|head| Reply::Granted { head }),
            Request::Restore { slot, generation } => room.restore(&self.shared, slot, generation),
            Request::Delete { slot, generation } => Ok(room.delete(&self.shared, slot, generation)),
        };
        done.unwrap_or_else(|error| reply_of(&error))
    }

    /// Makes good what a client left when it ended, however it did, and lets another have its number.
    pub(crate) fn bury(&self, client: ClientId) {
        if self.is_closed.load(Ordering::Acquire) {
            return;
        }
        let table = &self.shared.table;
        for (at, slot) in table.slots().iter().enumerate() {
            let word = slot.word();
            // Its extent goes when it is swept: where the client died before it wrote down where the object lies, the
            // slot names another's.
            if word.phase() == Phase::Unsealed && word.maker() == client {
                slot.advance(word, Phase::Vacant);
            }
            if slot.is_pinned_by(client) {
                slot.unpin(client);
            }
            table.free_if_doomed(at as u32, KEEPER);
        }
        table.chunks().bury(client);
        table.index().sweep();
        table.sweep(KEEPER);
        self.clients()[usize::from(client)] = None;
    }

    /// Hangs up on all clients. They aren't dead by that and view what they do, so nothing of theirs is freed.
    pub(crate) fn hang_up(&self) {
        self.is_closed.store(true, Ordering::Release);
        for socket in self.clients().iter().flatten() {
            // One that is gone already needs no hanging up.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Option<UnixStream>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client is told of an error.
fn reply_of(error: &StoreError) -> Reply {
    match error {
        StoreError::ObjectStoreFull { wanted, .. } => Reply::Full { wanted: *wanted },
        StoreError::NoMemory { wanted } => Reply::NoMemory { wanted: *wanted },
        StoreError::DiskFull { wanted } => Reply::DiskFull { wanted: *wanted },
        StoreError::Io(source) => Reply::Failed { errno: errno(source) },
        _ => Reply::Failed { errno: rustix::io::Errno::IO.raw_os_error() },
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error())
}
