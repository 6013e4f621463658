//! The numbers that a buffer may hold.

use bytemuck::NoUninit;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// A number that a [`Buf`](crate::Buf) holds: `f32`, `f64`, `i8` to `i64`, `u8` to `u64`, and `bool`.
///
/// Sealed: elements travel as they lie in memory, which must be the same in every process and build.
pub trait Element: Bits + NoUninit + PartialEq + Debug + Serialize + DeserializeOwned + Send + Sync {}

/// How elements are made of bytes.
pub trait Bits: Copy + 'static {
    /// The elements that lie in `bytes`, whose length and address fit; `None` if one has bits that mean nothing.
    fn cast(bytes: &[u8]) -> Option<&[Self]>;

    /// The same, copied from `bytes` at any address.
    fn collect(bytes: &[u8]) -> Option<Vec<Self>>;
}

macro_rules! any_bits {
    ($($number:ty)*) => {$(
        impl Element for $number {}

        impl Bits for $number {
            fn cast(bytes: &[u8]) -> Option<&[Self]> {
                bytemuck::try_cast_slice(bytes).ok()
            }

            fn collect(bytes: &[u8]) -> Option<Vec<Self>> {
                Some(bytemuck::pod_collect_to_vec(bytes))
            }
        }
    )*};
}

any_bits!(f32 f64 i8 i16 i32 i64 u8 u16 u32 u64);

impl Element for bool {}

impl Bits for bool {
    fn cast(bytes: &[u8]) -> Option<&[Self]> {
        bytemuck::checked::try_cast_slice(bytes).ok()
    }

    fn collect(bytes: &[u8]) -> Option<Vec<Self>> {
        Self::cast(bytes).map(<[bool]>::to_vec)
    }
}
