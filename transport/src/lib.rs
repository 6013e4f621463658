//! How frames get from one process to another.
//!
//! [`ring`] joins two processes on one host by shared memory.

// The four crates that may: see `docs/src/architecture.md`. Each block says what it relies on.
#![allow(unsafe_code)]
// Under loom only the lock-free types are built, without what uses them.
#![cfg_attr(loom, allow(dead_code))]

pub mod ring;
mod sync;
