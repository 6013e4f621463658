//! Pointers that callers pass.

use std::ffi::{CStr, c_char};

use crate::fault::{Fault, Status};

/// Where a caller wants an answer. Only callers from outside make one, so that it is valid or null by the contract of the
/// interface.
#[repr(transparent)]
pub struct Out<T>(*mut T);

/// A value that a caller passes by its address, or an array of them; see [`Out`].
#[repr(transparent)]
pub struct In<T>(*const T);

/// A string that a caller passes; see [`Out`].
#[repr(transparent)]
pub struct Text(*const c_char);

impl<T> Out<T> {
    /// Answers.
    ///
    /// # Errors
    /// `InvalidValue` for null.
    pub fn set(&self, value: T) -> Result<(), Fault> {
        if self.0.is_null() {
            return Err(null());
        }
        // SAFETY: valid for a write by the contract of the interface (see the type), and not null.
        unsafe { self.0.write(value) };
        Ok(())
    }

    /// Answers with `values`, where the caller has room for `len` of them.
    ///
    /// # Errors
    /// `InvalidValue` for null.
    pub fn set_all(&self, values: &[T], len: usize) -> Result<(), Fault>
    where
        T: Copy,
    {
        if self.0.is_null() {
            return Err(null());
        }
        // SAFETY: as above, for as many as the caller says.
        unsafe { self.0.copy_from_nonoverlapping(values.as_ptr(), values.len().min(len)) };
        Ok(())
    }

    /// Where it points.
    pub fn address(&self) -> usize {
        self.0 as usize
    }
}

impl<T> In<T> {
    /// The value.
    ///
    /// # Errors
    /// `InvalidValue` for null.
    pub fn read(&self) -> Result<T, Fault>
    where
        T: Copy,
    {
        self.all(1).map(|values| values[0])
    }

    /// `len` values.
    ///
    /// # Errors
    /// `InvalidValue` for null.
    pub fn all(&self, len: usize) -> Result<&[T], Fault> {
        if len == 0 {
            return Ok(&[]);
        }
        if self.0.is_null() {
            return Err(null());
        }
        // SAFETY: valid for reads of as many values during the call, by the contract of the interface, and not null.
        Ok(unsafe { std::slice::from_raw_parts(self.0, len) })
    }

    /// Where it points.
    pub fn address(&self) -> usize {
        self.0 as usize
    }
}

impl Text {
    /// The string.
    ///
    /// # Errors
    /// `InvalidValue` for null, or for one that isn't UTF-8.
    pub fn read(&self) -> Result<&str, Fault> {
        if self.0.is_null() {
            return Err(null());
        }
        // SAFETY: ends with a zero and is valid during the call, by the contract of the interface, and not null.
        let text = unsafe { CStr::from_ptr(self.0) };
        text.to_str().map_err(|_| Fault::new(Status::InvalidValue, "a string that is no UTF-8"))
    }
}

fn null() -> Fault {
    Fault::new(Status::InvalidValue, "a null pointer")
}
