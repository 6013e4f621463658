//! Why a value can't be encoded or decoded.

use super::carrier::ImportError;
use crate::ViewError;
use std::fmt::{self, Display};
use std::str::Utf8Error;

/// Why a value can't be encoded, or bytes can't be decoded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end before the value does.
    #[error("the bytes end too early: {needed} more are needed and {left} are left")]
    Truncated {
        /// How many bytes the next part has.
        needed: u64,
        /// How many there are.
        left: usize,
    },
    /// The bytes don't begin as an encoding does.
    #[error("not an encoded value: it begins with {found:02x?}")]
    Magic {
        /// What they begin with.
        found: [u8; 3],
    },
    /// The encoding is of another version of the layout.
    #[error("the encoding has version {found}, and this program reads version {known}")]
    Version {
        /// The version of the bytes.
        found: u8,
        /// The version of this program.
        known: u8,
    },
    /// The parts that the header announces aren't as long as the whole.
    #[error("the header announces {announced} bytes, and there are {found}")]
    Length {
        /// The sum of all parts, as far as it can be told.
        announced: u64,
        /// The bytes there are.
        found: usize,
    },
    /// The value is complete, and in-band bytes are left.
    #[error("{left} bytes are left behind the value")]
    TrailingBytes {
        /// How many.
        left: usize,
    },
    /// The value is complete, and segments are left.
    #[error("{left} segments are left that no buffer of the value refers to")]
    TrailingSegments {
        /// How many.
        left: usize,
    },
    /// The type took fewer elements than there are.
    #[error("{left} elements are left that the type doesn't take")]
    TrailingElements {
        /// How many.
        left: usize,
    },
    /// More buffers refer to segments than there are segments.
    #[error("a buffer refers to a segment behind the last")]
    MissingSegment,
    /// The header announces a name that no carrier gives.
    #[error("a name has 1 to 64 bytes, and one of {found} is announced")]
    NameLength {
        /// How long it would be, in bytes.
        found: u64,
    },
    /// A buffer is named, and the bytes are decoded without a carrier.
    #[error("a buffer is named in place of copied, and whoever decodes knows no names")]
    NoCarrier,
    /// Something in the value goes by name only, and the value is encoded without a carrier.
    #[error(
        "a reference is in the value, and whoever reads the value here couldn't find what it refers to: put what it \
         refers to into the value"
    )]
    Unnamable,
    /// The carrier has no buffer of a name.
    #[error("a buffer is named, but {0}")]
    Import(#[from] ImportError),
    /// A byte that can only be 0 or 1 is neither.
    #[error("{found} can't stand for {what}: only 0 and 1 do")]
    Flag {
        /// What stands there.
        what: &'static str,
        /// The byte.
        found: u8,
    },
    /// A number stands for no character.
    #[error("{found:#x} is no character")]
    Char {
        /// The number.
        found: u32,
    },
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8(#[from] Utf8Error),
    /// A buffer can't be made of its bytes.
    #[error("a buffer can't be read")]
    View(#[from] ViewError),
    /// The value is nested deeper than [`LEVELS_MAX`](crate::LEVELS_MAX).
    #[error("the value is more than {levels_max} levels deep: keep what is linked or nested so deep in a `Vec`")]
    TooDeep {
        /// How deep it may be.
        levels_max: u32,
    },
    /// The type wants to be told by the bytes what they hold, which they don't.
    #[error(
        "the type asks the encoding to describe itself ({asked}), and it is positional: do without \
         `#[serde(flatten)]`, `#[serde(untagged)]` and `#[serde(tag = \"..\")]` (use a plain field and a plain enum), \
         and keep values such as `serde_json::Value` as a string"
    )]
    NotSelfDescribing {
        /// The method of serde's that it called.
        asked: &'static str,
    },
    /// A field is left out of a struct, and the decoder couldn't know.
    #[error(
        "the field `{field}` was skipped, and the encoding is positional: do without \
         `#[serde(skip_serializing_if = \"..\")]` (`#[serde(skip)]`, which skips it always, is fine)"
    )]
    SkippedField {
        /// The field.
        field: &'static str,
    },
    /// The value has more large buffers than the header can count.
    #[error("{segments} segments are more than an encoding can have")]
    TooManySegments {
        /// How many it has.
        segments: usize,
    },
    /// The destination isn't as long as the encoding.
    #[error("the encoding has {needed} bytes, and its destination {given}")]
    Destination {
        /// The bytes of the encoding.
        needed: usize,
        /// The bytes of the destination.
        given: usize,
    },
    /// A `Serialize` or `Deserialize` of the value's refused; these are its words.
    #[error("{0}")]
    Custom(String),
}

/// A `CodecError` as serializer and deserializer pass it up: one pointer, so that what they return when all is well
/// fits registers.
#[derive(Debug)]
pub(crate) struct Failure(Box<CodecError>);

impl From<CodecError> for Failure {
    #[cold]
    fn from(error: CodecError) -> Self {
        Self(Box::new(error))
    }
}

impl From<Failure> for CodecError {
    fn from(failure: Failure) -> Self {
        *failure.0
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl serde::ser::Error for Failure {
    #[cold]
    fn custom<T: Display>(message: T) -> Self {
        CodecError::Custom(message.to_string()).into()
    }
}

impl serde::de::Error for Failure {
    #[cold]
    fn custom<T: Display>(message: T) -> Self {
        CodecError::Custom(message.to_string()).into()
    }
}
