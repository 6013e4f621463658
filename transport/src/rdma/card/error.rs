//! What a card, or libibverbs, refuses.

use crate::error::TransportError;
use std::ffi::c_int;
use std::io;
use std::ptr::NonNull;
use thiserror::Error;

/// A verb that failed.
#[derive(Debug, Error)]
#[error("{call} failed on card {card}")]
pub struct CardError {
    /// The function of libibverbs.
    pub call: &'static str,
    /// The card's name.
    pub card: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl CardError {
    pub fn new(call: &'static str, card: &str, source: io::Error) -> Self {
        Self { call, card: card.into(), source }
    }
}

/// The pointer, or what `errno` says where it is null.
pub fn made<T>(raw: *mut T, call: &'static str, card: &str) -> Result<NonNull<T>, CardError> {
    NonNull::new(raw).ok_or_else(|| CardError::new(call, card, io::Error::last_os_error()))
}

/// Success, or what the code says: these functions return it, and some leave it in `errno`.
pub fn done(code: c_int, call: &'static str, card: &str) -> Result<(), CardError> {
    match code {
        0 => Ok(()),
        -1 => Err(CardError::new(call, card, io::Error::last_os_error())),
        code => Err(CardError::new(call, card, io::Error::from_raw_os_error(code.abs()))),
    }
}

impl From<CardError> for TransportError {
    fn from(error: CardError) -> Self {
        TransportError::local("use a card", io::Error::new(error.source.kind(), error))
    }
}
