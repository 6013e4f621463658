//! How a buffer is serialized: as numbers, as bytes, or out of band.

use super::Buf;
use crate::Element;
use crate::codec::{decode_buffer, encode_buffer};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

impl<T: Element> Serialize for Buf<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match encode_buffer(self, serializer) {
            Ok(done) => done,
            Err(other) if other.is_human_readable() => other.collect_seq(self.iter()),
            Err(other) => other.serialize_bytes(self.as_bytes()),
        }
    }
}

impl<'de, T: Element> Deserialize<'de> for Buf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match decode_buffer(deserializer) {
            Ok(done) => done,
            // Whatever people can read describes itself, and so does what serde has buffered of a format that they
            // can't (for `flatten` and `untagged`): then there may be bytes here.
            Err(other) if other.is_human_readable() => other.deserialize_any(Readable(PhantomData)),
            Err(other) => other.deserialize_byte_buf(Binary(PhantomData)),
        }
    }
}

/// Takes a sequence of elements, or bytes.
struct Readable<T>(PhantomData<T>);

impl<'de, T: Element> Visitor<'de> for Readable<T> {
    type Value = Buf<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a sequence of {}", std::any::type_name::<T>())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Buf<T>, E> {
        Buf::copied(bytes).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Buf<T>, A::Error> {
        collect(elements).map(Buf::from)
    }
}

/// Takes bytes, or a sequence of bytes from a format that has none.
struct Binary<T>(PhantomData<T>);

impl<'de, T: Element> Visitor<'de> for Binary<T> {
    type Value = Buf<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bytes of a row of {}", std::any::type_name::<T>())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Buf<T>, E> {
        Buf::copied(bytes).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, bytes: A) -> Result<Buf<T>, A::Error> {
        Buf::copied(&collect(bytes)?).map_err(A::Error::custom)
    }
}

/// All that is there, without believing how much is announced.
fn collect<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(mut sequence: A) -> Result<Vec<T>, A::Error> {
    const EXPECTED_MAX: usize = 4096;
    let mut found = Vec::with_capacity(sequence.size_hint().unwrap_or(0).min(EXPECTED_MAX));
    while let Some(element) = sequence.next_element()? {
        found.push(element);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error, SeqDeserializer};

    #[test]
    fn a_format_that_announces_too_much_is_not_believed() {
        struct Announces(std::ops::Range<u16>);
        impl Iterator for Announces {
            type Item = u16;

            fn next(&mut self) -> Option<u16> {
                self.0.next()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (usize::MAX, Some(usize::MAX))
            }
        }
        let buf = Buf::<u16>::deserialize(SeqDeserializer::<_, Error>::new(Announces(0..5000)));
        assert_eq!(buf, Ok(Buf::from_iter(0..5000)));
    }
}
