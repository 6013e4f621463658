//! Memory of devices, and that of the host which devices reach.

mod allocation;
mod buffer;
mod copies;
mod element;
mod lease;
mod pending;
mod pinned;
mod pool;
mod registration;
mod shared;

pub(crate) use self::allocation::{Allocation, Dropped};
pub use self::{
    buffer::DeviceBuffer,
    element::Element,
    lease::Lease,
    pending::Pending,
    pinned::{PinnedBuffer, PinnedPool},
    pool::MemoryPool,
    registration::Registration,
    shared::IpcHandle,
};
