//! From serde values to in-band bytes and segments.

use super::error::Failure;
use super::header::{Header, Place};
use super::plan::Segment;
use super::{CodecError, INLINE_BYTES_MAX, LEVELS_MAX, Name, PART_ALIGN, same};
use crate::{Buf, Element, Region};
use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use std::sync::Arc;

/// Encodes `buf` if `serializer` is ours, else gives it back.
pub(crate) fn encode_buffer<T: Element, S: Serializer>(
    buf: &Buf<T>,
    mut serializer: S,
) -> Result<Result<S::Ok, S::Error>, S> {
    // SAFETY: the reference is used within this function alone, and `Encoder` has no lifetimes.
    let Some(encoder) = (unsafe { same::cast::<S, &mut Encoder>(&mut serializer) }) else { return Err(serializer) };
    encoder.put_buffer(buf);
    // A unit has no bytes: this only makes an `S::Ok`.
    Ok(serializer.serialize_unit())
}

/// Puts `name` into the encoding if `serializer` is ours, else gives both back. It stands for something that isn't a
/// buffer, such as a reference to a value that is elsewhere, and [`decode_name`](crate::decode_name) finds it again. Only
/// an encoding for which there is a [`Carrier`](crate::Carrier) takes it, since it means nothing to others.
///
/// # Errors
/// The name and the serializer, where that is another one.
pub fn encode_name<S: Serializer>(name: Name, mut serializer: S) -> Result<Result<S::Ok, S::Error>, (Name, S)> {
    // SAFETY: the reference is used within this function alone, and `Encoder` has no lifetimes.
    let Some(encoder) = (unsafe { same::cast::<S, &mut Encoder>(&mut serializer) }) else {
        return Err((name, serializer));
    };
    encoder.put([1]);
    encoder.segments.push(Segment::Name(Box::new(name)));
    // A unit has no bytes: this only makes an `S::Ok`.
    Ok(serializer.serialize_unit())
}

/// Has what comes next begin where it may be another encoding's part, if `serializer` is ours: see [`encode_part`].
pub fn align<S: Serializer>(mut serializer: S) -> S {
    // SAFETY: the reference is used within this function alone, and `Encoder` has no lifetimes.
    if let Some(encoder) = unsafe { same::cast::<S, &mut Encoder>(&mut serializer) } {
        encoder.align();
    }
    serializer
}

/// Puts the value that is in another encoding, if `serializer` is ours, else gives that back. It is decoded as if it
/// had been encoded here after [`align`]: after [`realign`](crate::realign). What it names stays named, and `encoding` is
/// kept as long as this encoding.
///
/// # Errors
/// The serializer, where that is another one.
pub fn encode_part<S: Serializer>(encoding: &Region, mut serializer: S) -> Result<Result<S::Ok, S::Error>, S> {
    // SAFETY: as above.
    let Some(encoder) = (unsafe { same::cast::<S, &mut Encoder>(&mut serializer) }) else { return Err(serializer) };
    match encoder.put_part(encoding) {
        // A unit has no bytes: this only makes an `S::Ok`.
        Ok(()) => Ok(serializer.serialize_unit()),
        // The error of `&mut Encoder` is ours.
        Err(failure) => Ok(Err(same::must_be(failure))),
    }
}

/// The serializer: `&mut Encoder`.
pub(crate) struct Encoder {
    in_band: Vec<u8>,
    segments: Vec<Segment>,
    levels: u32,
}

impl Encoder {
    pub(super) fn new() -> Self {
        /// Enough for a small value, so that it takes one allocation.
        const CAPACITY: usize = 256;
        Self { in_band: Vec::with_capacity(CAPACITY), segments: Vec::new(), levels: 0 }
    }

    /// The in-band part, and the segments.
    pub(super) fn finish(self) -> (Vec<u8>, Vec<Segment>) {
        (self.in_band, self.segments)
    }

    fn put_buffer<T: Element>(&mut self, buf: &Buf<T>) {
        if buf.as_bytes().len() <= INLINE_BYTES_MAX {
            return self.put_bytes(buf.as_bytes());
        }
        self.put([1]);
        self.segments.push(Segment::Bytes(buf.to_bytes()));
    }

    /// Bytes in band.
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put([0]);
        self.put((bytes.len() as u64).to_le_bytes());
        let padding = self.in_band.len().wrapping_neg() % 8;
        self.in_band.extend_from_slice(&[0; 8][..padding]);
        self.in_band.extend_from_slice(bytes);
    }

    fn align(&mut self) {
        self.in_band.resize(self.in_band.len().next_multiple_of(PART_ALIGN), 0);
    }

    /// What an encoding holds: buffers in band lie as they lay, as both begin at a multiple of 8.
    fn put_part(&mut self, encoding: &Region) -> Result<(), Failure> {
        let Header { in_band, mut segments } = Header::parse(encoding)?;
        self.align();
        self.in_band.extend_from_slice(&encoding[in_band]);
        while let Some(Place { range, is_name }) = segments.next() {
            self.segments.push(if is_name {
                Segment::Name(Box::new(Name::new(&encoding[range], Arc::new(encoding.clone()))))
            } else {
                Segment::Bytes(Buf::view(encoding, range).map_err(CodecError::from)?)
            });
        }
        Ok(())
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.in_band.extend_from_slice(&bytes);
    }

    fn put_variant(&mut self, index: u32) {
        self.put(index.to_le_bytes());
    }

    /// Goes a level deeper, until `levels` is put back.
    fn enter(&mut self) -> Result<(), Failure> {
        if self.levels == LEVELS_MAX {
            return Err(CodecError::TooDeep { levels_max: LEVELS_MAX }.into());
        }
        self.levels += 1;
        Ok(())
    }

    fn put_inner<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        self.enter()?;
        value.serialize(&mut *self)?;
        self.levels -= 1;
        Ok(())
    }

    fn fields(&mut self) -> Result<Fields<'_>, Failure> {
        self.enter()?;
        Ok(Fields(self))
    }

    fn elements(&mut self) -> Result<Elements<'_>, Failure> {
        self.enter()?;
        let count_at = self.in_band.len();
        self.put([0; 8]);
        Ok(Elements { encoder: self, count_at, count: 0 })
    }
}

