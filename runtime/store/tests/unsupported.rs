//! What the codec can't do it says, with what to do instead.

use rayline_store::{CodecError, Region, decode, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;

fn refused<T: Serialize + DeserializeOwned + Debug>(value: T) -> CodecError {
    decode::<T>(&encode(&value).expect("only decoding fails")).expect_err("the encoding doesn't describe itself")
}

#[test]
fn types_that_want_a_self_describing_format() {
    #[derive(Serialize, Deserialize, Debug)]
    struct Flat {
        id: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    #[derive(Serialize, Deserialize, Debug)]
    #[serde(untagged)]
    enum Untagged {
        One(u8),
    }
    #[derive(Serialize, Deserialize, Debug)]
    #[serde(tag = "kind")]
    enum Internal {
        One { id: u8 },
    }
    #[derive(Serialize, Deserialize, Debug)]
    #[serde(tag = "kind", content = "of")]
    enum Adjacent {
        One(u8),
    }
    let asked = |asked| CodecError::NotSelfDescribing { asked };
    let flat = refused(Flat { id: 1, rest: BTreeMap::from([("a".into(), 1)]) });
    assert_eq!(flat, asked("deserialize_identifier"));
    assert_eq!(refused(Untagged::One(1)), asked("deserialize_any"));
    assert_eq!(refused(Internal::One { id: 1 }), asked("deserialize_any"));
    assert_eq!(refused(Adjacent::One(1)), asked("deserialize_identifier"));
    assert_eq!(refused(serde_json::json!({ "a": [1] })), asked("deserialize_any"));
    assert_eq!(
        flat.to_string(),
        "the type asks the encoding to describe itself (deserialize_identifier), and it is positional: do without \
         `#[serde(flatten)]`, `#[serde(untagged)]` and `#[serde(tag = \"..\")]` (use a plain field and a plain enum), \
         and keep values such as `serde_json::Value` as a string"
    );
}

#[test]
fn a_skipped_field() {
    #[derive(Serialize)]
    struct Sparse {
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<u8>,
    }
    #[derive(Serialize)]
    enum Choice {
        One {
            #[serde(skip_serializing_if = "Option::is_none")]
            note: Option<u8>,
        },
    }
    encode(&Sparse { note: Some(1) }).unwrap();
    let error = encode(&Sparse { note: None }).unwrap_err();
    assert_eq!(error, CodecError::SkippedField { field: "note" });
    assert_eq!(encode(&Choice::One { note: None }).unwrap_err(), error);
}

#[test]
fn another_type_than_was_encoded() {
    let region = encode(&(1_u8, 2_u8)).unwrap();
    assert_eq!(decode::<u8>(&region), Err(CodecError::TrailingBytes { left: 1 }));
    assert_eq!(decode::<u32>(&region), Err(CodecError::Truncated { needed: 4, left: 2 }));
    assert_eq!(decode::<(u8, bool)>(&region), Err(CodecError::Flag { what: "a bool", found: 2 }));
    assert_eq!(decode::<char>(&encode(&0xd800_u32).unwrap()), Err(CodecError::Char { found: 0xd800 }));
    let error = decode::<Option<(u8, Result<u8, u8>)>>(&encode(&Some((1_u8, 7_u32))).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "invalid value: integer `7`, expected `Ok` or `Err`");
    assert!(matches!(decode::<String>(&encode(&vec![0xff_u8]).unwrap()), Err(CodecError::Utf8(_))));
    assert!(matches!(decode::<u8>(&Region::copy_of(b"not encoded at all")), Err(CodecError::Magic { .. })));
}

#[test]
fn a_type_that_leaves_elements() {
    #[derive(Debug)]
    struct First;
    impl<'de> Deserialize<'de> for First {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct TakesOne;
            impl<'de> serde::de::Visitor<'de> for TakesOne {
                type Value = First;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("one")
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<First, A::Error> {
                    seq.next_element::<u8>().map(|_| First)
                }
            }
            deserializer.deserialize_seq(TakesOne)
        }
    }
    let error = decode::<First>(&encode(&vec![1_u8, 2, 3]).unwrap()).unwrap_err();
    assert_eq!(error, CodecError::TrailingElements { left: 2 });
}
