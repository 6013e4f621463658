//! The objects of one call that another process sent: those of its arguments, and those of its value.

use super::client::Client;
use super::error::StoreError;
use super::key::ObjectKey;
use super::object::{Object, Place, place};
use super::owned::Maker;
use crate::{Buf, ImportError, Name};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The objects that a call was lent by its caller, which owns them until it has the answer, and those that the call
/// makes for it.
///
/// A buffer of the call's arguments is named as it came, also a part of it. Any other is copied: one that an earlier
/// call was lent may be gone by now, and one that an earlier call made is its caller's.
#[derive(Debug)]
pub struct LentObjects<'a> {
    client: &'a Client,
    maker: Maker,
    serial: &'a AtomicU64,
    /// Those that may be named: which is few, so they are searched.
    objects: RefCell<Vec<Arc<Object>>>,
}

impl<'a> LentObjects<'a> {
    /// None yet. What is made bears the number `maker`, not 0 and this process's alone among those that have the store,
    /// and a `serial` number.
    pub fn new(client: &'a Client, maker: u64, serial: &'a AtomicU64) -> Self {
        Self { client, maker, serial, objects: RefCell::default() }
    }

    /// A name for the elements of `buffer`, copied into the store unless this call was lent or has made their object.
    /// `None` for a buffer without elements.
    ///
    /// # Errors
    /// Those of [`Client::allocate`].
    pub fn export(&self, buffer: &Buf<u8>) -> Result<Option<Name>, StoreError> {
        let mut objects = self.objects.borrow_mut();
        let is_usable = |object: &Arc<Object>| objects.iter().any(|usable| Arc::ptr_eq(usable, object));
        let mut made = None;
        let placed = place(buffer, is_usable, |bytes| {
            let key = ObjectKey::made(self.maker, self.serial.fetch_add(1, Ordering::Relaxed));
            let object = Object::copy_of(bytes, self.client, key)?;
            made = Some(object.clone());
            Ok(object)
        })?;
        objects.extend(made);
        Ok(placed.map(|(object, place)| Name::new(&place.encode(), object)))
    }

    /// The buffer of that name, in place.
    ///
    /// # Errors
    /// [`ImportError`], each variant.
    pub fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError> {
        let place = Place::decode(name)?;
        let mut objects = self.objects.borrow_mut();
        if let Some(object) = objects.iter().find(|object| object.key == place.key) {
            return object.clone().view(place);
        }
        let object = Object::borrowed(self.client.clone(), place.key);
        objects.push(object.clone());
        object.view(place)
    }

    /// Makes what the call has made the caller's, who adopts it when the answer comes. Must come before the answer is
    /// sent. Without it, what was made is deleted.
    pub fn give_away(self) {
        self.objects.borrow().iter().for_each(|object| object.give_away());
    }
}
