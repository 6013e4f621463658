//! Bytes that nobody encoded give a value or an error, and cost no more than they are worth.

// The allocator that counts.
#![allow(unsafe_code)]

mod any_bytes;
mod model;
mod samples;

use model::Node;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rayline_store::{
    Buf, Carrier, CodecError, ImportError, Name, Region, RegionMut, Tensor, ViewError, align, decode, decode_copied,
    decode_name, decode_with, encode, encode_name, encode_part, encode_with, names, plan, realign,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Counts the bytes that the thread holds, and the most that it held.
struct Counting;

thread_local! {
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    HELD.with(|held| {
        let (now, most) = held.get();
        held.set((now + change, most.max(now + change)));
    });
}

// SAFETY: all it does is done by `System`; what it counts is in no memory that it gives out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's pointer and layout, which came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The most bytes that the thread held more than before, while it ran `work`.
fn held_most(work: impl FnOnce()) -> usize {
    let (before, _) = HELD.get();
    HELD.set((before, before));
    work();
    (HELD.get().1 - before) as usize
}

/// Values to start from, the same each time.
fn seeds(count: usize) -> Vec<Region> {
    let mut runner = TestRunner::deterministic();
    let nodes = proptest::collection::vec(samples::nodes(), 1..5).prop_map(Node::List);
    let mut next = || nodes.new_tree(&mut runner).expect("no value is rejected").current();
    (0..count).map(|_| encode(&next()).expect("not deep")).collect()
}

fn changed(region: &Region, change: impl FnOnce(&mut [u8])) -> Region {
    let mut copy = RegionMut::zeroed(region.len());
    copy.copy_from_slice(region);
    change(&mut copy);
    copy.seal()
}

/// Decodes `region` within the memory that it justifies: what its type makes of each byte, at the worst.
fn check_bounded(region: &Region) {
    let most = held_most(|| drop(decode::<Node>(region)));
    let justified = 1024 + region.len() * 2 * size_of::<Node>();
    assert!(most <= justified, "{} bytes made it hold {most}: {:?}", region.len(), &region[..]);
}

#[test]
fn every_truncation_is_an_error() {
    for region in seeds(100) {
        let step = (region.len() / 400).max(1);
        for len in (0..region.len()).step_by(step) {
            let short = Region::copy_of(&region[..len]);
            decode::<Node>(&short).unwrap_err();
            decode_copied::<Node>(&region[..len]).unwrap_err();
        }
        let long = [&region[..], &[0]].concat();
        decode::<Node>(&Region::copy_of(&long)).unwrap_err();
    }
}

#[test]
fn every_flip_of_a_byte_is_harmless() {
    for region in seeds(40) {
        for at in 0..region.len().min(600) {
            for flip in [0x01, 0x80, 0xff] {
                let region = changed(&region, |bytes| bytes[at] ^= flip);
                any_bytes::check(&region).ok();
                check_bounded(&region);
            }
        }
    }
}

#[test]
fn smoke_of_the_fuzz_target() {
    const CASES: u64 = 50_000;
    let (seeds, mut random) = (seeds(200), Random(7042));
    let mut accepted = 0;
    for case in 0..CASES {
        let seed = &seeds[random.below(seeds.len())];
        let region = changed(seed, |bytes| mutate(bytes, &mut random));
        let region = if case % 8 == 0 { Region::copy_of(&region[..random.below(region.len())]) } else { region };
        check_bounded(&region);
        accepted += u64::from(any_bytes::check(&region).is_ok());
    }
    assert!((CASES / 50..CASES).contains(&accepted), "{accepted} accepted: the mutations are too mild or too wild");
}

/// Gives each buffer its number as a name.
#[derive(Default)]
struct Numbered(RefCell<Vec<Buf<u8>>>);

impl Carrier for Numbered {
    fn export(&self, buffer: &Buf<u8>) -> Option<Name> {
        let mut buffers = self.0.borrow_mut();
        buffers.push(buffer.clone());
        Some(Name::new(&[1, buffers.len() as u8 - 1], Arc::new(())))
    }

    fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError> {
        match name {
            [2, _] => Err(ImportError::Unavailable { why: "it is told so".into() }),
            [1, number] => self.0.borrow().get(usize::from(*number)).cloned().ok_or(ImportError::Gone),
            _ => Err(ImportError::Unreadable),
        }
    }
}

#[test]
fn mutated_names_are_harmless() {
    type Value = Vec<(u8, Buf<u8>, Tensor<f64>)>;
    let (carrier, large) = (Numbered::default(), Buf::from(vec![7_u8; 200_000]));
    let tensor = Tensor::from(Buf::from(vec![1.0_f64; 20_000]));
    let value: Value = vec![(1, large.clone(), tensor.clone()), (2, large.slice(1..), tensor)];
    let region = encode_with(&value, &carrier).unwrap();
    assert_eq!((names(&region).count(), decode_with(&region, &carrier)), (4, Ok(value)));
    assert_eq!(decode::<Value>(&region), Err(CodecError::NoCarrier));
    assert_eq!(decode_copied::<Value>(&region), Err(CodecError::NoCarrier));
    let (mut random, mut refused) = (Random(7042), 0);
    for _ in 0..20_000 {
        let region = changed(&region, |bytes| mutate(bytes, &mut random));
        let most = held_most(|| refused += u32::from(decode_with::<Value>(&region, &carrier).is_err()));
        assert!(most <= 1024 + 2 * region.len() * size_of::<(u8, Buf<u8>, Tensor<f64>)>(), "held {most}");
        assert!(names(&region).count() <= region.len() / 8);
    }
    assert!((1000..20_000).contains(&refused), "{refused} refused");
}

#[test]
fn names_are_read_by_what_takes_bytes_too() {
    let carrier = Numbered::default();
    let region = encode_with(&Buf::from(vec![7_u8; 200_000]), &carrier).unwrap();
    let bytes: serde_bytes::ByteBuf = decode_with(&region, &carrier).unwrap();
    assert_eq!((bytes.len(), bytes[199_999]), (200_000, 7));
    let odd: Result<Buf<u64>, _> =
        decode_with(&encode_with(&Buf::from(vec![7_u8; 200_001]), &carrier).unwrap(), &carrier);
    assert!(matches!(odd, Err(CodecError::View(ViewError::Fraction { .. }))), "{odd:?}");
    let buf = Buf::from(vec![7_u64; 30_000]).to_bytes().slice(1..200_001);
    let odd: Result<Buf<u64>, _> = decode_with(&encode_with(&buf, &carrier).unwrap(), &carrier);
    assert_eq!(odd, Err(CodecError::View(ViewError::Misaligned { start: 1, align: 8 })));
    let unavailable = changed(&region, |bytes| bytes[64] = 2);
    let error = decode_with::<Buf<u8>>(&unavailable, &carrier).unwrap_err();
    assert_eq!(error.to_string(), "a buffer is named, but it can't be viewed: it is told so");
}

/// What is elsewhere, and is referred to by a name.
#[derive(Debug, PartialEq)]
struct Elsewhere([u8; 3]);

impl serde::Serialize for Elsewhere {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let outside = |_| Err(serde::ser::Error::custom("another encoding"));
        encode_name(Name::new(&self.0, Arc::new(())), serializer).unwrap_or_else(outside)
    }
}

