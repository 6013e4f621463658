//! Buffers that travel by name: copied once, found in place, and gone with whoever owns them.

use rayline_store::shm::{Client, LentObjects, OwnedObjects, Store, StoreError, StoreOptions};
use rayline_store::{Buf, Carrier, CodecError, ImportError, Name, Region, Tensor, decode, decode_with, encode_with};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// A store's own process, and another one: which is the same, as far as the operating system is concerned.
struct Both {
    store: Store,
    owned: Owned,
    far: Client,
    serial: AtomicU64,
}

struct Owned(OwnedObjects);
struct Lent<'a>(LentObjects<'a>);

impl Carrier for Owned {
    fn export(&self, buffer: &Buf<u8>) -> Option<Name> {
        self.0.export(buffer).ok()?
    }

    fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError> {
        self.0.import(name)
    }
}

impl Carrier for Lent<'_> {
    fn export(&self, buffer: &Buf<u8>) -> Option<Name> {
        self.0.export(buffer).ok()?
    }

    fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError> {
        self.0.import(name)
    }
}

impl Both {
    fn new(bytes: usize) -> Self {
        let mut options = StoreOptions::new(bytes);
        (options.patience, options.warm_bytes) = (Duration::from_millis(30), 0);
        let store = Store::create(options).unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        store.serve(near).unwrap();
        let owned = Owned(OwnedObjects::new(store.client()));
        Self { owned, far: Client::connect(far).unwrap(), store, serial: AtomicU64::new(0) }
    }

    /// What the other process has for one call. It is maker number 1.
    fn call(&self) -> Lent<'_> {
        Lent(LentObjects::new(&self.far, 1, &self.serial))
    }

    fn objects(&self) -> (usize, u64) {
        let usage = self.store.usage();
        (usage.objects, usage.object_bytes)
    }
}

fn numbers(count: usize) -> Buf<u64> {
    Buf::from_iter(0..count as u64)
}

#[test]
fn a_buffer_is_copied_once_and_named_by_its_parts() {
    let both = Both::new(16 * MIB);
    let buf = numbers(MIB / 8);
    for _ in 0..3 {
        let region = encode_with(&(1_u8, buf.clone(), buf.slice(1..100_000)), &both.owned).unwrap();
        assert!(region.len() < 300, "{} bytes hold two names", region.len());
        assert_eq!(both.objects(), (1, MIB as u64));
        let call = both.call();
        let (_, all, part) = decode_with::<(u8, Buf<u64>, Buf<u64>)>(&region, &call).unwrap();
        assert!(all == buf && part == buf.slice(1..100_000));
        assert_eq!(part.as_ptr().addr() - all.as_ptr().addr(), 8, "unless the two views are of one mapping");
    }
    drop(buf);
    assert_eq!(both.objects(), (0, 0));
}

#[test]
fn short_buffers_travel_as_bytes() {
    let both = Both::new(16 * MIB);
    let buf = Buf::from(vec![7_u8; 100 << 10]);
    let region = encode_with(&buf, &both.owned).unwrap();
    assert_eq!((both.objects().0, decode::<Buf<u8>>(&region)), (0, Ok(buf)));
}

#[test]
fn a_name_keeps_the_object_and_a_view_its_memory() {
    let both = Both::new(16 * MIB);
    let buf = numbers(MIB / 8);
    let region = encode_with(&buf, &both.owned).unwrap();
    drop(buf);
    let call = both.call();
    let view: Buf<u64> = decode_with(&region, &call).unwrap();
    drop(region);
    assert_eq!(both.objects().0, 1, "it is viewed, though it was deleted");
    assert_eq!(view, numbers(MIB / 8));
    drop((view, call));
    assert_eq!(both.objects().0, 0);
}

#[test]
fn a_vector_is_taken_back_and_its_object_goes() {
    let both = Both::new(16 * MIB);
    let buf = numbers(MIB / 8);
    let address = buf.as_ptr();
    drop(encode_with(&buf, &both.owned).unwrap());
    assert_eq!(both.objects().0, 1);
    let vec = buf.into_vec();
    assert_eq!(vec.as_ptr(), address, "no copy");
    assert_eq!(both.objects().0, 0);
}

#[test]
fn parts_are_copied_alone_and_the_whole_once_they_are_as_much() {
    let both = Both::new(32 * MIB);
    let buf = numbers(MIB);
    let part = |i: usize| buf.slice(i * MIB / 4 + 3..(i + 1) * MIB / 4);
    drop(encode_with(&part(0), &both.owned).unwrap());
    let (objects, bytes) = both.objects();
    assert!(objects == 1 && bytes < 3 * MIB as u64, "{bytes} bytes for a quarter of 8 MiB");
    for i in 0..4 {
        let region = encode_with(&part(i), &both.owned).unwrap();
        assert!(decode_with::<Buf<u64>>(&region, &both.call()).unwrap() == part(i));
    }
    for i in 0..MIB / 2 / 1000 {
        drop(encode_with(&buf.slice(i * 1000..i * 1000 + MIB / 2), &both.owned).unwrap());
    }
    assert_eq!(both.objects(), (1, 8 * MIB as u64), "the whole, and no part beside it");
}

