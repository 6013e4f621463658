//! The object store of one machine: sealed objects in shared memory, which every process views in place.
//!
//! The machine's node makes a [`Store`]. Other processes of the same user become [`Client`]s through a Unix socket; the
//! node's own process has one too. What a client puts, all see, as [`Region`](crate::Region)s of the same memory.
//! Neither putting, looking up nor deleting asks the store's process for anything, as long as there is memory: the
//! states of chunks, keys and objects are in a table in shared memory, without a lock. `README.md` beside this file
//! says what is in it, and who makes good what when a process dies.
//!
//! ```
//! use rayline_store::shm::{ObjectKey, Store, StoreOptions};
//! use rayline_store::{Tensor, decode};
//!
//! let store = Store::create(StoreOptions::new(64 << 20))?;
//! let client = store.client();
//! let key = ObjectKey::from(1);
//! client.put(key, &Tensor::from_shape_vec((100, 100), vec![0.5_f32; 10_000])?)?;
//! let region = client.get(&key)?.expect("it was put");
//! let tensor: Tensor<f32> = decode(&region)?;
//! assert!(region.as_ptr_range().contains(&tensor.data().as_ptr().cast()));
//! assert!(client.delete(&key)?); // The tensor stays; the memory is free when it goes.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chunks;
#[cfg(not(loom))]
mod client;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod geometry;
#[cfg(not(loom))]
mod heap;
mod index;
#[cfg(not(loom))]
mod info;
#[cfg(not(loom))]
mod keeper;
mod key;
#[cfg(not(loom))]
mod lent;
#[cfg(all(test, loom))]
mod loom_models;
#[cfg(not(loom))]
mod object;
#[cfg(not(loom))]
mod options;
#[cfg(not(loom))]
mod owned;
#[cfg(not(loom))]
mod pins;
#[cfg(not(loom))]
mod room;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
mod shared;
mod slot;
#[cfg(not(loom))]
mod spill;
#[cfg(not(loom))]
mod store;
#[cfg(not(loom))]
mod table;
#[cfg(not(loom))]
mod unsealed;
#[cfg(not(loom))]
mod wire;

#[cfg(not(loom))]
pub use client::Client;
#[cfg(not(loom))]
pub use error::StoreError;
#[cfg(not(loom))]
pub use info::{ObjectInfo, ObjectState, Usage};
pub use key::ObjectKey;
#[cfg(not(loom))]
pub use lent::LentObjects;
#[cfg(not(loom))]
pub use options::StoreOptions;
#[cfg(not(loom))]
pub use owned::OwnedObjects;
#[cfg(not(loom))]
pub use store::Store;
#[cfg(not(loom))]
pub use unsealed::Unsealed;

/// The number of a client among those that there are; used again after its end.
pub(crate) type ClientId = u8;
