//! The 32 bytes before everything that follows the handshake.
//!
//! ```text
//!  0      2     3      4       8          16        24       28       32
//!  magic  kind  flags  status  request    offset    length   crc32c
//!  u16    u8    u8     u32     u64        u64       u32      u32        little-endian
//! ```

use crate::region::RemoteSpan;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 32;
/// Bytes of a `Read`: a header, then key, generation and length of what is wanted, a `u64` each.
pub const READ_BYTES: usize = HEADER_BYTES + 24;

const MAGIC: u16 = 0x4c52;
const HAS_CHECKSUM: u8 = 1;

/// What follows a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lane, to the holder: bytes from `offset` of a region on are wanted; its key, the generation and their length follow.
    Read,
    /// Lane, to the reader: `length` bytes follow, which begin at `offset` of the region.
    Chunk,
    /// Lane, to the reader: the read is done, with `status`; sent after the generation was checked once more.
    Done,
    /// Control: a frame of `length` bytes follows.
    Frame,
    /// Control: nothing follows; we are alive.
    Beat,
}

/// How a read ended at its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All bytes were sent, and the generation holds.
    Whole,
    /// Revoked before or meanwhile: what came is worth nothing.
    Revoked,
    /// Never within bounds.
    OutOfBounds,
    /// The holder is still receiving them; the generation holds, so that what came is good.
    NotYet,
    /// Memory of a device, which TCP doesn't reach.
    OffHost,
}

/// A header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// How a read ended; `Whole` for other kinds.
    pub status: Status,
    /// The reader's number for the read.
    pub request: u64,
    /// In bytes from the start of the region.
    pub offset: u64,
    /// In bytes.
    pub length: u32,
    /// Of the bytes that follow.
    pub checksum: Option<u32>,
}

impl Header {
    /// A header without offset, length and checksum.
    pub fn new(kind: Kind, request: u64) -> Self {
        Self { kind, status: Status::Whole, request, offset: 0, length: 0, checksum: None }
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..2].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[2] = self.kind as u8;
        bytes[3] = if self.checksum.is_some() { HAS_CHECKSUM } else { 0 };
        bytes[4..8].copy_from_slice(&(self.status as u32).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.request.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.checksum.unwrap_or(0).to_le_bytes());
        bytes
    }

    /// The header in these bytes.
    ///
    /// # Errors
    /// What is wrong with them. Lengths are for the caller to check: their bounds differ by kind.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, &'static str> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if bytes[0..2] != MAGIC.to_le_bytes() {
            return Err("a header without its magic number");
        }
        let checksum = match bytes[3] {
            0 if word(28) == 0 => None,
            HAS_CHECKSUM => Some(word(28)),
            _ => return Err("unknown flags, or a checksum without its flag"),
        };
        let (kind, status) = (Kind::decode(bytes[2])?, Status::decode(word(4))?);
        Ok(Self { kind, status, request: long(8), offset: long(16), length: word(24), checksum })
    }
}

impl Kind {
    fn decode(byte: u8) -> Result<Self, &'static str> {
        let kinds = [Self::Read, Self::Chunk, Self::Done, Self::Frame, Self::Beat];
        kinds.get(usize::from(byte)).copied().ok_or("a header of an unknown kind")
    }
}

impl Status {
    fn decode(word: u32) -> Result<Self, &'static str> {
        let all = [Self::Whole, Self::Revoked, Self::OutOfBounds, Self::NotYet, Self::OffHost];
        usize::try_from(word).ok().and_then(|at| all.get(at)).copied().ok_or("a header with an unknown status")
    }
}

/// The message that asks for a span.
pub fn encode_read(request: u64, wanted: RemoteSpan) -> [u8; READ_BYTES] {
    let mut bytes = [0; READ_BYTES];
    bytes[..HEADER_BYTES]
        .copy_from_slice(&Header { offset: wanted.offset, ..Header::new(Kind::Read, request) }.encode());
    for (at, word) in [(32, wanted.key), (40, wanted.generation), (48, wanted.len)] {
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// The number of a read, and the span that it asks for.
///
/// # Errors
/// What is wrong with the bytes. Whether the span exists is for the regions to say.
pub fn decode_read(bytes: &[u8; READ_BYTES]) -> Result<(u64, RemoteSpan), &'static str> {
    let header = Header::decode(bytes[..HEADER_BYTES].try_into().expect("its length"))?;
    if header.kind != Kind::Read || header.length != 0 {
        return Err("something other than a read on a lane");
    }
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let span = RemoteSpan { key: word(32), generation: word(40), offset: header.offset, len: word(48) };
    Ok((header.request, span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same(mut bytes: [u8; HEADER_BYTES], is_likely: bool) {
            if is_likely {
                bytes[0..2].copy_from_slice(&MAGIC.to_le_bytes());
                bytes[2] %= 5;
                bytes[3] = HAS_CHECKSUM;
                let status = u32::from(bytes[4] % 5).to_le_bytes();
                bytes[4..8].copy_from_slice(&status);
            }
            match Header::decode(&bytes) {
                Ok(header) => prop_assert_eq!(header.encode(), bytes),
                Err(_) => prop_assert!(!is_likely),
            }
        }
    }
}
