//! What an encoding begins with, and where its parts lie.

use super::{CodecError, NAME_BYTES_MAX};
use crate::Region;
use std::fmt;
use std::ops::Range;

const MAGIC: [u8; 3] = *b"RLV";
const VERSION: u8 = 1;
/// The header without the lengths of the segments, in bytes.
const FIXED_BYTES: usize = 16;
const LENGTH_BYTES: usize = 8;
/// The bit of a segment's length that says that it is a name. No buffer is as long.
pub(super) const IS_NAME: u64 = 1 << 63;

/// Where the parts of an encoding lie in it, in bytes from its start. All of it has been checked: the in-band part and
/// the segments lie within, follow one another, and end where the encoding ends.
pub(crate) struct Header<'a> {
    /// The in-band part.
    pub(crate) in_band: Range<usize>,
    /// The segments that follow.
    pub(crate) segments: Segments<'a>,
}

impl<'a> Header<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
            return Err(truncated(FIXED_BYTES as u64, bytes.len()));
        };
        let &[a, b, c, version, n0, n1, n2, n3, ref len @ ..] = fixed;
        if [a, b, c] != MAGIC {
            return Err(CodecError::Magic { found: [a, b, c] });
        }
        if version != VERSION {
            return Err(CodecError::Version { found: version, known: VERSION });
        }
        let table_bytes = u64::from(u32::from_le_bytes([n0, n1, n2, n3])) * LENGTH_BYTES as u64;
        let table = split(rest, table_bytes)?.0;
        let start = FIXED_BYTES + table.len();
        let end = start + split(&bytes[start..], u64::from_le_bytes(*len))?.0.len();
        let (lengths, []) = table.as_chunks() else { unreachable!("the table is a whole number of lengths") };
        let segments = Segments { lengths, end };
        segments.check(bytes.len())?;
        Ok(Self { in_band: start..end, segments })
    }
}

/// Where the bytes of a buffer lie in an encoding, or their name.
#[derive(Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) range: Range<usize>,
    pub(crate) is_name: bool,
}

/// The names in an encoding: what [`names`](super::names) gives.
pub struct Names<'a> {
    bytes: &'a [u8],
    segments: Segments<'a>,
}

impl<'a> Names<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        // Most encodings have no segments at all, and this is asked of every value that comes.
        let has_segments = bytes.get(4..8).is_some_and(|count| count != [0; 4]);
        let header = has_segments.then(|| Header::parse(bytes).ok()).flatten();
        let segments = header.map_or(Segments { lengths: &[], end: 0 }, |header| header.segments);
        Self { bytes, segments }
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let place = std::iter::from_fn(|| self.segments.next()).find(|place| place.is_name)?;
        Some(&self.bytes[place.range])
    }
}

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Names(of {} segments)", self.segments.len())
    }
}

/// Segments that haven't been read yet.
pub(crate) struct Segments<'a> {
    lengths: &'a [[u8; LENGTH_BYTES]],
    /// Where the last one before them ends.
    end: usize,
}

impl Segments<'_> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Where the next one lies.
    pub(crate) fn next(&mut self) -> Option<Place> {
        let (&length, rest) = self.lengths.split_first()?;
        let length = u64::from_le_bytes(length);
        let start = align_up(self.end);
        self.lengths = rest;
        self.end = start + usize::try_from(length & !IS_NAME).expect("checked by `check`");
        Some(Place { range: start..self.end, is_name: length & IS_NAME != 0 })
    }

    /// Whether they end where the encoding ends, and names are as long as names may be.
    fn check(&self, encoding_bytes: usize) -> Result<(), CodecError> {
        let align = Region::ALIGN as u64;
        let mut end = self.end as u64;
        for &length in self.lengths {
            let announced = u64::from_le_bytes(length);
            let length = announced & !IS_NAME;
            if announced != length && !(1..=NAME_BYTES_MAX as u64).contains(&length) {
                return Err(CodecError::NameLength { found: length });
            }
            end = end.checked_next_multiple_of(align).and_then(|start| start.checked_add(length)).unwrap_or(u64::MAX);
            if end > encoding_bytes as u64 {
                break;
            }
        }
        if end == encoding_bytes as u64 {
            return Ok(());
        }
        Err(CodecError::Length { announced: end, found: encoding_bytes })
    }
}

