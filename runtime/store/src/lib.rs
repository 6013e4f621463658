//! Values as bytes: regions of memory, buffers and tensors that view them, and the codec between.
//!
//! A value is any serde type. The numbers in it that are many belong in a [`Buf`] or a [`Tensor`]: the codec writes
//! them apart from the rest, aligned to 64 bytes, and decoding makes them views of the region that was decoded,
//! however deep in the value they sit. A clone of a region, buffer or tensor shares its memory; the memory lives as
//! long as the last of them.
//!
//! ```
//! use rayline_store::{Tensor, decode, encode};
//!
//! #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
//! struct Batch {
//!     policy: String,
//!     observations: Tensor<f32>, // [steps, width]
//! }
//!
//! let observations = Tensor::from_shape_vec((1000, 4), vec![0.5; 4000])?;
//! let batch = Batch { policy: "greedy".into(), observations };
//! let region = encode(&batch)?;
//! let same: Batch = decode(&region)?;
//! assert_eq!(same, batch);
//! assert!(region.as_ptr_range().contains(&same.observations.data().as_ptr().cast()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The encoding is positional, so `#[serde(flatten)]`, `untagged`, `tag = ".."`, `skip_serializing_if` and types such
//! as `serde_json::Value` are refused, with an error that says what to do ([`CodecError`]). Its layout is written down
//! at the head of `src/codec/mod.rs`.
//!
//! The crate knows nothing of owners, tasks or leases. [`shm`] is the store of one machine: objects in shared memory,
//! which every process of the machine sees as regions, without a copy.

// The four crates that may: see `docs/src/architecture.md`. Each block says what it relies on.
#![allow(unsafe_code)]
// Under loom only the lock-free types are built, without what uses them.
#![cfg_attr(loom, allow(dead_code))]

#[cfg(target_endian = "big")]
compile_error!("buffers travel as they lie in memory, and that must be little endian");

mod bequest;
mod buf;
mod codec;
mod element;
mod memory;
mod region;
mod region_mut;
pub mod shm;
mod sync;
mod tensor;

pub use bequest::{Bequest, WeakBuf};
pub use buf::{Buf, ViewError};
pub use codec::{
    Carrier, CodecError, ImportError, LEVELS_MAX, NAME_BYTES_MAX, NAMED_BYTES_MIN, Name, Names, Plan, align, decode,
    decode_copied, decode_name, decode_with, encode, encode_name, encode_part, encode_with, names, plan, realign,
};
pub use element::Element;
pub use region::Region;
pub use region_mut::RegionMut;
pub use tensor::{ShapeError, Tensor};
