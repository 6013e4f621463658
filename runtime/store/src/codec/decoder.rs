//! From in-band bytes and segments to serde values.

use super::error::Failure;
use super::header::{Header, Place, Segments, split};
use super::{Carrier, CodecError, ImportError, LEVELS_MAX, PART_ALIGN, same};
use crate::{Buf, Element, Region};
use serde::de::value::U32Deserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use std::ops::Range;

/// Decodes a buffer if `deserializer` is ours, else gives it back.
pub(crate) fn decode_buffer<'de, T: Element, D: Deserializer<'de>>(
    mut deserializer: D,
) -> Result<Result<Buf<T>, D::Error>, D> {
    // SAFETY: the decoder is only read on, which stores nothing in it that it doesn't have, and what comes out of it
    // has no lifetimes.
    let Some(decoder) = (unsafe { same::cast::<D, &mut Decoder<'de>>(&mut deserializer) }) else {
        return Err(deserializer);
    };
    // The error of `&mut Decoder` is ours.
    Ok(decoder.buffer().map_err(same::must_be))
}

/// The name that [`encode_name`](crate::encode_name) put there, if `deserializer` is ours, else gives it back.
///
/// # Errors
/// The deserializer, where that is another one.
pub fn decode_name<'de, D: Deserializer<'de>>(mut deserializer: D) -> Result<Result<&'de [u8], D::Error>, D> {
    // SAFETY: the decoder is only read on, which stores nothing in it that it doesn't have, and what comes out of it
    // lives as long as the bytes, `'de`, which both types agree about.
    let Some(decoder) = (unsafe { same::cast::<D, &mut Decoder<'de>>(&mut deserializer) }) else {
        return Err(deserializer);
    };
    // The error of `&mut Decoder` is ours.
    Ok(decoder.name().map_err(same::must_be))
}

/// Goes on where a part may begin, if `deserializer` is ours: see [`encode_part`](crate::encode_part).
///
/// # Errors
/// Where the bytes end before.
pub fn realign<'de, D: Deserializer<'de>>(mut deserializer: D) -> Result<D, D::Error> {
    // SAFETY: the decoder is only read on, which stores nothing in it that it doesn't have.
    if let Some(decoder) = unsafe { same::cast::<D, &mut Decoder<'de>>(&mut deserializer) } {
        // The error of `&mut Decoder` is ours.
        decoder.align().map_err(same::must_be)?;
    }
    Ok(deserializer)
}

/// The deserializer: `&mut Decoder`.
pub(crate) struct Decoder<'de> {
    /// The whole encoding.
    bytes: &'de [u8],
    /// What it is in, if buffers may become views.
    region: Option<&'de Region>,
    /// Finds buffers by their names.
    carrier: Option<&'de dyn Carrier>,
    /// The in-band part that is left.
    left: &'de [u8],
    /// Where the in-band part ends in `bytes`.
    in_band_end: usize,
    segments: Segments<'de>,
    levels: u32,
    /// How many elements may still be announced to those who allocate for them in advance. Each has a byte at least, so
    /// honest values don't notice.
    announced_left: usize,
}

impl<'de> Decoder<'de> {
    /// A decoder of `bytes`, which are all of `region` if there is one.
    pub(super) fn new(
        bytes: &'de [u8],
        region: Option<&'de Region>,
        carrier: Option<&'de dyn Carrier>,
    ) -> Result<Self, CodecError> {
        let Header { in_band, segments } = Header::parse(bytes)?;
        let (in_band_end, left) = (in_band.end, &bytes[in_band]);
        Ok(Self { bytes, region, carrier, left, in_band_end, segments, levels: 0, announced_left: left.len() })
    }