/// The bytes of header and in-band part together.
pub(crate) fn head_bytes(segments: usize, in_band_bytes: usize) -> usize {
    FIXED_BYTES + segments * LENGTH_BYTES + in_band_bytes
}

/// The fixed part of a header.
pub(crate) fn fixed(segments: u32, in_band_bytes: usize) -> [u8; FIXED_BYTES] {
    let mut fixed = [0; FIXED_BYTES];
    fixed[..3].copy_from_slice(&MAGIC);
    fixed[3] = VERSION;
    fixed[4..8].copy_from_slice(&segments.to_le_bytes());
    fixed[8..].copy_from_slice(&(in_band_bytes as u64).to_le_bytes());
    fixed
}

/// Where a segment begins if what is before it ends at `end`.
pub(crate) fn align_up(end: usize) -> usize {
    end.next_multiple_of(Region::ALIGN)
}

/// The first `needed` of `bytes`, and the others.
pub(crate) fn split(bytes: &[u8], needed: u64) -> Result<(&[u8], &[u8]), CodecError> {
    let at = usize::try_from(needed).ok();
    at.and_then(|at| bytes.split_at_checked(at)).ok_or_else(|| truncated(needed, bytes.len()))
}

#[cold]
fn truncated(needed: u64, left: usize) -> CodecError {
    CodecError::Truncated { needed, left }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(segments: u32, in_band_bytes: usize, rest: &[u8]) -> Result<Vec<Range<usize>>, CodecError> {
        let bytes = [&fixed(segments, in_band_bytes), rest].concat();
        let mut header = Header::parse(&bytes)?;
        let mut found = vec![header.in_band];
        found.extend(std::iter::from_fn(|| header.segments.next()).map(|place| place.range));
        Ok(found)
    }

    #[test]
    fn parts_follow_one_another() {
        assert_eq!(parse(0, 5, &[0; 5]).unwrap(), vec![16..21]);
        let mut rest = [0; 48 + 64 + 3];
        (rest[0], rest[8]) = (1, 3);
        assert_eq!(parse(2, 5, &rest).unwrap(), [32..37, 64..65, 128..131]);
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        assert_eq!(parse(0, 5, &[0; 4]), Err(CodecError::Truncated { needed: 5, left: 4 }));
        assert_eq!(parse(0, 5, &[0; 6]), Err(CodecError::Length { announced: 21, found: 22 }));
        assert_eq!(parse(2, 0, &[0; 8]), Err(CodecError::Truncated { needed: 16, left: 8 }));
        assert_eq!(parse(u32::MAX, 0, &[]), Err(CodecError::Truncated { needed: 8 * 0xffff_ffff, left: 0 }));
        assert_eq!(parse(0, usize::MAX, &[]), Err(CodecError::Truncated { needed: u64::MAX, left: 0 }));
        let long = (u64::MAX >> 1).to_le_bytes();
        assert_eq!(parse(1, 0, &long), Err(CodecError::Length { announced: (u64::MAX >> 1) + 64, found: 24 }));
        assert_eq!(parse(1, 0, &[0; 8]), Err(CodecError::Length { announced: 64, found: 24 }));
    }

    #[test]
    fn names_are_told_apart_and_bounded() {
        let announce = |length: u64| (IS_NAME | length).to_le_bytes();
        let bytes = [&fixed(2, 0)[..], &1_u64.to_le_bytes(), &announce(3), &[0; 32], &[7; 64], b"abc"].concat();
        assert_eq!(Names::of(&bytes).collect::<Vec<_>>(), [b"abc"]);
        assert_eq!(Names::of(&bytes[1..]).count(), 0);
        for found in [0, 65, u64::MAX >> 1] {
            assert_eq!(parse(1, 0, &announce(found)), Err(CodecError::NameLength { found }));
        }
    }

    #[test]
    fn what_is_no_encoding_is_refused() {
        let parse = |bytes: &[u8]| Header::parse(bytes).map(|_| ()).unwrap_err();
        assert_eq!(parse(b""), CodecError::Truncated { needed: 16, left: 0 });
        assert_eq!(parse(&[0; 16]), CodecError::Magic { found: [0; 3] });
        let mut bytes = fixed(0, 0);
        bytes[3] = 2;
        assert_eq!(parse(&bytes), CodecError::Version { found: 2, known: 1 });
    }
}