impl<'de> serde::Deserialize<'de> for Elsewhere {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let outside = |_| Err(serde::de::Error::custom("another encoding"));
        let name = decode_name(deserializer).unwrap_or_else(outside)?;
        name.try_into().map(Self).map_err(|_| serde::de::Error::custom("a name of another length"))
    }
}

#[test]
fn names_of_what_is_no_buffer_travel_where_there_is_a_carrier() {
    let value = (Elsewhere(*b"one"), Buf::from(vec![7_u8; 200_000]), Elsewhere(*b"two"));
    let carrier = Numbered::default();
    let region = encode_with(&value, &carrier).unwrap();
    assert_eq!(names(&region).filter(|name| name.len() == 3).collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(decode_with::<(Elsewhere, Buf<u8>, Elsewhere)>(&region, &carrier), Ok(value));
    assert_eq!(encode(&Elsewhere(*b"one")).unwrap_err(), CodecError::Unnamable);
    assert!(decode::<Elsewhere>(&encode(&Buf::from(vec![7_u8; 600])).unwrap()).is_err());
    assert!(decode_with::<Buf<u8>>(&encode_with(&Elsewhere(*b"one"), &carrier).unwrap(), &carrier).is_err());
    let json = serde_json::to_string(&Elsewhere(*b"one")).unwrap_err();
    assert_eq!(json.to_string(), "another encoding");
}

/// An argument: a value, or an encoding of one.
enum Argument<'a, T> {
    Value(T),
    Encoded(&'a Region),
}

impl<T: serde::Serialize> serde::Serialize for Argument<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(align(serializer)),
            Self::Encoded(region) => encode_part(region, serializer).unwrap_or_else(|_| panic!("our serializer")),
        }
    }
}

impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Argument<'_, T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(realign(deserializer)?).map(Self::Value)
    }
}

#[test]
fn an_encoding_may_be_part_of_another() {
    type Value = (u8, Buf<f64>, String, Buf<u8>, Tensor<f32>);
    let carrier = Numbered::default();
    let value: Value = (
        1,
        vec![0.5; 3].into(),
        "three".into(),
        vec![7_u8; 200_000].into(),
        Tensor::from_shape_vec((2, 500), vec![1.5_f32; 1000]).unwrap(),
    );
    for padding in 0..9 {
        let part = encode_with(&value, &carrier).unwrap();
        let before = Buf::from(vec![1_u8; padding]);
        let whole = (before.clone(), Argument::<Value>::Encoded(&part), Argument::Value(value.clone()), 5_u8);
        let whole = encode_with(&whole, &carrier).unwrap();
        drop(part);
        assert_eq!(names(&whole).count(), 2);
        type Whole = (Buf<u8>, Argument<'static, Value>, Argument<'static, Value>, u8);
        let (first, Argument::Value(a), Argument::Value(b), five) = decode_with::<Whole>(&whole, &carrier).unwrap()
        else {
            unreachable!("it decodes values")
        };
        assert_eq!((first, &a, &b, five), (before, &value, &value, 5));
    }
}

