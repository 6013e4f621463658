//! A cluster's control plane: the daemon of a node, with the head in one of them, and what the command asks of it.
//!
//! ```text
//!  command          daemon of the head                     daemon of a node
//!    client.rs        control/: the surface, ledger/
//!        \_____ gRPC ____/  |
//!                         head.rs: Members, Controller         seat.rs: Member, Node
//!                         seat.rs: its own Member and Node           |
//!                               \______ post.rs: letters over TCP ____/
//! ```
//! The machines of `rayline-core` take the decisions; `rayline-sim` runs the same ones, and who sends what to whom is as
//! there. A letter bears the name of the life that it is for: what is for another is dropped.

// Programs without the command have letters and secrets, and not the daemons that use all of them.
#![cfg_attr(not(feature = "command"), allow(dead_code))]

mod binary;
#[cfg(feature = "command")]
mod client;
#[cfg(feature = "command")]
mod control;
#[cfg(feature = "command")]
mod daemon;
#[cfg(feature = "command")]
mod desk;
#[cfg(feature = "command")]
mod head;
mod home;
#[cfg(feature = "command")]
mod ledger;
mod letter;
mod line;
#[cfg(feature = "command")]
mod owners;
mod post;
#[cfg(feature = "command")]
mod seat;
mod secret;
mod status;
#[cfg(feature = "command")]
mod workers;

pub(crate) use self::binary::Published;
pub(crate) use self::post::fresh_peer;
pub use self::{
    binary::{BinaryId, Program},
    home::{Control, Home, HomeError, Running},
    letter::{Address, Envelope, Hire, Letter, Place, Report},
    post::{HEAD, Post, PostError},
    secret::{Invitation, Keys, SecretError},
    status::Resources,
};
#[cfg(feature = "command")]
pub use self::{
    client::{Client, ClientError},
    control::{SurfaceError, TlsError, pb},
    daemon::{Daemon, Ended, News, Setup},
    ledger::{
        Binary, Change, Done, Job, JobState, Kv, KvError, Ledger, LedgerError, LedgerFile, LedgerFileError, Record,
        Table, To,
    },
};
