//! The codec: serde values as bytes, with buffers apart from the rest.
//!
//! # The encoding
//! All integers are little endian.
//! ```text
//!  0      magic "RLV", version 1                     4 bytes
//!  4      n, the number of segments                  u32
//!  8      bytes of the in-band part                  u64
//! 16      bytes of each segment; bit 63 set: a name    n x u64
//! 16+8n   the in-band part
//!         zeros up to a multiple of 64, segment 0
//!         zeros up to a multiple of 64, segment 1    and so on; nothing after the last
//! ```
//! A segment is the bytes of a buffer, or a name of 1 to 64 bytes by which a [`Carrier`] finds them elsewhere.
//! Where a segment begins follows from the lengths before it, so segments can't overlap or lie out of order. The whole
//! must lie at a multiple of 64 in memory to be decoded as views; [`Region`] sees to that.
//!
//! The in-band part is positional: fields in order, without names or types.
//!
//! | serde | bytes |
//! |---|---|
//! | integers, floats | their own width; `usize` as `u64` |
//! | `bool`; `Option` | 0 or 1; the same, then the value |
//! | `char`; variant of an enum | `u32`; its index as `u32`, then the payload |
//! | string | length `u64`, UTF-8 |
//! | bytes, [`Buf`] | 0, length `u64`, zeros up to a multiple of 8, the bytes; or 1: they are the next segment |
//! | sequence, map | number of elements or entries `u64`, each; zeros until it has as many bytes as elements |
//! | tuple, struct, newtype, unit | what is in it |
//!
//! The zeros after a sequence are there for elements that have no bytes, such as `()`: a decoder may then refuse every
//! sequence that claims more elements than there are bytes, and so never works or allocates more than its input is
//! worth.
//!
//! # How buffers get past serde
//! [`Buf`] asks whether the serializer that it was given is our own (by type, which costs nothing at run time), and if
//! so hands it the memory and what keeps it alive, and likewise on the way back. There is no thread-local state: an
//! encode within an encode, or a panic, has nothing to disturb. Where something wraps our serializer (erased-serde),
//! buffers are copied in band instead; either side reads what the other wrote.
//!
//! # What it can't do
//! A positional format doesn't describe itself: `#[serde(flatten)]`, `untagged`, `tag = ".."`, and types such as
//! `serde_json::Value` encode, but give [`CodecError::NotSelfDescribing`] when decoded, and
//! `skip_serializing_if` gives [`CodecError::SkippedField`] when encoded.

mod carrier;
mod decoder;
mod encoder;
mod error;
mod header;
mod plan;
mod same;

pub use carrier::{Carrier, ImportError, NAME_BYTES_MAX, NAMED_BYTES_MIN, Name};
pub use error::CodecError;
pub use header::Names;
pub use plan::Plan;

pub use decoder::{decode_name, realign};
pub use encoder::{align, encode_name, encode_part};

pub(crate) use decoder::decode_buffer;
pub(crate) use encoder::encode_buffer;

use crate::{Buf, Region, RegionMut};
use decoder::Decoder;
use serde::{Deserialize, Serialize};

/// How deep a value may be: each option, sequence, map, tuple, struct, newtype and payload of an enum is one level
/// below what it is in. Deeper ones give [`CodecError::TooDeep`], before they overflow a stack of 2 MiB.
pub const LEVELS_MAX: u32 = 256;

/// Buffers with more bytes than this go out of band.
///
/// Decoding makes a view either way, as fast. When encoding, in band costs a second copy, out of band a share in the
/// keep-alive and up to 63 bytes of padding: 26 ns against 40 ns for 64 bytes, 39 against 42 for 512, the same for
/// 1024, 58 against 49 for 2048. Measured with this constant at 0 and at 1,000,000 by
/// `cargo bench -p rayline-store --bench codec -- inline`.
pub(crate) const INLINE_BYTES_MAX: usize = 512;

/// Where a part of another encoding may begin in the in-band part, and buffers do.
pub(crate) const PART_ALIGN: usize = 8;

/// Plans the encoding of `value`: what is in band is encoded now, buffers are shared and copied by
/// [`Plan::write_into`].
///
/// # Errors
/// [`CodecError::TooDeep`], [`CodecError::SkippedField`], [`CodecError::TooManySegments`], or
/// [`CodecError::Custom`] from a `Serialize` of the value.
pub fn plan<T: Serialize + ?Sized>(value: &T) -> Result<Plan, CodecError> {
    Plan::new(value, None)
}

/// Encodes `value` into a region of its own: one allocation of the exact size, and one copy of each buffer.
///
/// # Errors
/// As [`plan`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Region, CodecError> {
    let plan = plan(value)?;
    let mut region = RegionMut::zeroed(plan.len());
    plan.write_into(&mut region)?;
    Ok(region.seal())
}

/// As [`encode`], with the large buffers that `carrier` gives names to named in place of copied. What they name is
/// there at least as long as the region.
///
/// # Errors
/// As [`plan`].
pub fn encode_with<T: Serialize + ?Sized>(value: &T, carrier: &dyn Carrier) -> Result<Region, CodecError> {
    let plan = Plan::new(value, Some(carrier))?;
    let mut region = RegionMut::zeroed(plan.len());
    plan.write_into(&mut region)?;
    let names = plan.into_names();
    Ok(if names.is_empty() { region.seal() } else { region.seal().keeping(names) })
}

/// The names in an encoding, in its order; none in bytes that are no encoding.
pub fn names(encoding: &[u8]) -> Names<'_> {
    Names::of(encoding)
}

/// Decodes the value that `region` holds: exactly that, with nothing behind it. Buffers become views of the region;
/// strings may borrow from it.
///
/// # Errors
/// Any bytes whatever give a value or a [`CodecError`]. Neither time nor memory exceeds what the size of the region
/// justifies.
pub fn decode<'de, T: Deserialize<'de>>(region: &'de Region) -> Result<T, CodecError> {
    Decoder::new(region, Some(region), None)?.finish()
}

/// The same, with the buffers that have names found by `carrier`.
///
/// # Errors
/// As [`decode`], and [`CodecError::Import`].
pub fn decode_with<'de, T: Deserialize<'de>>(region: &'de Region, carrier: &'de dyn Carrier) -> Result<T, CodecError> {
    Decoder::new(region, Some(region), Some(carrier))?.finish()
}

/// The same from bytes at any address, such as a part of a frame; buffers are copied out of them.
///
/// # Errors
/// As [`decode`].
pub fn decode_copied<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, CodecError> {
    Decoder::new(bytes, None, None)?.finish()
}
