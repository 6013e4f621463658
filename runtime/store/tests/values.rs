//! Values go there and back, whatever they are.

mod model;
mod samples;

use model::Node;
use proptest::prelude::*;
use rayline_store::{Buf, LEVELS_MAX, Region, Tensor, decode, decode_copied, encode, plan};
use samples::nodes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    let region = encode(&value).expect("no limit is reached");
    assert_eq!(decode::<T>(&region).as_ref(), Ok(&value));
    assert_eq!(decode_copied::<T>(&region), Ok(value));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_values_go_there_and_back(node in nodes()) {
        let region = encode(&node).unwrap();
        let views = decode::<Node>(&region).unwrap();
        views.assert_views_of(&region);
        prop_assert_eq!(&views, &node);
        prop_assert_eq!(decode_copied::<Node>(&region).unwrap(), node);
        drop(region);
        let again = encode(&views).unwrap();
        prop_assert_eq!(decode::<Node>(&again).unwrap(), views);
    }

    #[test]
    fn other_formats_take_them_too(node in nodes()) {
        let bytes = postcard::to_stdvec(&node).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Node>(&bytes).unwrap(), &node);
        let text = serde_json::to_string(&node).unwrap();
        prop_assert_eq!(serde_json::from_str::<Node>(&text).unwrap(), node);
    }
}

#[test]
fn each_piece_of_serde() {
    round_trip((i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN));
    round_trip((u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX));
    round_trip((usize::MAX, isize::MIN, f32::MIN_POSITIVE, f64::MAX, true, false));
    round_trip(('\0', 'ä', '\u{10ffff}', String::from("häß"), Some(Some(3)), None::<u8>));
    round_trip(((), [(); 3], [[1; 4]; 4], vec![(); 5], vec![[(); 2]; 7], Vec::<String>::new()));
    round_trip(std::collections::HashMap::from([(String::from("a"), vec![1]), (String::new(), vec![])]));
    round_trip(std::time::Duration::from_nanos(1_000_000_007));
    round_trip(Ok::<u8, String>(3));
    round_trip((std::path::PathBuf::from("/a/b"), std::net::Ipv6Addr::LOCALHOST));
}

#[test]
fn strings_and_bytes_may_borrow() {
    let region = encode(&("abc", serde_bytes::Bytes::new(&[1, 2]))).unwrap();
    let (text, bytes): (&str, &[u8]) = decode(&region).unwrap();
    assert_eq!((text, bytes), ("abc", &[1, 2][..]));
    assert!(region.as_ptr_range().contains(&text.as_ptr()));
}

#[test]
fn a_sequence_may_not_know_its_length() {
    struct Odd;
    impl Serialize for Odd {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((0..10_u8).filter(|n| n % 2 == 1))
        }
    }
    struct Squares;
    impl Serialize for Squares {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map((0..4_u8).filter(|_| true).map(|n| (n, n * n)))
        }
    }
    assert_eq!(decode::<Vec<u8>>(&encode(&Odd).unwrap()).unwrap(), [1, 3, 5, 7, 9]);
    let squares = decode::<std::collections::BTreeMap<u8, u8>>(&encode(&Squares).unwrap()).unwrap();
    assert_eq!(squares.into_iter().collect::<Vec<_>>(), [(0, 0), (1, 1), (2, 4), (3, 9)]);
}

#[test]
fn small_and_large_buffers_are_views_until_the_last_is_dropped() {
    let value = (7_u8, vec![Some(Buf::from(vec![1.5_f64; 3]))], Tensor::from(ndarray::Array2::<i32>::eye(50)));
    let region = encode(&value).unwrap();
    let (address, len) = (region.as_ptr().addr(), region.len());
    let same: (u8, Vec<Option<Buf<f64>>>, Tensor<i32>) = decode(&region).unwrap();
    drop(region);
    assert_eq!(same, value);
    let (_, small, large) = same;
    let small = small[0].clone().unwrap();
    let offset = |pointer: *const u8| pointer.addr() - address;
    assert!(offset(small.as_ptr().cast()) < len && offset(large.data().as_ptr().cast()) < len);
    assert_eq!((offset(small.as_ptr().cast()) % 8, offset(large.data().as_ptr().cast()) % 64), (0, 0));
    drop(large);
    assert_eq!(small[..], [1.5; 3]);
}

#[test]
fn a_view_that_is_encoded_again_is_not_copied_before_it_is_written() {
    let region = encode(&Buf::from(vec![3_u8; 100_000])).unwrap();
    let view: Buf<u8> = decode(&region).unwrap();
    let plan = plan(&view).unwrap();
    assert_eq!((plan.len(), plan.segment_bytes()), (region.len(), 100_000));
    let mut copy = vec![0; plan.len()];
    plan.write_into(&mut copy).unwrap();
    assert_eq!(copy, region[..]);
    assert_eq!(decode_copied::<Buf<u8>>(&copy).unwrap(), view);
}