    /// The value, which must be all there is.
    pub(super) fn finish<T: Deserialize<'de>>(mut self) -> Result<T, CodecError> {
        let value = T::deserialize(&mut self)?;
        if !self.left.is_empty() {
            return Err(CodecError::TrailingBytes { left: self.left.len() });
        }
        if self.segments.len() > 0 {
            return Err(CodecError::TrailingSegments { left: self.segments.len() });
        }
        Ok(value)
    }

    fn buffer<T: Element>(&mut self) -> Result<Buf<T>, Failure> {
        let Place { range, is_name } = self.place()?;
        let buf = match self.region {
            _ if is_name => Buf::of_bytes(&self.import(range)?),
            Some(region) => Buf::view(region, range),
            None => Buf::copied(&self.bytes[range]),
        };
        Ok(buf.map_err(CodecError::from)?)
    }

    /// The buffer whose name lies at `range`.
    #[cold]
    fn import(&self, range: Range<usize>) -> Result<Buf<u8>, Failure> {
        let carrier = self.carrier.ok_or(CodecError::NoCarrier)?;
        Ok(carrier.import(&self.bytes[range]).map_err(CodecError::from)?)
    }

    /// The next name, which stands for no buffer.
    fn name(&mut self) -> Result<&'de [u8], Failure> {
        match self.place()? {
            Place { range, is_name: true } => Ok(&self.bytes[range]),
            Place { is_name: false, .. } => Err(CodecError::from(ImportError::Unreadable).into()),
        }
    }

    /// Where the next buffer lies in the encoding.
    fn place(&mut self) -> Result<Place, Failure> {
        if self.flag("the place of a buffer")? {
            return self.segments.next().ok_or_else(|| CodecError::MissingSegment.into());
        }
        let len = self.length()?;
        self.align()?;
        let start = self.position();
        self.take(len)?;
        Ok(Place { range: start..self.position(), is_name: false })
    }

    /// Skips zeros up to a multiple of 8; the in-band part begins at one.
    fn align(&mut self) -> Result<(), Failure> {
        let padding = self.position().wrapping_neg() % PART_ALIGN;
        self.take(padding as u64).map(drop)
    }

    fn str(&mut self) -> Result<&'de str, Failure> {
        let len = self.length()?;
        Ok(str::from_utf8(self.take(len)?).map_err(CodecError::from)?)
    }

    /// In bytes from the start of the encoding.
    fn position(&self) -> usize {
        self.in_band_end - self.left.len()
    }

    fn take(&mut self, len: u64) -> Result<&'de [u8], Failure> {
        let (taken, left) = split(self.left, len)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let Some((taken, left)) = self.left.split_first_chunk() else {
            return Err(CodecError::Truncated { needed: N as u64, left: self.left.len() }.into());
        };
        self.left = left;
        Ok(*taken)
    }

    fn length(&mut self) -> Result<u64, Failure> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn variant(&mut self) -> Result<u32, Failure> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, Failure> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [found] => Err(CodecError::Flag { what, found }.into()),
        }
    }

    /// Runs `inner` one level deeper.
    fn inside<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        if self.levels == LEVELS_MAX {
            return Err(CodecError::TooDeep { levels_max: LEVELS_MAX }.into());
        }
        self.levels += 1;
        let value = inner(self);
        self.levels -= 1;
        value
    }

    /// `len` fields, all of which `visit` must take.
    fn fields<T>(
        &mut self,
        len: usize,
        visit: impl FnOnce(&mut Elements<'_, 'de>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.inside(|decoder| Elements { decoder, left: len, announced: len }.visit_all(visit))
    }

    /// As many elements as the count in front of them says, all of which `visit` must take.
    fn elements<T>(&mut self, visit: impl FnOnce(&mut Elements<'_, 'de>) -> Result<T, Failure>) -> Result<T, Failure> {
        let count = self.length()?;
        let (body, _) = split(self.left, count)?;
        let (len, before) = (body.len(), self.left.len());
        let announced = len.min(self.announced_left);
        self.announced_left -= announced;
        let value = self.inside(|decoder| Elements { decoder, left: len, announced }.visit_all(visit))?;
        let padding = len.saturating_sub(before - self.left.len());
        self.take(padding as u64)?;
        Ok(value)
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $number:ty)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            visitor.$visit(<$number>::from_le_bytes(self.array()?))
        }
    )*};
}

macro_rules! self_describing {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Failure> {
            Err(CodecError::NotSelfDescribing { asked: stringify!($method) }.into())
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = Failure;

    self_describing! { deserialize_any deserialize_identifier deserialize_ignored_any }

    numbers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_i128 visit_i128 i128
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_u128 visit_u128 u128
        deserialize_f32 visit_f32 f32
        deserialize_f64 visit_f64 f64
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_bool(self.flag("a bool")?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let found = u32::from_le_bytes(self.array()?);
        visitor.visit_char(char::from_u32(found).ok_or(CodecError::Char { found })?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.str()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let Place { range, is_name } = self.place()?;
        if is_name {
            return visitor.visit_bytes(&self.import(range)?);
        }
        visitor.visit_borrowed_bytes(&self.bytes[range])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.flag("an option")? { self.inside(|inner| visitor.visit_some(inner)) } else { visitor.visit_none() }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        self.inside(|inner| visitor.visit_newtype_struct(inner))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.elements(|elements| visitor.visit_seq(elements))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.elements(|entries| visitor.visit_map(entries))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.fields(len, |fields| visitor.visit_seq(fields))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_enum(self)
    }
}

impl<'de> EnumAccess<'de> for &mut Decoder<'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Failure> {
        let index: U32Deserializer<Failure> = self.variant()?.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Decoder<'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        self.inside(|inner| seed.deserialize(inner))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}

/// Elements, fields or entries that a visitor takes one by one.
struct Elements<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: usize,
    /// No more than this is told to be there.
    announced: usize,
}

impl<'de> Elements<'_, 'de> {
    fn visit_all<T>(mut self, visit: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let value = visit(&mut self)?;
        if self.left == 0 { Ok(value) } else { Err(CodecError::TrailingElements { left: self.left }.into()) }
    }

    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.decoder).map(Some)
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.announced))
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        seed.deserialize(&mut *self.decoder)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.announced))
    }
}
