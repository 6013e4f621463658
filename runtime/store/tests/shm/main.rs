//! The store of one machine, with clients in this process and in others.

#![allow(clippy::unwrap_used)]

mod basics;
mod model;
mod objects;
mod process;
mod spill;
