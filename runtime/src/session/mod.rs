//! This process as a driver of a cluster: `RAYLINE_ADDRESS` is set.
//!
//! ```text
//!  join.rs: enlists with the head            receive.rs: a thread
//!     | Membership                              letters, ends of connections --> commands to the control thread
//!     v                                         streams --> a thread each: welcome, attend
//!  staff.rs: on the control thread, beside the Owner machine
//!     letters to head and nodes; one worker hired on each node; calls to it over its lane
//! ```
//! The machines decide what runs where; here is only how it gets there.

mod address;
mod join;
mod receive;
mod staff;

pub(crate) use address::ADDRESS;
pub(crate) use join::{Membership, join};
pub(crate) use receive::{Ends, receive};
pub(crate) use staff::{Staff, Vacancy};