#[test]
fn an_encode_within_an_encode_disturbs_nothing() {
    struct Nested(Buf<u32>);
    impl Serialize for Nested {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = encode(&(1_u8, &self.0)).map_err(serde::ser::Error::custom)?;
            let caught = std::panic::catch_unwind(|| encode(&Panics));
            assert!(caught.is_err());
            (Buf::<u8>::view(&inner, ..).unwrap(), &self.0).serialize(serializer)
        }
    }
    struct Panics;
    impl Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            std::panic::resume_unwind(Box::new("on purpose"))
        }
    }
    let buf = Buf::from_iter(0..1000);
    let region = encode(&(Nested(buf.clone()), &buf)).unwrap();
    let ((inner, first), second): ((Buf<u8>, Buf<u32>), Buf<u32>) = decode(&region).unwrap();
    assert_eq!((&first, &second), (&buf, &buf));
    let inner = Region::copy_of(&inner);
    assert_eq!(decode::<(u8, Buf<u32>)>(&inner).unwrap(), (1, buf));
}

#[test]
fn a_temporary_buffer_may_be_serialized() {
    struct Doubled(Vec<u64>);
    impl Serialize for Doubled {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.iter().map(|n| 2 * n).collect::<Buf<u64>>().serialize(serializer)
        }
    }
    let region = encode(&Doubled((0..500).collect())).unwrap();
    assert_eq!(decode::<Buf<u64>>(&region).unwrap()[499], 998);
}

#[test]
fn what_wraps_our_serializer_copies_and_either_side_reads_it() {
    let value = (3_u8, Buf::from_iter(0..1000_i32), Buf::from(vec![true, false]));
    let erased: &dyn erased_serde::Serialize = &value;
    let region = encode(erased).unwrap();
    assert_eq!(decode::<(u8, Buf<i32>, Buf<bool>)>(&region).unwrap(), value);

    struct Erased((u8, Buf<i32>, Buf<bool>));
    impl<'de> Deserialize<'de> for Erased {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let mut erased = <dyn erased_serde::Deserializer>::erase(deserializer);
            erased_serde::deserialize(&mut erased).map(Self).map_err(serde::de::Error::custom)
        }
    }
    assert_eq!(decode::<Erased>(&region).unwrap().0, value);
    assert_eq!(decode::<Erased>(&encode(&value).unwrap()).unwrap().0, value);
}

#[test]
fn formats_that_people_read_get_numbers_and_others_get_bytes() {
    let buf = Buf::from(vec![1_u16, 256]);
    assert_eq!(serde_json::to_string(&buf).unwrap(), "[1,256]");
    assert_eq!(serde_json::to_string(&Buf::from(vec![true])).unwrap(), "[true]");
    assert_eq!(serde_json::from_str::<Buf<f32>>("[1, 2.5]").unwrap()[..], [1.0, 2.5]);
    assert_eq!(postcard::to_stdvec(&buf).unwrap(), [4, 1, 0, 0, 1]);
    assert!(postcard::from_bytes::<Buf<u16>>(&[3, 1, 0, 0]).is_err());
    assert!(serde_json::from_str::<Buf<u8>>("[256]").is_err());
    let value = serde_json::to_value(Tensor::from(buf)).unwrap();
    assert_eq!(value, serde_json::json!({ "shape": [2], "data": [1, 256] }));
    assert_eq!(serde_json::from_value::<Tensor<u16>>(value).unwrap().shape(), [2]);
}

#[test]
fn as_deep_as_the_limit_allows_and_no_deeper() {
    #[derive(Serialize, Deserialize, Debug)]
    struct Link(u64, Option<Box<Link>>);
    let chain = |links| (1..links).fold(Link(0, None), |next, n| Link(n, Some(Box::new(next))));
    let links_max = u64::from(LEVELS_MAX / 2);
    let region = encode(&chain(links_max)).unwrap();
    decode::<Link>(&region).unwrap();
    let error = encode(&chain(links_max + 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the value is more than 256 levels deep: keep what is linked or nested so deep in a `Vec`"
    );
    let mut bytes = vec![0; 16];
    bytes[..4].copy_from_slice(b"RLV\x01");
    bytes[8..16].copy_from_slice(&9000_u64.to_le_bytes());
    bytes.extend_from_slice(&[1; 9000]);
    assert_eq!(decode::<Link>(&Region::copy_of(&bytes)).unwrap_err(), error);
}