#[test]
fn a_buffer_of_a_vector_is_one_small_allocation() {
    let vec = vec![1_u8; 1 << 20];
    let most = held_most(|| drop(Buf::from(vec)));
    assert!((1..=96).contains(&most), "held {most}");
}

/// Changes a few bytes, most of them in front, where the lengths are.
fn mutate(bytes: &mut [u8], random: &mut Random) {
    let len = bytes.len();
    for _ in 0..1 + random.below(3) {
        let within = if random.below(4) == 0 { len } else { len.min(160) };
        let at = random.below(within);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.below(256) as u8,
            2 => bytes[at] = bytes[at].wrapping_add(1),
            3 => bytes[at] = [0, 1, 0x7f, 0xff][random.below(4)],
            4 => bytes.copy_within(random.below(within)..within, 0),
            _ => bytes[at..len.min(at + 8)].fill([0, 0xff][random.below(2)]),
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}

/// An encoding without segments, whose in-band part is `in_band`.
fn forged(in_band: &[u8]) -> Region {
    let mut bytes = b"RLV\x01\0\0\0\0".to_vec();
    bytes.extend_from_slice(&(in_band.len() as u64).to_le_bytes());
    bytes.extend_from_slice(in_band);
    Region::copy_of(&bytes)
}

#[test]
fn segments_and_the_buffers_that_refer_to_them_are_as_many() {
    let region = encode(&Buf::from(vec![1_u8; 1000])).unwrap();
    assert_eq!(decode::<u8>(&region), Err(CodecError::TrailingSegments { left: 1 }));
    assert_eq!(decode::<Buf<u8>>(&forged(&[1])), Err(CodecError::MissingSegment));
    assert_eq!(decode::<Buf<u8>>(&forged(&[2])), Err(CodecError::Flag { what: "the place of a buffer", found: 2 }));
}

#[test]
fn a_plan_and_a_decode_hold_no_buffer_of_their_own() {
    const BYTES: usize = 1 << 20;
    let value = (1_u8, Buf::from(vec![7_u8; BYTES]));
    assert!(held_most(|| drop(plan(&value).unwrap())) < 1024);
    let most = held_most(|| drop(encode(&value).unwrap()));
    assert!((BYTES..BYTES + 1024).contains(&most), "an encoding is allocated once, and held {most}");
    let region = encode(&value).unwrap();
    assert_eq!(held_most(|| drop(decode::<(u8, Buf<u8>)>(&region).unwrap())), 0);
}

#[test]
fn announced_lengths_reserve_nothing() {
    let huge = forged(&[0xff; 32]);
    let most = held_most(|| {
        decode::<Vec<u64>>(&huge).unwrap_err();
        decode::<Vec<()>>(&huge).unwrap_err();
        decode::<String>(&huge).unwrap_err();
        decode::<std::collections::HashMap<u64, u64>>(&huge).unwrap_err();
        decode::<Buf<u64>>(&forged(&[&[0][..], &[0xff; 31]].concat())).unwrap_err();
        decode::<Tensor<u8>>(&huge).unwrap_err();
    });
    assert!(most < 2048, "held {most}");
}

#[test]
fn nested_announcements_add_up_to_the_input_at_most() {
    #[derive(serde::Deserialize, Debug)]
    struct Nested(#[expect(dead_code, reason = "only to be decoded")] Vec<Nested>);
    const LEVELS: usize = 100;
    let mut in_band = Vec::new();
    for level in (0..LEVELS as u64).rev() {
        in_band.extend_from_slice(&(level * 8).to_le_bytes());
    }
    let region = forged(&in_band);
    let most = held_most(|| drop(decode::<Nested>(&region)));
    assert!(most <= 2 * in_band.len() * size_of::<Nested>(), "held {most} for {} bytes", in_band.len());
}

#[test]
fn elements_without_bytes_take_no_time() {
    let mut many = (1_u64 << 40).to_le_bytes().to_vec();
    many.extend_from_slice(&[0; 8]);
    let error = decode::<Vec<()>>(&forged(&many)).unwrap_err();
    assert_eq!(error, CodecError::Truncated { needed: 1 << 40, left: 8 });
}

#[test]
fn as_deep_as_it_may_be_fits_the_stack_of_a_thread() {
    /// A type whose every level is large.
    #[derive(serde::Serialize, serde::Deserialize, Debug)]
    enum Deep {
        End,
        Then { payload: [u64; 8], next: Box<(Deep, Option<Box<Deep>>)> },
    }
    let mut deep = Deep::End;
    for n in 0..rayline_store::LEVELS_MAX as u64 / 2 - 1 {
        deep = Deep::Then { payload: [n; 8], next: Box::new((deep, None)) };
    }
    let work = move || decode::<Deep>(&encode(&deep).unwrap()).map(|_| ()).unwrap();
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}
