//! References inside values: what another process gets of an [`ObjectRef`](crate::ObjectRef) or a reference to an actor.
//!
//! ```text
//!  process A                                           process B, where it was encoded
//!  decodes a name, and asks for its value -- Ask ----> finds what it has exported under that number
//!  a cell of its own   <------------ Value, Failed --- answers when the value is there
//!
//!  an actor's reference: Hold ----------------------->  keeps the actor, until Release
//!  calls: Call, with arguments ---------------------->  the mailbox of the actor, or on to where it lives
//! ```
//! A name is that of a process and a number there ([`RefId`]). What it names is exported as long as the encoding lives,
//! whose sender keeps it until the call is answered or the value was read; by then its reader has asked, on the same
//! connection. Workers have a connection with their driver only, which hands on what they ask of each other; large buffers
//! go straight from one to the other by names of their own.

mod actor;
mod ask;
mod away;
mod exports;
mod id;
mod link;
mod object;

pub(crate) use ask::{Asked, serve};
pub(crate) use away::Away;
pub use exports::exported_refs;
pub(crate) use id::{ProcessId, RefId};
pub(crate) use link::{connected, disconnected, hired, this_process};