macro_rules! numbers {
    ($($method:ident $number:ty)*) => {$(
        fn $method(self, value: $number) -> Result<(), Failure> {
            self.put(value.to_le_bytes());
            Ok(())
        }
    )*};
}

impl<'a> Serializer for &'a mut Encoder {
    type Ok = ();
    type Error = Failure;
    type SerializeSeq = Elements<'a>;
    type SerializeMap = Elements<'a>;
    type SerializeTuple = Fields<'a>;
    type SerializeTupleStruct = Fields<'a>;
    type SerializeTupleVariant = Fields<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    numbers! {
        serialize_i8 i8
        serialize_i16 i16
        serialize_i32 i32
        serialize_i64 i64
        serialize_i128 i128
        serialize_u8 u8
        serialize_u16 u16
        serialize_u32 u32
        serialize_u64 u64
        serialize_u128 u128
        serialize_f32 f32
        serialize_f64 f64
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Failure> {
        self.serialize_u8(value.into())
    }

    fn serialize_char(self, value: char) -> Result<(), Failure> {
        self.serialize_u32(value.into())
    }

    fn serialize_str(self, value: &str) -> Result<(), Failure> {
        self.put((value.len() as u64).to_le_bytes());
        self.in_band.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Failure> {
        self.put_bytes(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Failure> {
        self.serialize_u8(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Failure> {
        self.put([1]);
        self.put_inner(value)
    }

    fn serialize_unit(self) -> Result<(), Failure> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Failure> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Failure> {
        self.put_variant(index);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Failure> {
        self.put_inner(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Failure> {
        self.put_variant(index);
        self.put_inner(value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, Failure> {
        self.elements()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Elements<'a>, Failure> {
        self.elements()
    }

    fn serialize_tuple(self, _: usize) -> Result<Fields<'a>, Failure> {
        self.fields()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, Failure> {
        self.fields()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, Failure> {
        self.put_variant(index);
        self.fields()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, Failure> {
        self.fields()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, Failure> {
        self.put_variant(index);
        self.fields()
    }
}

/// What the type says how many there are of.
pub(crate) struct Fields<'a>(&'a mut Encoder);

impl Fields<'_> {
    fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        value.serialize(&mut *self.0)
    }

    fn leave(self) -> Result<(), Failure> {
        self.0.levels -= 1;
        Ok(())
    }
}

macro_rules! fields {
    ($($kind:ident $method:ident($($name:ident)?) $skip:ident;)*) => {$(
        impl $kind for Fields<'_> {
            type Ok = ();
            type Error = Failure;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), Failure> {
                $(let _ = $name;)?
                self.put(value)
            }

            $skip!();

            fn end(self) -> Result<(), Failure> {
                self.leave()
            }
        }
    )*};
}

macro_rules! skips_nothing {
    () => {};
}

macro_rules! skips_fields {
    () => {
        fn skip_field(&mut self, field: &'static str) -> Result<(), Failure> {
            Err(CodecError::SkippedField { field }.into())
        }
    };
}

fields! {
    SerializeTuple serialize_element() skips_nothing;
    SerializeTupleStruct serialize_field() skips_nothing;
    SerializeTupleVariant serialize_field() skips_nothing;
    SerializeStruct serialize_field(_field) skips_fields;
    SerializeStructVariant serialize_field(_field) skips_fields;
}

/// What is counted while it goes by; the count in front of it is written at the end.
pub(crate) struct Elements<'a> {
    encoder: &'a mut Encoder,
    /// Where the count lies in band, of 8 bytes.
    count_at: usize,
    count: usize,
}

impl Elements<'_> {
    fn leave(self) -> Result<(), Failure> {
        let Self { encoder, count_at, count } = self;
        let start = count_at + 8;
        encoder.in_band[count_at..start].copy_from_slice(&(count as u64).to_le_bytes());
        if encoder.in_band.len() - start < count {
            encoder.in_band.resize(start + count, 0);
        }
        encoder.levels -= 1;
        Ok(())
    }
}

impl SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = Failure;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        self.count += 1;
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), Failure> {
        self.leave()
    }
}

impl SerializeMap for Elements<'_> {
    type Ok = ();
    type Error = Failure;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failure> {
        self.count += 1;
        key.serialize(&mut *self.encoder)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), Failure> {
        self.leave()
    }
}
