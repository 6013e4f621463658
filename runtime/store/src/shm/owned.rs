//! The objects that a process owns: those of its own buffers, and those that others made for it.

use super::client::Client;
use super::error::StoreError;
use super::key::ObjectKey;
use super::object::{Object, Place, place};
use crate::{Buf, ImportError, Name, Region};
use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The objects of a store that this process deletes: each with the last buffer, encoding or [`Name`] that refers to it.
///
/// A buffer is copied into shared memory when it is first named. From then on its memory has a twin there, which parts
/// of it are named by, too. What [`LentObjects`](super::LentObjects) of another process has made becomes this
/// process's by [`OwnedObjects::adopt`].
///
/// Invariant OWNED-1: of each object one process is the owner; it is handed over by a message, before which the maker
/// has given it up and after which the receiver adopts it.
#[derive(Debug)]
pub struct OwnedObjects {
    client: Client,
    serial: AtomicU64,
    known: Mutex<Known>,
}

/// Who made an object, as its key says: 0 for the owner itself.
pub(super) type Maker = u64;

/// The objects that there are, to be found by key.
#[derive(Debug, Default)]
struct Known {
    objects: HashMap<ObjectKey, Weak<Object>>,
    /// At as many, those that are gone are taken out.
    clean_at: usize,
}

impl OwnedObjects {
    /// None yet, in the store of that client.
    pub fn new(client: Client) -> Self {
        Self { client, serial: AtomicU64::new(0), known: Mutex::default() }
    }

    /// A name for the elements of `buffer`, copied into the store unless their memory has been before. While the name
    /// lives, the object stays in memory. `None` for a buffer without elements.
    ///
    /// # Errors
    /// Those of [`Client::allocate`], and of [`Client::get`].
    pub fn export(&self, buffer: &Buf<u8>) -> Result<Option<Name>, StoreError> {
        let is_usable = |object: &Arc<Object>| object.client.is_same(&self.client);
        let placed = place(buffer, is_usable, |bytes| {
            let key = ObjectKey::made(0, self.serial.fetch_add(1, Ordering::Relaxed));
            let object = Object::copy_of(bytes, &self.client, key)?;
            self.lock_known().add(&object);
            Ok(object)
        })?;
        let Some((object, place)) = placed else { return Ok(None) };
        let Some(pin) = object.region()? else { return Ok(None) };
        Ok(Some(Name::new(&place.encode(), Arc::new(Held { _object: object, _pin: pin }))))
    }

    /// Makes this process the owner of the objects in `encoding` that `maker` made and gave away. They, and those of
    /// this process that it names, live at least as long as what this returns.
    pub fn adopt(&self, encoding: &[u8], maker: Maker) -> Vec<Arc<dyn Any + Send + Sync>> {
        let places = crate::names(encoding).filter_map(|name| Place::decode(name).ok());
        let adopted = places.filter_map(|place| self.lock_known().adopt(place.key, maker, &self.client));
        adopted.map(|object| object as Arc<dyn Any + Send + Sync>).collect()
    }

    /// The buffer of that name, in place.
    ///
    /// # Errors
    /// [`ImportError::Unreadable`]; [`ImportError::Gone`] also for an object that isn't this process's;
    /// [`ImportError::Unavailable`] if it was spilled and finds no room.
    pub fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError> {
        let place = Place::decode(name)?;
        let object = self.lock_known().find(&place.key).ok_or(ImportError::Gone)?;
        object.view(place)
    }

    /// Deletes what a maker that is dead had made and not handed over; how many that were. None of its messages may be
    /// left to adopt.
    pub fn sweep(&self, maker: Maker) -> usize {
        let keys = self.client.keys().into_iter().filter(|key| key.maker() == maker);
        let left = keys.filter(|key| self.lock_known().find(key).is_none());
        left.filter(|key| self.client.delete(key).unwrap_or(false)).count()
    }

    fn lock_known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn find(&self, key: &ObjectKey) -> Option<Arc<Object>> {
        self.objects.get(key)?.upgrade()
    }

    fn add(&mut self, object: &Arc<Object>) {
        const CLEAN_AT_LEAST: usize = 64;
        if self.objects.len() >= self.clean_at {
            self.objects.retain(|_, object| object.strong_count() > 0);
            self.clean_at = (2 * self.objects.len()).max(CLEAN_AT_LEAST);
        }
        self.objects.insert(object.key, Arc::downgrade(object));
    }

    /// The object of that key, which is new if `maker` made it.
    fn adopt(&mut self, key: ObjectKey, maker: Maker, client: &Client) -> Option<Arc<Object>> {
        let known = self.find(&key);
        known.or_else(|| {
            let object = (key.maker() == maker).then(|| Object::owned(client.clone(), key))?;
            self.add(&object);
            Some(object)
        })
    }
}

/// What a name keeps: that the object isn't deleted, and that it isn't spilled.
struct Held {
    _object: Arc<Object>,
    _pin: Region,
}
