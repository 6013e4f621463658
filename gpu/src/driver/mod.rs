//! The driver's library, and how it is called.

mod call;
mod library;

pub(crate) use self::{
    call::{Handle, check, ignore},
    library::load,
};
