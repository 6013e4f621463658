//! Buffers that are parts of objects, and how those are called.

use super::client::Client;
use super::error::StoreError;
use super::key::ObjectKey;
use crate::memory::Twin;
use crate::{Buf, ImportError, Region};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// As many parts of memory are copied one by one; where one more is wanted, all of it is.
const PARTS_MAX: usize = 64;
/// As many twins as memory may have, with those that can't be used any more; one more, and the oldest is forgotten.
const TWINS_MAX: usize = 128;

/// An object that buffers of this process are views or copies of.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) client: Client,
    pub(super) key: ObjectKey,
    /// Whether it is deleted with the last that refers to it here.
    is_owned: AtomicBool,
}

impl Object {
    pub(super) fn owned(client: Client, key: ObjectKey) -> Arc<Self> {
        Arc::new(Self { client, key, is_owned: AtomicBool::new(true) })
    }

    /// One that another process deletes.
    pub(super) fn borrowed(client: Client, key: ObjectKey) -> Arc<Self> {
        Arc::new(Self { client, key, is_owned: AtomicBool::new(false) })
    }

    /// A new object with a copy of `bytes`.
    pub(super) fn copy_of(bytes: &[u8], client: &Client, key: ObjectKey) -> Result<Arc<Self>, StoreError> {
        let mut unsealed = client.allocate(bytes.len())?;
        unsealed.copy_from_slice(bytes);
        client.seal(key, unsealed)?;
        Ok(Self::owned(client.clone(), key))
    }

    /// From now on another process deletes it.
    pub(super) fn give_away(&self) {
        self.is_owned.store(false, Ordering::Release);
    }

    /// The bytes that `place` names, which keep the object.
    pub(super) fn view(self: Arc<Self>, place: Place) -> Result<Buf<u8>, ImportError> {
        let region = self.region().map_err(|error| ImportError::Unavailable { why: error.to_string() })?;
        let region = region.ok_or(ImportError::Gone)?;
        let (start, len) = (usize::try_from(place.offset), usize::try_from(place.len));
        let range = start.ok().zip(len.ok()).and_then(|(start, len)| Some(start..start.checked_add(len)?));
        let buffer = range.and_then(|range| Buf::view(&region, range).ok()).ok_or(ImportError::Unreadable)?;
        if let Some(memory) = region.keep() {
            memory.twins().push(Twin { range: 0..region.len(), place: self });
        }
        Ok(buffer)
    }

    /// The object, in place and kept in memory; `None` if there is none.
    pub(super) fn region(&self) -> Result<Option<Region>, StoreError> {
        self.client.get(&self.key)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if *self.is_owned.get_mut() {
            // Fails where it is on disk and the store is gone, with which its files go.
            let _ = self.client.delete(&self.key);
        }
    }
}

/// A part of an object, as its name says it.
///
/// ```text
/// 0  1: an object of the machine's store    17  its first byte, u64
/// 1  key, 16 bytes                          25  how many bytes, u64
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) key: ObjectKey,
    offset: u64,
    len: u64,
}

const PLACE_BYTES: usize = 33;
const KIND: u8 = 1;

impl Place {
    pub(super) fn decode(name: &[u8]) -> Result<Self, ImportError> {
        let name: &[u8; PLACE_BYTES] = name.try_into().map_err(|_| ImportError::Unreadable)?;
        let (key, rest) = name[1..].split_first_chunk().expect("a name is longer than a key");
        let (offset, len) = rest.split_first_chunk().expect("two numbers follow the key");
        let len = *len.first_chunk().expect("two numbers follow the key");
        let place = Self { key: ObjectKey(*key), offset: u64::from_le_bytes(*offset), len: u64::from_le_bytes(len) };
        if name[0] == KIND { Ok(place) } else { Err(ImportError::Unreadable) }
    }

    pub(super) fn encode(&self) -> [u8; PLACE_BYTES] {
        let mut name = [KIND; PLACE_BYTES];
        name[1..17].copy_from_slice(&self.key.0);
        name[17..25].copy_from_slice(&self.offset.to_le_bytes());
        name[25..].copy_from_slice(&self.len.to_le_bytes());
        name
    }
}

/// The place of a buffer in an object: in one that its memory is, or was copied to before, if that `is_usable`; else in
/// one that `copy` makes. `None` where there are no bytes.
///
/// What is copied is the part of the memory that the buffer shows, and all of it once the parts that were copied make
/// up as much: so a small part of much costs little, and many parts no more than twice the memory.
pub(super) fn place(
    buffer: &Buf<u8>,
    is_usable: impl Fn(&Arc<Object>) -> bool,
    copy: impl FnOnce(&[u8]) -> Result<Arc<Object>, StoreError>,
) -> Result<Option<(Arc<Object>, Place)>, StoreError> {
    let Some(memory) = buffer.keep() else { return Ok(None) };
    let range = memory.range_of(buffer);
    let mut twins = memory.twins();
    let usable = |twin: &Twin| twin.place.clone().downcast().ok().filter(|object| is_usable(object));
    let mut copied = Copied::default();
    for (twin, object) in twins.iter().filter_map(|twin| Some((twin, usable(twin)?))) {
        if twin.range.start <= range.start && range.end <= twin.range.end {
            return Ok(Some(part_of(object, &twin.range, range)));
        }
        copied.parts += 1;
        copied.bytes += twin.range.len();
    }
    let part = copied.next(memory.bytes().len(), &range);
    let object = copy(&memory.bytes()[part.clone()])?;
    twins.retain(|twin| part.len() < memory.bytes().len() || usable(twin).is_none());
    if twins.len() == TWINS_MAX {
        twins.remove(0);
    }
    twins.push(Twin { range: part.clone(), place: object.clone() });
    Ok(Some(part_of(object, &part, range)))
}

/// What of some memory has been copied, part by part.
#[derive(Default)]
struct Copied {
    parts: usize,
    bytes: usize,
}

impl Copied {
    /// What to copy of `all_bytes` for a buffer at `range`. Its start is aligned as that of the object, so that whatever
    /// else lies in it is aligned in both.
    fn next(&self, all_bytes: usize, range: &Range<usize>) -> Range<usize> {
        let start = range.start - range.start % Region::ALIGN;
        let is_enough = self.bytes + (range.end - start) >= all_bytes || self.parts >= PARTS_MAX;
        if is_enough { 0..all_bytes } else { start..range.end }
    }
}

fn part_of(object: Arc<Object>, copied: &Range<usize>, range: Range<usize>) -> (Arc<Object>, Place) {
    let (offset, len) = ((range.start - copied.start) as u64, range.len() as u64);
    let place = Place { key: object.key, offset, len };
    (object, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_refused() {
        let place = Place { key: ObjectKey::from(7), offset: 64, len: 1 << 40 };
        let name = place.encode();
        assert_eq!(Place::decode(&name), Ok(place));
        for garbled in [&name[..32], &[], &[0; PLACE_BYTES], &[1; 64]] {
            assert_eq!(Place::decode(garbled), Err(ImportError::Unreadable));
        }
    }

    #[test]
    fn small_parts_are_copied_alone_until_they_make_up_the_whole() {
        let next = |parts, bytes, range| Copied { parts, bytes }.next(1000, &range);
        assert_eq!(next(0, 0, 0..1000), 0..1000);
        assert_eq!(next(0, 0, 100..300), 64..300);
        assert_eq!(next(3, 763, 100..300), 64..300);
        assert_eq!(next(3, 764, 100..300), 0..1000);
        assert_eq!(next(PARTS_MAX, 0, 100..300), 0..1000);
    }
}
