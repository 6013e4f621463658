//! An encoding that is yet to be written.

use super::encoder::Encoder;
use super::{Buf, Carrier, CodecError, NAMED_BYTES_MIN, Name, header};
use serde::Serialize;
use std::fmt;

/// What an encoding consists of: its exact length is known, and its buffers are shared with the value, not copied.
///
/// Between [`plan`](crate::plan) and [`Plan::write_into`], memory of [`Plan::len`] bytes can be found. The plan keeps
/// the buffers alive, so the value may be dropped.
pub struct Plan {
    in_band: Vec<u8>,
    segments: Vec<Segment>,
    segments_len: u32,
    len: usize,
}

/// What is out of band for one buffer.
pub(super) enum Segment {
    /// Its bytes, which the buffer shares.
    Bytes(Buf<u8>),
    /// A name by which they are found elsewhere.
    Name(Box<Name>),
}

impl Segment {
    /// Names a large buffer, if the carrier does.
    fn name(&mut self, carrier: &dyn Carrier) {
        if let Self::Bytes(buffer) = self
            && buffer.len() > NAMED_BYTES_MIN
            && let Some(name) = carrier.export(buffer)
        {
            *self = Self::Name(Box::new(name));
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(buffer) => buffer,
            Self::Name(name) => name.bytes(),
        }
    }

    /// How the header announces it.
    fn announced(&self) -> u64 {
        match self {
            Self::Bytes(buffer) => buffer.len() as u64,
            Self::Name(name) => header::IS_NAME | name.bytes().len() as u64,
        }
    }
}

/// Apart from `Plan::new`, which is compiled for each type and short for those without large buffers.
#[cold]
#[inline(never)]
fn name_all(segments: &mut [Segment], carrier: Option<&dyn Carrier>) -> Result<(), CodecError> {
    match carrier {
        Some(carrier) => segments.iter_mut().for_each(|segment| segment.name(carrier)),
        None if segments.iter().any(|segment| matches!(segment, Segment::Name(_))) => {
            return Err(CodecError::Unnamable);
        }
        None => {}
    }
    Ok(())
}

impl Plan {
    #[inline]
    pub(super) fn new<T: Serialize + ?Sized>(value: &T, carrier: Option<&dyn Carrier>) -> Result<Self, CodecError> {
        let mut encoder = Encoder::new();
        value.serialize(&mut encoder)?;
        let (in_band, mut segments) = encoder.finish();
        if !segments.is_empty() {
            name_all(&mut segments, carrier)?;
        }
        let Ok(segments_len) = u32::try_from(segments.len()) else {
            return Err(CodecError::TooManySegments { segments: segments.len() });
        };
        let head_bytes = header::head_bytes(segments.len(), in_band.len());
        let len = segments.iter().fold(head_bytes, |end, segment| header::align_up(end) + segment.bytes().len());
        Ok(Self { in_band, segments, segments_len, len })
    }

    /// The bytes of the encoding.
    #[expect(clippy::len_without_is_empty, reason = "no encoding is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes of the buffers that go out of band, which are copied once when the encoding is written.
    pub fn segment_bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes().len()).sum()
    }

    /// Writes the encoding, all [`Plan::len`] bytes of it. To be decoded as views it must come to lie at a multiple of
    /// [`Region::ALIGN`](crate::Region::ALIGN).
    ///
    /// # Errors
    /// [`CodecError::Destination`] if the destination has another length.
    pub fn write_into(&self, destination: &mut [u8]) -> Result<(), CodecError> {
        if destination.len() != self.len {
            return Err(CodecError::Destination { needed: self.len, given: destination.len() });
        }
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            destination[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
            at
        };
        put(&header::fixed(self.segments_len, self.in_band.len()));
        for segment in &self.segments {
            put(&segment.announced().to_le_bytes());
        }
        let mut end = put(&self.in_band);
        for segment in &self.segments {
            const ZEROS: [u8; crate::Region::ALIGN] = [0; crate::Region::ALIGN];
            put(&ZEROS[..header::align_up(end) - end]);
            end = put(segment.bytes());
        }
        Ok(())
    }

    /// The names that stand in the encoding for buffers.
    pub(super) fn into_names(self) -> Vec<Name> {
        let name = |segment| match segment {
            Segment::Bytes(_) => None,
            Segment::Name(name) => Some(*name),
        };
        self.segments.into_iter().filter_map(name).collect()
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan({} bytes, {} in band, {} segments)", self.len, self.in_band.len(), self.segments.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_outlives_its_value_and_fills_its_destination() {
        let plan = Plan::new(&(7_u8, Buf::from(vec![1_u64; 1000])), None).unwrap();
        assert_eq!((plan.len(), plan.segment_bytes()), (64 + 8000, 8000));
        let mut destination = [0xaa; 8064];
        plan.write_into(&mut destination).unwrap();
        assert_eq!(destination[..16], *b"RLV\x01\x01\0\0\0\x02\0\0\0\0\0\0\0");
        assert_eq!(destination[16..26], [0x40, 0x1f, 0, 0, 0, 0, 0, 0, 7, 1]);
        assert_eq!(destination[26..64], [0; 38]);
        assert_eq!(destination[8056..], 1_u64.to_le_bytes());
    }

    #[test]
    fn a_destination_of_another_length_is_refused() {
        let plan = Plan::new(&1_u8, None).unwrap();
        for given in [0, 16, 18] {
            let refused = plan.write_into(&mut vec![0; given]);
            assert_eq!(refused, Err(CodecError::Destination { needed: 17, given }));
        }
    }
}