#[test]
fn bytes_of_any_alignment_within_a_part_can_be_named() {
    let both = Both::new(16 * MIB);
    let region = Region::copy_of(&vec![1; 4 * MIB]);
    let (bytes, words) =
        (Buf::<u8>::view(&region, 101..MIB + 7).unwrap(), Buf::<u64>::view(&region, 512..MIB).unwrap());
    let region = encode_with(&(bytes.clone(), words.clone()), &both.owned).unwrap();
    assert_eq!(both.objects().0, 1, "one lies in the other");
    let same: (Buf<u8>, Buf<u64>) = decode_with(&region, &both.call()).unwrap();
    assert!(same == (bytes, words));
}

#[test]
fn a_value_is_handed_over_and_gone_with_its_new_owner() {
    let both = Both::new(16 * MIB);
    let call = both.call();
    let value = Tensor::from(numbers(MIB / 8));
    let region = encode_with(&(value.clone(), value), &call).unwrap();
    assert_eq!(both.objects().0, 1, "two clones are one object");
    call.0.give_away();
    let adopted = both.owned.0.adopt(&region, 1);
    assert_eq!(adopted.len(), 2);
    let (a, b): (Tensor<u64>, Tensor<u64>) = decode_with(&region, &both.owned).unwrap();
    drop((adopted, region, b));
    assert!(a.data()[..] == numbers(MIB / 8)[..]);
    // On to another call, and back as it is: it is still the one object.
    let region = encode_with(&a, &both.owned).unwrap();
    let call = both.call();
    let there: Tensor<u64> = decode_with(&region, &call).unwrap();
    let back = encode_with(&there, &call).unwrap();
    call.0.give_away();
    let adopted = both.owned.0.adopt(&back, 1);
    let back: Tensor<u64> = decode_with(&back, &both.owned).unwrap();
    assert_eq!(back.data().as_ptr(), a.data().as_ptr());
    drop((region, adopted, a, there));
    assert_eq!(both.objects().0, 1);
    drop(back);
    assert_eq!(both.objects().0, 0);
}

#[test]
fn what_is_not_handed_over_goes() {
    let both = Both::new(16 * MIB);
    let call = both.call();
    let region = encode_with(&numbers(MIB / 8), &call).unwrap();
    drop((call, region));
    assert_eq!(both.objects().0, 0, "the call failed after all");
    let call = both.call();
    let region = encode_with(&numbers(MIB / 8), &call).unwrap();
    call.0.give_away();
    assert_eq!((both.owned.0.sweep(2), both.objects().0), (0, 1), "another maker's");
    let adopted = both.owned.0.adopt(&region, 1);
    assert_eq!((both.owned.0.sweep(1), both.objects().0), (0, 1), "it was adopted");
    drop((adopted, region));
    let call = both.call();
    drop(encode_with(&numbers(MIB / 8), &call).unwrap());
    call.0.give_away();
    assert_eq!((both.owned.0.sweep(1), both.objects().0), (1, 0), "it died before its message came");
}

#[test]
fn what_an_earlier_call_was_lent_is_copied() {
    let both = Both::new(16 * MIB);
    let region = encode_with(&numbers(MIB / 8), &both.owned).unwrap();
    let kept: Buf<u64> = decode_with(&region, &both.call()).unwrap();
    drop(region);
    let call = both.call();
    let region = encode_with(&kept, &call).unwrap();
    call.0.give_away();
    drop(kept);
    let adopted = both.owned.0.adopt(&region, 1);
    assert_eq!(decode_with::<Buf<u64>>(&region, &both.owned).unwrap(), numbers(MIB / 8));
    drop((adopted, region));
    assert_eq!(both.objects().0, 0);
}

#[test]
fn names_of_nothing_are_refused() {
    let both = Both::new(16 * MIB);
    let region = Region::copy_of(&encode_with(&numbers(MIB / 8), &both.call()).unwrap());
    let gone = CodecError::Import(ImportError::Gone);
    assert_eq!(decode_with::<Buf<u64>>(&region, &both.call()).unwrap_err(), gone);
    assert_eq!(decode_with::<Buf<u64>>(&region, &both.owned).unwrap_err(), gone);
    let adopted = both.owned.0.adopt(&region, 1);
    assert_eq!(decode_with::<Buf<u64>>(&region, &both.owned).unwrap_err(), gone, "adopted, and never made");
    drop(adopted);
    assert_eq!(both.call().import(b"any name"), Err(ImportError::Unreadable));
    let buf = numbers(MIB / 8);
    let mut name = both.owned.export(&buf.to_bytes()).unwrap().bytes().to_vec();
    name[17..25].fill(0xff);
    assert_eq!(both.call().import(&name), Err(ImportError::Unreadable));
    assert_eq!(both.owned.import(&name), Err(ImportError::Unreadable));
}

#[test]
fn a_full_store_is_an_error_and_leaves_nothing() {
    let both = Both::new(4 * MIB);
    let buf = numbers(MIB);
    let full = both.owned.0.export(&buf.to_bytes());
    assert!(matches!(full, Err(StoreError::ObjectStoreFull { wanted: 0x80_0000, .. })), "{full:?}");
    let region = encode_with(&buf, &both.owned).unwrap();
    assert_eq!((both.objects().0, decode::<Buf<u64>>(&region)), (0, Ok(buf)));
}
