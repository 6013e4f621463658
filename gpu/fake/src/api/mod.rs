//! The functions of the driver's interface, with its names, for those who load the library.
//!
//! Source: CUDA Driver API 13.0. What `rayline-gpu` calls is here, and no more.

// The names are CUDA's, and their callers find them by name.
#![allow(non_snake_case)]

mod call;
mod capture;
mod copies;
mod devices;
mod errors;
mod ffi;
mod modules;
mod pools;
mod sharing;
mod streams;
