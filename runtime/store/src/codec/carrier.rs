//! Names in place of bytes: how large buffers travel beside an encoding.

use crate::Buf;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The longest [`Name`], in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Buffers of more bytes than this may be named. Shorter ones are copied in less time than it takes to look after an
/// object.
pub const NAMED_BYTES_MIN: usize = 100 << 10;

/// Gives buffers names that another process knows them by, and finds the buffers of such names.
///
/// To the codec a name is bytes; who encodes and who decodes agree on what they mean.
pub trait Carrier {
    /// A name for the elements of a buffer of more than [`NAMED_BYTES_MIN`] bytes, `None` where they are to travel as
    /// bytes.
    fn export(&self, buffer: &Buf<u8>) -> Option<Name>;

    /// The buffer of that name.
    ///
    /// # Errors
    /// [`ImportError`], each variant; any bytes may be asked for.
    fn import(&self, name: &[u8]) -> Result<Buf<u8>, ImportError>;
}

/// What stands in an encoding for the bytes of a buffer. What it names is there at least as long as this.
pub struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    len: u8,
    _keep: Arc<dyn Any + Send + Sync>,
}

impl Name {
    /// The name `bytes` of something that `keep` keeps.
    ///
    /// # Panics
    /// If `bytes` are none, or more than [`NAME_BYTES_MAX`].
    pub fn new(name: &[u8], keep: Arc<dyn Any + Send + Sync>) -> Self {
        assert!((1..=NAME_BYTES_MAX).contains(&name.len()), "a name has 1 to {NAME_BYTES_MAX} bytes");
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Self { bytes, len: name.len() as u8, _keep: keep }
    }

    /// The name itself.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:02x?})", self.bytes())
    }
}

/// Why there is no buffer of a name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It isn't there any more, or never was.
    #[error("it isn't there any more")]
    Gone,
    /// Nothing is called so: bytes that no carrier of this kind writes.
    #[error("nothing can be called so")]
    Unreadable,
    /// It is there, but can't be viewed.
    #[error("it can't be viewed: {why}")]
    Unavailable {
        /// What prevents it.
        why: String,
    },
}
