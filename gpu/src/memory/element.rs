//! What buffers hold.

/// A number that a device knows: any bits are a value of it, and it has no padding. Sealed.
pub trait Element: sealed::Sealed + Copy + Default + Send + Sync + 'static {}

mod sealed {
    /// # Safety
    /// Any bits are a value, and there is no padding.
    pub unsafe trait Sealed {}
}

macro_rules! elements {
    ($($number:ty),*) => {
        $(
            // SAFETY: a plain number.
            unsafe impl sealed::Sealed for $number {}
            impl Element for $number {}
        )*
    };
}

elements!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);
